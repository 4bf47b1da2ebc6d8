observed() { settle get "$1" -o jsonpath='g{.status.observedGeneration} ' -- "g$(q get "$1" -o jsonpath='{.metadata.generation}') "; }
k create deployment d --image=x:1 --replicas=0
observed deploy/d
k get deploy d
k get deploy d -o wide
k get deploy d -o jsonpath='{.status}{"\n"}'
k rollout status deploy/d
k rollout history deploy/d
k set image deploy/d x=x:2
observed deploy/d
k annotate deploy d kubernetes.io/change-cause=second
k set image deploy/d x=x:3 --record
observed deploy/d
settle get rs -o yaml -- record=true
k rollout history deploy/d
k rollout history deploy/d --revision=2
k rollout history deploy/d --revision=9
k rollout undo deploy/d
observed deploy/d
k get deploy d -o jsonpath='{.spec.template.spec.containers[0].image}{"\n"}'
settle get rs -o yaml -- 'revision: "4"'
k rollout history deploy/d
k rollout undo deploy/d --to-revision=1
observed deploy/d
k get deploy d -o jsonpath='{.spec.template.spec.containers[0].image} {.metadata.annotations}{"\n"}'
k rollout undo deploy/d --to-revision=99
k rollout pause deploy/d
k rollout pause deploy/d
observed deploy/d
k set image deploy/d x=x:7
observed deploy/d
k rollout status deploy/d --timeout=1s
k rollout undo deploy/d
k get deploy d -o jsonpath='{range .status.conditions[*]}{.type} {.status} {.reason} {.message}{"\n"}{end}'
k rollout restart deploy/d
k rollout resume deploy/d
k rollout resume deploy/d
k rollout restart deploy/d
observed deploy/d
k get rs -l app=d --sort-by=.metadata.annotations.deployment\\.kubernetes\\.io/revision -o custom-columns=I:.spec.template.spec.containers[0].image,R:.metadata.annotations.deployment\\.kubernetes\\.io/revision,D:.metadata.annotations.deployment\\.kubernetes\\.io/desired-replicas
k get rs -l app=d
k scale deploy d --replicas=1 --current-replicas=5
k scale deploy/d --replicas=0 --current-replicas=0
k scale deploy nope --replicas=1
k scale --replicas=1
k scale svc/x --replicas=1
k set env deploy/d A=1 B=2
k set env deploy/d A- --list
k set env deploy/d --list
k create configmap ec --from-literal=k=v
k set env deploy/d --from=configmap/ec --prefix=P_
k set env deploy/d --list
k set resources deploy/d -c=x --limits=cpu=200m,memory=512Mi --requests=cpu=100m
k set resources deploy/d --limits=cpu=bad
k set serviceaccount deploy/d bot
k set image deploy/d nope=x
k set image deploy/d '*=all:1'
k get deploy d -o jsonpath='{.spec.template.spec.containers[0]}{.spec.template.spec.serviceAccount}{"\n"}'
k create service clusterip s --tcp=80
k set selector svc/s 'a=b,c=d'
k get svc s -o jsonpath='{.spec.selector}{"\n"}'
k create role r --verb=get --resource=pods
k create rolebinding rb --role=r --user=u
k set subject rolebinding rb --user=v --serviceaccount=$NS:default
k get rolebinding rb -o wide
k expose deploy d --port=80 --target-port=8080 --name=e
k expose deploy d --port=80 --type=NodePort --name=f -o jsonpath='{.spec.selector}{.spec.type}{"\n"}'
k expose deploy d --name=g
k expose svc s --port=1 --name=h
k get svc
k autoscale deploy d --min=1 --max=3 --cpu-percent=50
k autoscale deploy d --min=5 --max=3
k get hpa d -o jsonpath='{.spec}{"\n"}'
k get hpa
k label deploy d a=b c=d
k label deploy d a=c
k label deploy d a=c --overwrite
k label deploy d a- zz-
k label deploy --all all=yes
k label deploy d 'bad key=x'
k label deploy d a='bad value!'
k label deploy d x=y --resource-version=1
k annotate deploy d n='any thing! ☃'
k annotate deploy d n=other
k annotate deploy d n-
k annotate deploy d 'bad key=x'
k delete deploy d --dry-run=server
k delete deploy d --cascade=orphan --dry-run=client
k delete deploy d --cascade=bogus
k delete deploy d --wait=false -o name
k delete deploy d nope
k delete hpa --all
k delete svc --all
k delete svc nope --ignore-not-found
k delete cm -l a=b
k delete cm --field-selector=metadata.name=ec
k delete pods --all
k delete nosuch x
k delete
k delete cm
k delete cm x --all
k delete role/r rolebinding/rb
k create job j --image=x --dry-run=client -o yaml > j.yaml
sed -i 's/^spec:/spec:\n  suspend: true/' j.yaml
k create -f j.yaml
k wait --for=condition=Suspended job/j --timeout=10s
k get job j
k get job j -o wide
k get job j -o jsonpath='{.status.conditions[0].type} {.status.conditions[0].reason} {.status.conditions[0].message}{"\n"}'
k create cronjob cj --image=x --schedule='0 0 1 1 *' -- date
k get cj
k get cj -o wide
k patch cj cj -p '{"spec":{"suspend":true,"timeZone":"Etc/UTC"}}'
k get cj
k create -f - <<'Y'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ss}
spec: {replicas: 0, serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}
Y
observed sts/ss
k get sts ss
k get sts ss -o wide
k get sts ss -o jsonpath='{.status.replicas} {.status.availableReplicas} {.status.collisionCount}{"\n"}'
k rollout status sts/ss
k rollout history sts/ss
k set image sts/ss c=y
observed sts/ss
k rollout history sts/ss
k rollout undo sts/ss
observed sts/ss
k rollout restart sts/ss
k create -f - <<'Y'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec: {selector: {matchLabels: {a: d}}, template: {metadata: {labels: {a: d}}, spec: {nodeSelector: {no: where}, containers: [{name: c, image: x}]}}}
Y
observed ds/ds
k get ds ds
k get ds ds -o wide
k get ds ds -o jsonpath='{.status}{"\n"}'
k rollout status ds/ds
k rollout history ds/ds
k rollout pause ds/ds
k rollout status pod/x
k wait --for=condition=Available deploy/nope --timeout=1s
k wait --for=delete deploy/nope --timeout=1s
k wait --for=jsonpath='{.spec.replicas}'=0 sts/ss --timeout=5s
k wait --for=jsonpath='{.spec.replicas}' sts/ss --timeout=5s
k wait --for=jsonpath='{.spec.replicas}'=7 sts/ss --timeout=1s
k wait --for=create sts/ss --timeout=1s
k wait --for=create sts/nope --timeout=1s
k wait --for=condition=Complete job/j --timeout=1s
k wait --for=condition=Suspended=True job --all --timeout=5s
k wait --for=bogus job/j
