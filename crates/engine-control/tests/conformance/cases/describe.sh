k create -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {a: b}, annotations: {note: o}}
spec:
  schedulerName: nobody
  nodeSelector: {x: yy}
  tolerations: [{key: k, operator: Exists, effect: NoSchedule}]
  initContainers: [{name: i, image: i, command: [a, "b c"]}]
  containers:
  - name: c
    image: x
    args: [x]
    ports: [{containerPort: 80, name: http}]
    env: [{name: A, value: b}, {name: F, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: S, valueFrom: {secretKeyRef: {name: s, key: k}}}]
    envFrom: [{configMapRef: {name: cm, optional: true}}]
    resources: {requests: {cpu: 100m}, limits: {memory: 64Mi}}
    livenessProbe: {httpGet: {path: /h, port: 80}}
    readinessProbe: {exec: {command: [a]}}
    volumeMounts: [{name: v, mountPath: /v, readOnly: true}]
  volumes: [{name: v, configMap: {name: cm}}, {name: s, secret: {secretName: s}}, {name: e, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: h, hostPath: {path: /tmp}}]
Y
k describe pod p
k create deployment d --image=x --replicas=0
settle get deploy d -o jsonpath='{.status.conditions[*].reason}' -- NewReplicaSetAvailable
settle get rs -o jsonpath='g{.items[*].status.observedGeneration}' -- g1
k describe deploy d
k describe rs
k create configmap cm --from-literal=a=b --from-literal=multi=$'one\ntwo'
k create secret generic s --from-literal=a=bcd
k describe secret s
k create service nodeport svc --tcp=80:8080 --node-port=31500
settle get endpointslices -l kubernetes.io/service-name=svc -o name -- endpointslice
k describe svc svc
k create service externalname en --external-name=a.b
k describe svc en
k create quota q --hard=pods=5,requests.cpu=1
settle get quota q -o jsonpath='{.status.used}' -- pods
k create -f - <<'Y'
apiVersion: v1
kind: LimitRange
metadata: {name: lr}
spec: {limits: [{type: Container, max: {cpu: "2"}, default: {memory: 64Mi, cpu: 500m}, defaultRequest: {cpu: 100m}}, {type: Pod, max: {memory: 1Gi}}]}
Y
k create sa sa
k describe sa sa
k create pdb pdb --selector=a=z --min-available=1
settle get pdb pdb -o jsonpath='g{.status.observedGeneration}' -- g1
k create ingress ing --rule='a.b/c=svc:80,tls=t' --default-backend=d:1
k describe ing ing
k create cronjob cj --image=x --schedule='0 0 1 1 *' -- date
k describe cj cj
k create -f - <<'Y'
apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec: {suspend: true, completions: 3, template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
Y
k wait --for=condition=Suspended job/j --timeout=10s
settle get events --field-selector involvedObject.name=j -o jsonpath='{.items[*].reason}' -- Suspended
k describe job j
k create -f - <<'Y'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ss}
spec: {replicas: 0, serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}, volumeClaimTemplates: [{metadata: {name: v}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}
Y
k describe sts ss
k create -f - <<'Y'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec: {selector: {matchLabels: {a: d}}, template: {metadata: {labels: {a: d}}, spec: {nodeSelector: {no: where}, containers: [{name: c, image: x}]}}}
Y
settle get ds ds -o jsonpath='g{.status.observedGeneration}' -- g1
k describe ds ds
k create -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: pvc}
spec: {storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
Y
k describe pvc pvc | sed '/^Events/,$d'
k create -f - <<Y
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS-pv}
spec: {storageClassName: none-$NS, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp/x}}
Y
settle get pv $NS-pv -o jsonpath='{.status.phase}' -- Available
k get pv $NS-pv
k describe pv $NS-pv
k delete pv $NS-pv
k create role r --verb=get --resource=pods --resource-name=x
k describe role r
k create priorityclass $NS-p --value=5
k describe priorityclass $NS-p
k delete priorityclass $NS-p
k create -f - <<'Y'
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hpa}
spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: none, apiVersion: apps/v1}, metrics: [{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 10Mi}}}], behavior: {scaleDown: {stabilizationWindowSeconds: 5}}}
Y
k describe hpa hpa | sed '/^Conditions/,$d'
k create -f - <<'Y'
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: l}
spec: {holderIdentity: me}
Y
k describe nosuch x
k describe pod nope
