k auth whoami
k auth whoami -o yaml
k auth can-i create pods
k auth can-i '*' '*'
k auth can-i get pods --as=jane
k auth can-i get pods --as=jane --as-group=system:masters
k auth can-i get /metrics --as=jane
k auth can-i get /version --as=jane
k auth can-i get nosuch
k auth can-i get pods/log --as=jane
k auth can-i get pods --subresource=exec --as=jane
k get pods --as=jane
k get pods -A --as=jane
k get nodes --as=jane
k get pod x --as=jane
k create configmap x --from-literal=a=b --as=jane
k delete cm x --as=jane
k get --raw /metrics --as=jane
k get --raw /apis/apps/v1/namespaces/$NS/deployments --as=system:anonymous --as-group=system:unauthenticated
k create rolebinding v --clusterrole=view --user=jane
k get pods --as=jane
k get secrets --as=jane
k auth can-i get secrets --as=jane
k auth can-i get pods --as=jane -q
k auth can-i get deployments.apps/scale --as=jane
k create role exact --verb=get,delete --resource=configmaps --resource-name=one
k create rolebinding exact --role=exact --user=rob
k create configmap one --from-literal=a=b
k create configmap two --from-literal=a=b
k get cm one --as=rob -o name
k get cm two --as=rob -o name
k get cm --as=rob -o name
k delete cm one two --as=rob
k auth can-i get cm/one --as=rob
k auth can-i get cm/two --as=rob
k create role escal --verb='*' --resource='*' --as=jane
k create rolebinding a --clusterrole=admin --user=ann
k auth can-i create roles --as=ann
k create role r1 --verb=get --resource=pods --as=ann
k create role r2 --verb=get --resource=nodes --as=ann
k create rolebinding r3 --clusterrole=cluster-admin --user=ann --as=ann
k create rolebinding r4 --clusterrole=view --user=bob --as=ann
k get pods --as=bob
k get pods --as=jane --as-uid=1 --as-group=g
k get pods --as=bob2 -v=0
k create serviceaccount bot
T=$(k create token bot)
k --token="$T" auth whoami
k auth can-i get pods --as=system:serviceaccount:$NS:bot
SERVER=$(q config view -o jsonpath='{.clusters[0].cluster.server}')
kt() { kubectl --kubeconfig /dev/null --server "$SERVER" --insecure-skip-tls-verify --token "$T" "$@"; echo "[$?]"; }
say whoami; kt auth whoami -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups}{"\n"}'
say pods; kt get pods -n $NS
k create rolebinding bot --clusterrole=edit --serviceaccount=$NS:bot
say pods; kt get pods -n $NS
say secret; kt create secret generic s --from-literal=a=b -n $NS
T=nonsense
say bad; kt get pods -n $NS
T=a.b.c
say bad; kt get pods -n $NS
say anonymous; kubectl --kubeconfig /dev/null --server "$SERVER" --insecure-skip-tls-verify --username= --password= get --raw /api/v1/pods; echo "[$?]"
k auth reconcile -f - <<'Y'
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rec}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rec}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rec}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: u}]
Y
k auth reconcile --remove-extra-permissions -f - <<'Y'
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rec}
rules: [{apiGroups: [""], resources: [pods], verbs: [list]}]
Y
k get role rec -o jsonpath='{.rules}{"\n"}'
k get clusterrole view -o jsonpath='{.aggregationRule}{.metadata.labels}{.metadata.annotations}{"\n"}'
k get clusterrolebinding cluster-admin -o yaml
k describe clusterrolebinding cluster-admin
k describe role rec
k describe rolebinding rec
k create -f - -o yaml <<'Y'
apiVersion: authorization.k8s.io/v1
kind: SelfSubjectAccessReview
spec: {nonResourceAttributes: {path: /x, verb: get}}
Y
k config view --minify -o jsonpath='{.contexts[0].context.namespace}{"\n"}'
