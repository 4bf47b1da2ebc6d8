cat > d.yaml <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {l: one}, annotations: {n: a}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{key: a, operator: Exists}]
      containers:
      - {name: c, image: "x:1", args: [a, b], env: [{name: A, value: "1"}], ports: [{containerPort: 80}], resources: {limits: {cpu: 100m}}, volumeMounts: [{name: v, mountPath: /v}]}
      volumes: [{name: v, emptyDir: {}}]
Y
k apply --server-side -f d.yaml -o yaml --show-managed-fields
k apply --server-side -f d.yaml --field-manager=two
k get deploy web -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation} {.subresource} {.fieldsV1}{"\n"}{end}'
k apply --server-side --field-manager=two -f - <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {l: two}}
spec: {template: {spec: {containers: [{name: c, image: "x:2", args: [c], resources: {limits: {cpu: 0.2}}}]}}}
Y
k apply --server-side --field-manager=two -f - <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: c, env: [{name: B, value: "2"}], ports: [{containerPort: 80}, {containerPort: 53, protocol: UDP}]}, {name: extra, image: yy}]}}}
Y
k get deploy web -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation} {.subresource} {.fieldsV1}{"\n"}{end}'
k get deploy web -o jsonpath='{range .spec.template.spec.containers[*]}{.name} {.image} {.env} {.ports}{"\n"}{end}'
# Times of owners are whole seconds, and equal ones are in the order of their names.
now=$(date +%s); until [ "$(date +%s)" != "$now" ]; do :; done
k apply --server-side -f - <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: "x:1"}]}}
Y
k get deploy web -o yaml --show-managed-fields
k label deploy web l=three
k annotate deploy web n=b
k set image deploy/web c=x:9
k set env deploy/web C=1
k set resources deploy/web --limits=cpu=1
k scale deploy web --replicas=0
k apply --server-side -f d.yaml
k apply --server-side -f d.yaml --force-conflicts
k apply -f d.yaml
k apply --server-side -f d.yaml
k get deploy web -o jsonpath='{.metadata.annotations}{"\n"}'
k apply --server-side --field-manager='' -f d.yaml
k apply --server-side --dry-run=server -f d.yaml
k apply --server-side --dry-run=client -f d.yaml
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80}, {port: 80}]}
Y
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {a: b}, ports: [{name: a, port: 80}, {name: b, port: 80, protocol: UDP}]}
Y
k get svc s -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation} {.subresource} {.fieldsV1}{"\n"}{end}'
k apply --server-side --field-manager=z -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{name: c, port: 80, protocol: TCP}]}
Y
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: m, managedFields: [{manager: x}]}
Y
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {generateName: m}
Y
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: m, uid: nope}
Y
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: m, finalizers: [a.b/c, d.e/f], ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: x, uid: yy}]}
data: {}
Y
k get cm m -o yaml --show-managed-fields
k apply --server-side -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: m, finalizers: []}
Y
k get cm m -o yaml --show-managed-fields
k patch cm m --type=merge -p '{"metadata":{"managedFields":[{}]}}'
k get cm m -o yaml --show-managed-fields
k patch cm m --type=merge -p '{"data":{"a":"1"},"metadata":{"managedFields":null}}'
k get cm m -o yaml --show-managed-fields
k apply --server-side --field-manager=second -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data: {a: "2"}
Y
k replace -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data: {a: "3", b: "4"}
Y
k get cm m -o yaml --show-managed-fields
k create -f - --field-manager=mine <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x, ports: [{containerPort: 80}]}], tolerations: [{key: a, operator: Exists}], hostAliases: [{ip: 1.1.1.1, hostnames: [a]}], imagePullSecrets: [{name: s}], topologySpreadConstraints: [{maxSkew: 1, topologyKey: k, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}]}
Y
k patch pod p --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"x.y/z","status":"True"}]}}' --field-manager=st
k get pod p -o yaml --show-managed-fields
k apply --server-side --subresource=status --field-manager=st2 -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
status: {conditions: [{type: x.y/z, status: "False"}]}
Y
k apply --server-side --subresource=status --field-manager=st2 --force-conflicts -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
status: {conditions: [{type: x.y/z, status: "False"}]}
Y
k get pod p -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation} {.subresource} {.fieldsV1}{"\n"}{end}'
