cat > a.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {set: x}}
data: {k: v, l: w}
---
apiVersion: v1
kind: Service
metadata: {name: s, labels: {set: x}}
spec: {selector: {app: d}, ports: [{name: http, port: 80}, {name: https, port: 443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, labels: {set: x}}
spec: {replicas: 0, selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c, image: x, args: [a, b]}]}}}
Y
k apply -f a.yaml
k apply -f a.yaml
k diff -f a.yaml
k get -f a.yaml -o name
k get -f a.yaml
sed -i 's/k: v, l: w/k: z/; s/, {name: https, port: 443}//; s/args: \[a, b\]/args: [a]/' a.yaml
k diff -f a.yaml
k apply -f a.yaml
k get cm a -o jsonpath='{.data}{"\n"}'
k get svc s -o jsonpath='{.spec.ports[*].name}{"\n"}'
k apply view-last-applied -f a.yaml -o json
k apply set-last-applied -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {set: x}}
data: {k: z, gone: yy}
Y
k get cm a -o jsonpath='{.metadata.annotations}{"\n"}'
EDITOR='sed -i s/gone/went/'
export EDITOR
k create configmap bare --from-literal=a=b
k apply -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: bare}
data: {c: d}
Y
k get cm bare -o jsonpath='{.data}{"\n"}'
k create configmap saved --from-literal=a=b --save-config
k apply view-last-applied cm saved
sed '/^---/,$d' a.yaml > one.yaml
k apply -f one.yaml --prune -l set=x --prune-allowlist=core/v1/ConfigMap --prune-allowlist=core/v1/Service
k get cm,svc,deploy -l set=x -o name
mkdir dir; cp a.yaml dir/a.yaml; printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: z}\nstringData: {a: b}\n' > dir/z.yaml
k apply -f dir
k apply -R -f dir
k apply -f dir --dry-run=server
k delete -f dir --dry-run=server
k delete -f dir
k delete -f dir
k delete -f dir --ignore-not-found
mkdir ku; printf 'resources: [cm.yaml]\nnamePrefix: p-\ncommonLabels: {team: t}\nconfigMapGenerator: [{name: gen, literals: [a=b]}]\nimages: [{name: x, newTag: "7"}]\n' > ku/kustomization.yaml
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: k}\ndata: {a: b}\n' > ku/cm.yaml
k apply -k ku
k get -k ku
k diff -k ku
k delete -k ku
k apply -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: lr}
spec: {ports: [{port: 80, nodePort: 31777}], type: NodePort}
Y
k apply -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: lr}
spec: {ports: [{port: 80}], type: ClusterIP}
Y
k get svc lr
k apply -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x}]}
Y
k apply -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x, command: [yy]}]}
Y
k apply --force --grace-period=0 -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x, command: [yy]}]}
Y
k replace --force -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x, command: [z]}]}
Y
k replace -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: none}
Y
k replace -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: bare, resourceVersion: "1"}
Y
k replace -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: lr}
spec: {ports: [{port: 90}]}
Y
k get svc lr -o jsonpath='{.spec.ports}{.metadata.annotations}{"\n"}'
k apply -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: bare, namespace: other}
Y
k apply -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: in-nowhere, namespace: nowhere-at-all}
Y
cd /
q apply -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: in-nowhere, namespace: nowhere-at-all}
Y
k apply -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {generateName: g-}
Y
k create -f - <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {generateName: g-}
Y
EDITOR='sed -i s/gone/came/' k edit cm bare
EDITOR='sed -i s/c:.d/c:.edited/'; export EDITOR
EDITOR='sed -i s/kind:.ConfigMap/kind:.Bogus/'; export EDITOR
EDITOR=true; export EDITOR
