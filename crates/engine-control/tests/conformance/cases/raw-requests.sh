k create configmap a --from-literal=k=v
k create deployment d --image=i --replicas=0
say 'bodies of subresources'
put() { say "PUT $1 $2"; k replace --raw "$1" -f - <<< "$2"; say "[$?]"; }
post() { say "POST $1 $2"; k create --raw "$1" -f - <<< "$2"; say "[$?]"; }
APPS=/apis/apps/v1/namespaces/$NS/deployments
CORE=/api/v1/namespaces/$NS
POD='{"apiVersion":"v1","kind":"Pod","metadata":{"name":"d"}}'
put $APPS/d/scale "$POD"
put $APPS/d/scale '{"spec":{"replicas":1}}'
put $APPS/d/scale '{"kind":"Scale","apiVersion":"autoscaling/v2","metadata":{"name":"d"}}'
put $APPS/d/scale '{"metadata":{"name":"d"},"spec":{"replicas":"x"}}'
put $APPS/d/scale '{"metadata":{"name":"d","namespace":"other"}}'
post $CORE/pods/p/binding "$POD"
post $CORE/pods/p/binding '{}'
post $CORE/pods/p/eviction "$POD"
post $CORE/pods/p/eviction '{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"p"}}'
post $CORE/serviceaccounts/default/token "$POD"
post $CORE/serviceaccounts/default/token '{"metadata":{"namespace":"other"}}'
put $CORE/finalize '{"metadata":{"name":"other"}}'
put $CORE/finalize '{}'
say 'lists and watches'
k get --raw "$CORE/configmaps?continue=abcd"
k get --raw "$CORE/configmaps?continue=eyJ2IjoieCJ9"
k get --raw "$CORE/configmaps?sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
k get --raw "$CORE/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=Exact"
k get --raw "$CORE/configmaps?watch=1&timeoutSeconds=1&resourceVersion=99999999"
k get --raw "$CORE/configmaps?limit=x"
k delete --raw "$CORE/configmaps?limit=x"
k get --raw /api/v1/watch
k get --raw /api/v1/watch/pods/x
say 'patches'
k patch configmap a --type=merge -p 'null'
k patch configmap a --type=strategic -p '{"kind":"Pod"}' -o name
post $CORE/configmaps '{"metadata":{"name":"b","ownerReferences":[{"apiVersion":"a/b/c","kind":"Pod","name":"p","uid":"u"}]}}'
say 'addresses'
post /apis/networking.k8s.io/v1/ipaddresses '{"metadata":{"name":"192.0.2.077"},"spec":{"parentRef":{"resource":"services","name":"x"}}}'
k create service clusterip s --tcp=80
IP=$(q get service s -o jsonpath='{.spec.clusterIP}')
k get ipaddresses $IP -o jsonpath='{.spec.parentRef.resource} {.spec.parentRef.name}{"\n"}'
say 'pages'
k get --raw /livez/ping
k get --raw /readyz/informer-sync
k get --raw '/livez?exclude=etcd'
k get --raw /livez/nope
k get --raw /configz
k get --raw /version/x
