k create rolebinding v --clusterrole=view --user=jane
k create rolebinding gone --role=gone --user=jane --serviceaccount=$NS:bot
review() { printf '{"apiVersion":"authorization.k8s.io/v1","kind":"%s","metadata":{"namespace":"%s"},"spec":%s}' "$1" "${3:-}" "$2" > review.json; }
review SubjectAccessReview '{"user":"jane","resourceAttributes":{"namespace":"'$NS'","verb":"get","resource":"pods"}}'
k create -f review.json -o jsonpath='{.status}{"\n"}'
review SubjectAccessReview '{"user":"jane","resourceAttributes":{"namespace":"'$NS'","verb":"get","resource":"secrets"}}'
k create -f review.json -o jsonpath='{.status}{"\n"}'
review SubjectAccessReview '{"user":"system:serviceaccount:'$NS':bot","resourceAttributes":{"namespace":"'$NS'","verb":"get","resource":"pods"}}'
k create -f review.json -o jsonpath='{.status}{"\n"}'
review SubjectAccessReview '{"groups":["system:masters"],"nonResourceAttributes":{"path":"/x","verb":"y"}}'
k create -f review.json -o jsonpath='{.status}{"\n"}'
review SubjectAccessReview '{"resourceAttributes":{"verb":"get"}}'
k create -f review.json
review SubjectAccessReview '{"user":"a"}'
k create -f review.json
review SubjectAccessReview '{"user":"a","resourceAttributes":{"verb":"get"},"nonResourceAttributes":{"path":"/"}}'
k create -f review.json
review SubjectAccessReview '{"user":"a","resourceAttributes":{"verb":"get","resource":"pods","labelSelector":{}}}'
k create -f review.json
review LocalSubjectAccessReview '{"user":"jane","resourceAttributes":{"namespace":"'$NS'","verb":"list","resource":"pods"}}' $NS
k create -f review.json -o jsonpath='{.status}{"\n"}'
review LocalSubjectAccessReview '{"user":"jane","resourceAttributes":{"verb":"list","resource":"pods"}}' $NS
k create -f review.json
review LocalSubjectAccessReview '{"user":"jane","nonResourceAttributes":{"path":"/","verb":"x"}}' $NS
k create -f review.json
k get secrets --as=jane
k get pods --as=jane
k auth can-i get secrets --as=jane
k auth can-i list pods --as=jane
k create sa bot
k create token bot --bound-object-kind=Secret --bound-object-name=none
k create token bot --bound-object-kind=Pod --bound-object-name=none
k create token nobody
