k create serviceaccount bot
k create -f - <<'Y'
apiVersion: v1
kind: Secret
metadata: {name: tok, annotations: {kubernetes.io/service-account.name: bot}}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Secret
metadata: {name: lost, annotations: {kubernetes.io/service-account.name: nobody}}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Secret
metadata: {name: bare}
type: kubernetes.io/service-account-token
Y
settle get secret tok -o yaml -- token:
k wait --for=delete secret/lost --timeout=10s
k get secret tok
k get secret tok lost bare
k get secret tok -o jsonpath='{.metadata.annotations}{.type}{.metadata.labels}{"\n"}'
k get secret tok -o go-template='{{range $k, $v := .data}}{{$k}} {{end}}{{"\n"}}'
k describe sa bot
T=$(q get secret tok -o jsonpath='{.data.token}' | base64 -d)
SERVER=$(q config view -o jsonpath='{.clusters[0].cluster.server}')
kt() { kubectl --kubeconfig /dev/null --server "$SERVER" --insecure-skip-tls-verify --token "$T" "$@"; echo "[$?]"; }
say whoami; kt auth whoami -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups} {.status.userInfo.extra}{"\n"}'
say pods; kt get pods -n $NS
k create rolebinding bot --clusterrole=view --serviceaccount=$NS:bot
say pods; kt get pods -n $NS
q patch secret tok --type=merge -p '{"data":{"token":null}}' > /dev/null
settle get secret tok -o yaml -- token:
k delete sa bot
k wait --for=delete secret/tok --timeout=10s
k get secret tok
