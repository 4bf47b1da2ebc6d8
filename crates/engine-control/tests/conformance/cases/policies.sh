quota() { settle get quota $1 -o jsonpath='{.status.used}' -- "$2"; }
k create quota q --hard=pods=1,requests.cpu=500m,limits.memory=1Gi,count/deployments.apps=1,services=2,services.nodeports=1,secrets=1
quota q '"pods":"0"'
k run a --image=x
k run b --image=x --overrides='{"spec":{"schedulerName":"nobody","containers":[{"name":"b","image":"x","resources":{"requests":{"cpu":"100m"},"limits":{"memory":"64Mi"}}}]}}'
k run c --image=x --overrides='{"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"x","resources":{"requests":{"cpu":"1"},"limits":{"memory":"64Mi"}}}]}}'
k create deployment d1 --image=x --replicas=0
k create deployment d2 --image=x --replicas=0
k create service clusterip s1 --tcp=80
k create service nodeport s2 --tcp=80
k create service nodeport s3 --tcp=80
k patch svc s1 -p '{"spec":{"type":"NodePort"}}'
k create secret generic e1
k create secret generic e2
k create secret generic e2 --dry-run=server
quota q '"secrets":"1"'
k delete secret e1
quota q '"secrets":"0"'
k create secret generic e2
k delete quota q
k delete pod b --grace-period=0 --force
k create -f - <<'Y'
apiVersion: v1
kind: LimitRange
metadata: {name: lr}
spec: {limits: [{type: Container, max: {cpu: "1", memory: 1Gi}, min: {cpu: 50m}, default: {memory: 64Mi, cpu: 500m}, defaultRequest: {cpu: 100m}, maxLimitRequestRatio: {cpu: "10"}}, {type: Pod, max: {cpu: "2"}}, {type: PersistentVolumeClaim, max: {storage: 1Gi}, min: {storage: 10Mi}}]}
Y
k get limits
k run l1 --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'
k get pod l1 -o jsonpath='{.spec.containers[0].resources}{.metadata.annotations}{.status.qosClass}{"\n"}'
k run l2 --image=x --overrides='{"spec":{"containers":[{"name":"l2","image":"x","resources":{"requests":{"cpu":"10m"},"limits":{"cpu":"2","memory":"2Gi"}}}]}}'
k run l3 --image=x --overrides='{"spec":{"containers":[{"name":"a","image":"x","resources":{"limits":{"cpu":"1"}}},{"name":"b","image":"x","resources":{"limits":{"cpu":"1"}}},{"name":"c","image":"x","resources":{"limits":{"cpu":"1"}}}]}}'
k run l4 --image=x --overrides='{"spec":{"containers":[{"name":"l4","image":"x","resources":{"requests":{"cpu":"50m"},"limits":{"cpu":"1"}}}]}}'
k create -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: big}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}
Y
k delete limits lr
k delete pod l1 --grace-period=0 --force
k create quota be --hard=pods=1 --scopes=BestEffort
k create quota term --hard=pods=2 --scopes=Terminating
quota term '"pods":"0"'
k run b1 --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'
k run b2 --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'
k run b3 --image=x --overrides='{"spec":{"schedulerName":"nobody","activeDeadlineSeconds":100,"containers":[{"name":"b3","image":"x","resources":{"requests":{"cpu":"1m"}}}]}}'
quota term '"pods":"1"'
k get quota
k delete quota --all
k delete pod --all --grace-period=0 --force
k create -f - <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: guarded, labels: {app: g}}
spec: {schedulerName: nobody, containers: [{name: c, image: x}]}
Y
k create pdb g --selector=app=g --min-available=1
settle get pdb g -o jsonpath='observed {.status.observedGeneration}' -- 'observed 1'
k get pdb g
k get pdb g -o jsonpath='{.status.disruptionsAllowed} {.status.currentHealthy} {.status.desiredHealthy} {.status.expectedPods} {.status.conditions[0].type}={.status.conditions[0].status} {.status.conditions[0].reason}{"\n"}'
k create --raw /api/v1/namespaces/$NS/pods/guarded/eviction -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"guarded","namespace":"$NS"}}
Y
k patch pod guarded --subresource=status -p '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
k get pdb g
k create --raw /api/v1/namespaces/$NS/pods/guarded/eviction -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"guarded","namespace":"$NS"}}
Y
k create --raw /api/v1/namespaces/$NS/pods/nope/eviction -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"nope","namespace":"$NS"}}
Y
k create --raw /api/v1/namespaces/$NS/pods/guarded/eviction -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"other","namespace":"$NS"}}
Y
k create pdb g2 --selector=app=g --max-unavailable=0
settle get pdb g2 -o jsonpath='g{.status.observedGeneration}' -- g1
k create --raw /api/v1/namespaces/$NS/pods/guarded/eviction -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"guarded","namespace":"$NS"}}
Y
k delete pdb --all
k create --raw "/api/v1/namespaces/$NS/pods/guarded/eviction?dryRun=All" -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"guarded","namespace":"$NS"}}
Y
k create --raw /api/v1/namespaces/$NS/pods/guarded/eviction -f - <<Y
{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"guarded","namespace":"$NS"}}
Y
k get pod guarded
k create priorityclass $NS-hi --value=777
k run pr --image=x --overrides="{\"spec\":{\"schedulerName\":\"nobody\",\"priorityClassName\":\"$NS-hi\"}}"
k get pod pr -o jsonpath='{.spec.priority} {.spec.preemptionPolicy}{"\n"}'
k delete priorityclass $NS-hi
