cat > p.json <<'Y'
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","nme":"x"},"data":{"a":"1"},"dat":{},"data":{"b":"2"}}
Y
k create -f p.json
k create --validate=warn -f p.json
k create --validate=ignore -f p.json
k get cm a -o jsonpath='{.data}{"\n"}'
k create --validate=bogus -f p.json
cat > d.yaml <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicaz: 1
  replicas: 0
  selector: {matchLabels: {a: b}, matchLabel: {}}
  template:
    metadata: {labels: {a: b}, creationTimestamp: null}
    spec: {containers: [{name: c, image: x, imagee: yy, ports: [{containerport: 1}]}], nope: 1}
Y
k create -f d.yaml
k create --validate=warn -f d.yaml
k apply --validate=warn -f d.yaml
k patch deploy d -p '{"spec":{"replicaz":1}}'
k patch deploy d --type=merge -p '{"spec":{"replicaz":1}}'
k patch deploy d --type=json -p '[{"op":"add","path":"/spec/replicaz","value":1}]'
k replace --validate=strict -f d.yaml
k apply --dry-run=server -f d.yaml
k create --dry-run=server --validate=ignore -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: casing, Labels: {a: b}}
Spec: {}
spec: {containers: [{Name: x, name: c, image: yy}]}
Y
k create -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: dup}
data: {a: "1"}
data: {a: "2"}
Y
k create -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: "80"}]}
Y
k create --validate=false -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: "80"}]}
Y
k create -f - <<'Y'
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}, data: {a: b}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l2}}
- {apiVersion: v1, kind: Secret, metadata: {name: l3}, stringData: {a: b}}
Y
k apply -f - <<'Y'
apiVersion: v1
kind: List
metadata: {}
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}, data: {a: c}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l4}}
Y
k create -f - <<'Y'
apiVersion: v1
kind: ConfigMapList
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: m1}, data: {a: b}}
Y
k create -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: multi1}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: Multi_2}
---
# only a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: multi3}
Y
k get cm -o name
k delete -f - --ignore-not-found <<'Y'
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: nope}}
Y
k create -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: warn}
spec: {schedulerName: nobody, containers: [{name: c, image: x, env: [{name: A, value: a}, {name: A, value: b}], ports: [{containerPort: 80}, {containerPort: 80}], resources: {requests: {memory: 100m}}}]}
Y
k create -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: warn2, annotations: {"seccomp.security.alpha.kubernetes.io/pod": runtime/default}}
spec: {schedulerName: nobody, nodeSelector: {beta.kubernetes.io/os: linux}, imagePullSecrets: [{name: a}, {name: a}], topologySpreadConstraints: [{maxSkew: 1, topologyKey: k, whenUnsatisfiable: ScheduleAnyway}], hostAliases: [{ip: 1.1.1.1, hostnames: [a]}, {ip: 1.1.1.1, hostnames: [b]}], containers: [{name: c, image: x}]}
Y
k create -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: wsvc2}
spec: {type: LoadBalancer, loadBalancerIP: 1.2.3.4, ports: [{port: 80}]}
Y
k create -f - <<'Y'
apiVersion: batch/v1
kind: CronJob
metadata: {name: wcj}
spec: {schedule: "CRON_TZ=UTC 0 0 * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}}
Y
k create -f - <<'Y'
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: wpdb}
spec: {minAvailable: 1}
Y
k create -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: wpvc, annotations: {volume.beta.kubernetes.io/storage-class: x}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 0.5}}}
Y
