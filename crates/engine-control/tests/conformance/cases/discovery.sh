for group in apps authentication.k8s.io authorization.k8s.io autoscaling batch coordination.k8s.io discovery.k8s.io events.k8s.io policy rbac.authorization.k8s.io scheduling.k8s.io; do q api-resources --api-group=$group -o wide; done
k api-resources --api-group=nope
k api-resources --sort-by=kind --api-group=apps
k explain pod
k explain pod --recursive
k explain pods.spec.containers
k explain pods.spec.containers.resources.limits
k explain deploy.spec.strategy
k explain sts.spec.volumeClaimTemplates
k explain ds
k explain job.spec.podFailurePolicy
k explain cronjob.spec.concurrencyPolicy
k explain svc.spec.type
k explain cm.data
k explain secret
k explain hpa.spec.metrics --api-version=autoscaling/v2
k explain hpa.spec --api-version=autoscaling/v1
k explain hpa --api-version=autoscaling/v9
k explain netpol.spec
k explain pdb.spec
k explain pvc.spec.resources
k explain pv.spec
k explain role.rules
k explain rolebinding.roleRef
k explain node.status.conditions
k explain ns.spec
k explain event
k explain events.events.k8s.io
k explain quota.spec
k explain limits.spec.limits
k explain priorityclass
k explain lease.spec
k explain endpointslice.endpoints
k explain ep
k explain sa
k explain pod.metadata.ownerReferences
k explain pod.metadata
k explain pod.spec.nope
k explain nope
k explain deployment.spec.template.spec.affinity --recursive
k explain controllerrevision
k get --raw '/readyz/ping'
