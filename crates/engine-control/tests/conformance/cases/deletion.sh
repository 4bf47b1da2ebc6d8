k create configmap a
k create -f - <<Y
apiVersion: v1
kind: ConfigMap
metadata: {name: child, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: a, uid: $(q get cm a -o jsonpath='{.metadata.uid}'), blockOwnerDeletion: true}]}
Y
k get cm child -o jsonpath='{.metadata.ownerReferences[0].name}{"\n"}'
k delete cm a --cascade=foreground
k get cm child
k create configmap b
k create -f - <<Y
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: b, uid: $(q get cm b -o jsonpath='{.metadata.uid}')}]}
Y
k delete cm b --cascade=orphan
settle get cm kept -o jsonpath='owners [{.metadata.ownerReferences}]' -- 'owners []'
k get cm kept -o jsonpath='[{.metadata.ownerReferences}]{"\n"}'
k create configmap c
k delete --raw /api/v1/namespaces/$NS/configmaps/c | sed 's/"uid":"[^"]*"/"uid":""/'
k create configmap c
k delete cm c --dry-run=server
k delete --raw /api/v1/namespaces/$NS/configmaps/nope
k delete --raw "/api/v1/namespaces/$NS/configmaps/c?propagationPolicy=Bogus"
k delete --raw "/api/v1/namespaces/$NS/configmaps/c?propagationPolicy=Orphan&orphanDependents=true"
k delete --raw "/api/v1/namespaces/$NS/configmaps/c?gracePeriodSeconds=x"
k patch cm c --type=merge -p '{"metadata":{"finalizers":["x.y/hold"]}}'
k delete cm c --wait=false
k delete cm c --wait=false
k delete cm c --timeout=1s
k patch cm c --type=merge -p '{"metadata":{"finalizers":["x.y/hold","x.y/more"]}}'
k patch cm c --type=merge -p '{"data":{"a":"still"}}'
k get cm c -o jsonpath='{.data} {.metadata.finalizers} {.metadata.deletionGracePeriodSeconds}{"\n"}'
k create configmap c
k patch cm c --type=json -p '[{"op":"remove","path":"/metadata/finalizers"}]'
k get cm c
k create -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p, finalizers: [x.y/hold]}
spec: {schedulerName: nobody, terminationGracePeriodSeconds: 7, containers: [{name: c, image: x}]}
Y
k delete pod p --wait=false
k get pod p
k get pod p -o jsonpath='{.metadata.deletionGracePeriodSeconds} {.metadata.finalizers}{"\n"}'
k patch pod p --type=merge -p '{"metadata":{"finalizers":null}}'
k get pod p
k delete pod --force --grace-period=5 x
k create deployment d --image=x --replicas=0
settle get rs -o name -- replicaset
k delete deploy d --cascade=foreground
k get rs,deploy
k create configmap m1
k create configmap m2
k label cm m1 m2 grp=m
k delete cm -l grp=m --dry-run=server
k delete cm -l grp=m
k delete cm m1 m2
k delete cm/m1 secret/m2
k create configmap z1
k create configmap z2
k delete svc,cm z2
k delete ns $NS-nope
k create ns $NS-d
k -n $NS-d create cm one
k -n $NS-d patch cm one --type=merge -p '{"metadata":{"finalizers":["x.y/z"]}}'
k delete ns $NS-d --wait=false
k -n $NS-d create cm two
settle get ns $NS-d -o jsonpath='{.status.conditions[*].type}' -- NamespaceFinalizersRemaining
k -n $NS-d patch cm one --type=merge -p '{"metadata":{"finalizers":null}}'
k delete ns default
k delete ns kube-system --dry-run=server
k delete svc kubernetes -n default --dry-run=server
k create -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c}
spec: {storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
Y
k get pvc c -o jsonpath='{.metadata.finalizers}{"\n"}'
k delete pvc c
k create -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: orphaned, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: not-there, uid: 00000000-0000-0000-0000-000000000001}]}
Y
k wait --for=delete cm/orphaned --timeout=20s
k get cm orphaned
