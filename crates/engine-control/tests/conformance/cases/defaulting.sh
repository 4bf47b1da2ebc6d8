k create -o yaml -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x}]}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {a: b}}
spec:
  schedulerName: nobody
  hostname: h
  subdomain: s
  priority: 0
  activeDeadlineSeconds: 10
  shareProcessNamespace: true
  securityContext: {runAsUser: 1, fsGroup: 2, supplementalGroups: [3], sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]
  affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: z, labelSelector: {}}}]}}
  initContainers:
  - {name: i, image: "x:latest"}
  - {name: side, image: "x:1", restartPolicy: Always}
  containers:
  - name: c
    image: "x:1"
    ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP, hostPort: 53}]
    env: [{name: NN, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: L, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]
    livenessProbe: {httpGet: {port: http}}
    readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
    startupProbe: {grpc: {port: 80}}
    lifecycle: {preStop: {httpGet: {port: 80}}}
    resources: {limits: {cpu: 0.5, memory: 1Gi}}
    volumeMounts: [{name: cm, mountPath: /cm}]
  volumes:
  - {name: cm, configMap: {name: x}}
  - {name: se, secret: {secretName: x}}
  - {name: da, downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: pr, projected: {sources: [{serviceAccountToken: {path: t}}, {configMap: {name: x}}]}}
  - {name: hp, hostPath: {path: /tmp}}
  - {name: ed, emptyDir: {}}
  - {name: pvc, persistentVolumeClaim: {claimName: c}}
  - {name: nfs, nfs: {server: s, path: /}}
  - {name: is, iscsi: {targetPortal: 1.2.3.4, iqn: "iqn.2001-04.com.example:storage.disk1", lun: 0}}
  - {name: eph, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}
  - {name: csi, csi: {driver: x.example.com}}
Y
k create -o yaml -f - <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}
Y
k create -o yaml -f - <<'Y'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s}
spec: {replicas: 0, selector: {matchLabels: {a: c}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: x}]}}, volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}
Y
k create -o yaml -f - <<'Y'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec: {selector: {matchLabels: {a: d}}, template: {metadata: {labels: {a: d}}, spec: {nodeSelector: {no: where}, containers: [{name: c, image: x}]}}}
Y
k create -o yaml -f - <<'Y'
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: rs}
spec: {replicas: 0, selector: {matchLabels: {a: e}}, template: {metadata: {labels: {a: e}}, spec: {containers: [{name: c, image: x}]}}}
Y
k create -o yaml -f - <<'Y'
apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
Y
k create -o yaml -f - <<'Y'
apiVersion: batch/v1
kind: Job
metadata: {name: ji}
spec: {suspend: true, completionMode: Indexed, completions: 2, backoffLimitPerIndex: 1, podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}, template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
Y
k create -o yaml -f - <<'Y'
apiVersion: batch/v1
kind: CronJob
metadata: {name: cj}
spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: x}]}}}}}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: svc}
spec: {selector: {a: b}, ports: [{port: 80}]}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: lb}
spec: {type: LoadBalancer, selector: {a: b}, sessionAffinity: ClientIP, ports: [{name: a, port: 80, targetPort: web}, {name: b, port: 81, appProtocol: http}]}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: pvc}
spec: {storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
Y
k create -o yaml -f - <<Y
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS-pv}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp/x}}
Y
k create -o yaml -f - <<Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-sc}
provisioner: example.com/x
Y
k create -o yaml -f - <<'Y'
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hpa}
spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: d, apiVersion: apps/v1}}
Y
k create -o yaml -f - <<'Y'
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: hpa1}
spec: {maxReplicas: 3, targetCPUUtilizationPercentage: 50, scaleTargetRef: {kind: Deployment, name: d, apiVersion: apps/v1}}
Y
k get hpa hpa1 -o yaml
k create -o yaml -f - <<'Y'
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ing}
spec: {rules: [{host: a.b, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: LimitRange
metadata: {name: lr}
spec: {limits: [{type: Container, max: {cpu: "2"}, min: {cpu: 10m}, default: {memory: 64Mi}}, {type: Pod, max: {memory: 1Gi}}]}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: Endpoints
metadata: {name: ep}
subsets: [{addresses: [{ip: 1.2.3.4}], ports: [{port: 80}]}]
Y
k create -o yaml -f - <<'Y'
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: eps}
addressType: IPv4
endpoints: [{addresses: [1.2.3.4]}]
ports: [{port: 80}]
Y
k create -o yaml -f - <<'Y'
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rb}
subjects: [{kind: User, name: u}, {kind: ServiceAccount, name: d, namespace: default}, {kind: Group, name: g}]
roleRef: {kind: ClusterRole, name: view}
Y
k create -o yaml -f - <<'Y'
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: l}
spec: {holderIdentity: me, leaseDurationSeconds: 15, renewTime: "2026-01-02T03:04:05.678901Z"}
Y
k create -o yaml -f - <<'Y'
apiVersion: v1
kind: Event
metadata: {name: ev}
involvedObject: {kind: Pod, name: p}
reason: R
message: m
type: Normal
Y
k create -o yaml -f - <<'Y'
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: pdb}
spec: {selector: {matchLabels: {a: b}}, maxUnavailable: 25%}
Y
k create -o yaml -f - <<Y
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: $NS-pc}
value: 7
Y
k create -o yaml -f - <<Y
apiVersion: v1
kind: Namespace
metadata: {name: $NS-ns, labels: {a: b}}
Y
k create -o yaml -f - <<Y
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $NS-ic}
spec: {controller: example.com/x}
Y
