k create deployment d --image=x --replicas=0
k patch deploy d -p '{"spec":{"selector":{"matchLabels":{"app":"e"}}}}'
k patch deploy d --type=merge -p '{"spec":{"selector":{"matchLabels":{"app":"e"}},"template":{"metadata":{"labels":{"app":"e"}}}}}'
k patch deploy d --type=merge -p '{"metadata":{"name":"e"}}'
k patch deploy d --type=merge -p '{"metadata":{"namespace":"e"}}'
k patch deploy d --type=merge -p '{"metadata":{"uid":"e"}}'
k patch deploy d --type=merge -p '{"metadata":{"resourceVersion":"1"}}'
k patch deploy d --type=merge -p '{"metadata":{"resourceVersion":"abc"}}'
k patch deploy d --type=merge -p '{"metadata":{"creationTimestamp":"2001-01-01T00:00:00Z","generation":77}}'
k patch deploy d --type=merge -p '{"status":{"replicas":5}}'
k patch deploy d --type=merge --subresource=status -p '{"status":{"replicas":-5}}'
k patch deploy d --type=merge --subresource=scale -p '{"spec":{"replicas":-5}}'
k patch deploy d --type=merge --subresource=nope -p '{}'
k get deploy d -o jsonpath='{.metadata.name} {.status.replicas}{"\n"}'
k create service clusterip s --tcp=80
k patch svc s -p '{"spec":{"clusterIP":"10.0.0.1"}}'
k patch svc s -p '{"spec":{"clusterIP":""}}'
k patch svc s -p '{"spec":{"type":"NodePort"}}'
k get svc s -o jsonpath='{.spec.type} {.spec.externalTrafficPolicy} {.spec.ports[0].targetPort}{"\n"}'
k patch svc s -p '{"spec":{"type":"ClusterIP"}}'
k get svc s -o jsonpath='{.spec.type} [{.spec.externalTrafficPolicy}] [{.spec.ports[0].nodePort}]{"\n"}'
k patch svc s -p '{"spec":{"type":"ExternalName"}}'
k patch svc s -p '{"spec":{"type":"ExternalName","externalName":"a.b"}}'
k get svc s -o jsonpath='{.spec.type} [{.spec.clusterIP}] [{.spec.ipFamilies}]{"\n"}'
k create configmap cm --from-literal=a=b
k patch cm cm -p '{"immutable":true}'
k patch cm cm -p '{"data":{"a":"c"}}'
k patch cm cm -p '{"immutable":false}'
k patch cm cm -p '{"metadata":{"labels":{"a":"c"}}}'
k create secret generic sec --from-literal=a=b
k patch secret sec -p '{"type":"x"}'
k patch secret sec -p '{"immutable":true}'
k patch secret sec -p '{"stringData":{"z":"c"}}'
k create job j --image=x --dry-run=client -o yaml > j.yaml
sed -i 's/^spec:/spec:\n  suspend: true/' j.yaml
k create -f j.yaml
k patch job j -p '{"spec":{"template":{"spec":{"containers":[{"name":"j","image":"y"}]}}}}'
k patch job j -p '{"spec":{"completions":5}}'
k patch job j -p '{"spec":{"parallelism":5,"backoffLimit":1,"completionMode":"Indexed"}}'
k patch job j -p '{"spec":{"parallelism":5,"ttlSecondsAfterFinished":100}}'
k create priorityclass $NS-p --value=5
k patch priorityclass $NS-p -p '{"value":6}'
k patch priorityclass $NS-p -p '{"description":"d"}'
k delete priorityclass $NS-p
k create role r --verb=get --resource=pods
k create rolebinding rb --role=r --user=u
k create -f - <<'Y'
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ss}
spec: {replicas: 0, serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}
Y
k patch sts ss -p '{"spec":{"serviceName":"t","podManagementPolicy":"Parallel"}}'
k patch sts ss -p '{"spec":{"replicas":0,"minReadySeconds":3,"revisionHistoryLimit":3}}'
k create -f - <<'Y'
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: ds}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {nodeSelector: {no: "no"}, containers: [{name: c, image: x}]}}}
Y
k patch ds ds --type=merge -p '{"spec":{"selector":{"matchLabels":{"a":"c"}},"template":{"metadata":{"labels":{"a":"c"}}}}}'
k create -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {schedulerName: nobody, containers: [{name: c, image: x, env: [{name: A, value: b}]}]}
Y
k patch pod p -p '{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"z"}]}]}}'
k patch pod p -p '{"spec":{"activeDeadlineSeconds":10}}'
k patch pod p -p '{"spec":{"activeDeadlineSeconds":20}}'
k patch pod p -p '{"spec":{"activeDeadlineSeconds":null}}'
k patch pod p -p '{"spec":{"terminationGracePeriodSeconds":1}}'
k patch pod p -p '{"spec":{"tolerations":[{"key":"a","operator":"Exists"}]}}'
k patch pod p --type=json -p '[{"op":"replace","path":"/spec/tolerations","value":[]}]'
k patch pod p -p '{"spec":{"nodeName":"n"}}'
k patch pod p -p '{"spec":{"schedulingGates":[{"name":"a/b"}]}}'
k patch pod p -p '{"spec":{"containers":[{"name":"c","image":""}]}}'
k patch pod p -p '{"spec":{"containers":[{"name":"d","image":"y"}]}}'
k patch pod p -p '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}'
k patch pod p --subresource=status -p '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
k get pod p
k create -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c}
spec: {storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
Y
k patch pvc c -p '{"spec":{"accessModes":["ReadOnlyMany"]}}'
k patch pvc c -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'
k patch pvc c -p '{"spec":{"volumeName":"x"}}'
k create ingress i --rule=a.b/=s:80
k patch ingress i --type=json -p '[{"op":"replace","path":"/spec/rules/0/http/paths/0/pathType","value":"Foo"}]'
k create quota q --hard=pods=1 --scopes=BestEffort
k patch quota q -p '{"spec":{"scopes":["NotBestEffort"]}}'
k create pdb b --selector=a=b --min-available=1
k patch pdb b --type=merge -p '{"spec":{"selector":{"matchLabels":{"x":"y"}}}}'
k patch pdb b --type=merge -p '{"spec":{"maxUnavailable":1}}'
k patch ns $NS -p '{"spec":{"finalizers":[]}}'
k patch ns $NS --type=merge -p '{"metadata":{"labels":{"kubernetes.io/metadata.name":"other"}}}'
k get ns $NS -o jsonpath='{.metadata.labels}{.spec}{"\n"}'
