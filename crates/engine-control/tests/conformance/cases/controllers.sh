# What controllers make of objects whose pods nobody runs.
TEMPLATE='{"metadata":{"labels":{"app":"x"}},"spec":{"schedulerName":"nobody","restartPolicy":"Never","containers":[{"name":"c","image":"x"}]}}'
ALWAYS=$(say "$TEMPLATE" | sed 's/Never/Always/')
events() { settle get events -o jsonpath='{.items[*].reason}' -- "$1"; }
TOLD='{range .items[?(@.type)]}{.type}{" "}{.reason}{" "}{.involvedObject.kind}{"/"}{.involvedObject.name}{" "}{.message}{"\n"}{end}'
say '{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"plain"},"spec":{"suspend":true,"template":'"$TEMPLATE"'}}' | q create -f - >/dev/null
settle get job plain -o jsonpath='{.status.conditions[*].type}' -- Suspended
k get job plain -o jsonpath='{.metadata.labels.app}{" "}{.metadata.labels.job-name}{" "}{.metadata.labels.controller-uid}{"\n"}'
k get job plain -o jsonpath='{range .status.conditions[*]}{.type}{" "}{.status}{" "}{.reason}{" "}{.message}{"\n"}{end}'
say '{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"many","labels":{"own":"y"}},"spec":{"completions":3,"parallelism":2,"completionMode":"Indexed","backoffLimitPerIndex":1,"template":'"$TEMPLATE"'}}' | q create -f - >/dev/null
settle get pods -l job-name=many -o name -- pod/
settle get job many -o jsonpath='{.status}' -- '"active":2'
k get job many -o jsonpath='{.metadata.labels}{"\n"}{.status.failedIndexes}{"|"}{.status.completedIndexes}{"|"}{.status.terminating}{"|"}{.status.ready}{"\n"}'
k get pods -l job-name=many -o jsonpath='{range .items[*]}{.metadata.generateName}{" "}{.metadata.finalizers}{" "}{.spec.hostname}{" "}{.metadata.annotations}{"\n"}{end}'
say '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"progressDeadlineSeconds":600,"selector":{"matchLabels":{"app":"web"}},"template":'"$(say "$ALWAYS" | sed 's/"app":"x"/"app":"web"/')"'}}' | q create -f - >/dev/null
settle get deployment web -o jsonpath='{.status.replicas}' -- 2
q set image deployment/web c=y >/dev/null
settle get deployment web -o jsonpath='{.status.replicas}{.status.updatedReplicas}' -- 31
q scale deployment web --replicas=5 >/dev/null
settle get deployment web -o jsonpath='{.status.observedGeneration}{" "}{.status.replicas}' -- '3 7'
k get rs -l app=web -o jsonpath='{range .items[*]}{.spec.replicas}{" "}{.metadata.annotations}{"\n"}{end}'
k get deployment web -o jsonpath='{.metadata.annotations}{"\n"}{range .status.conditions[*]}{.type}{" "}{.status}{" "}{.reason}{"\n"}{end}'
q annotate deployment web deprecated.deployment.rollback.to=1 >/dev/null
settle get deployment web -o jsonpath='{.spec.template.spec.containers[0].image}' -- x
events DeploymentRollback
k get deployment web -o jsonpath='{.metadata.annotations.deprecated\.deployment\.rollback\.to}{"\n"}'
k get events --field-selector reason=DeploymentRollback -o jsonpath="$TOLD"
say '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"owned","labels":{"of":"thing"},"ownerReferences":[{"apiVersion":"example.com/v1","kind":"Thing","name":"t","uid":"u","controller":true}]},"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"x"}]}}' | q create -f - >/dev/null
q create pdb first --selector=of=thing --max-unavailable=1 >/dev/null
settle get pdb first -o jsonpath='{.status.conditions[*].reason}' -- SyncFailed
settle get events --field-selector involvedObject.name=first -o jsonpath='{.items[*].reason}' -- CalculateExpectedPodCountFailed
k get pdb first -o jsonpath='{range .status.conditions[*]}{.type}{" "}{.status}{" "}{.reason}{" "}{.message}{"\n"}{end}'
k get events --field-selector involvedObject.name=first -o jsonpath="$TOLD"
q create -f - >/dev/null <<Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-out}
provisioner: x.y/z
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-none}
provisioner: kubernetes.io/no-provisioner
Y
for class in out none; do q create -f - >/dev/null <<Y
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $class}
spec: {storageClassName: $NS-$class, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
Y
done
settle get events -o jsonpath='{.items[*].reason}' -- ExternalProvisioning
settle get events -o jsonpath='{.items[*].reason}' -- ProvisioningFailed
k get pvc out none -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.metadata.annotations}{" "}{.status.phase}{"\n"}{end}'
k get events --field-selector involvedObject.kind=PersistentVolumeClaim --sort-by=.involvedObject.name -o jsonpath="$TOLD"
q delete storageclass $NS-out $NS-none >/dev/null
say '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"short"},"spec":{"volumes":[{"name":"v","ephemeral":{"volumeClaimTemplate":{"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Mi"}}}}}}],"containers":[{"name":"c","image":"x"}],"schedulerName":"nobody"}}' > short.json
say '{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"short-v"},"spec":{"storageClassName":"","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Mi"}}}}' | q create -f - >/dev/null
q create -f short.json >/dev/null
settle get events --field-selector involvedObject.name=short -o jsonpath='{.items[*].reason}' -- FailedBinding
k get events --field-selector involvedObject.name=short -o jsonpath="$TOLD"
q create service clusterip api --tcp=80 >/dev/null
settle get endpoints api -o name -- endpoints/api
q patch endpoints api --type=merge -p '{"subsets":[{"addresses":[{"ip":"10.1.2.3"}],"ports":[{"port":80}]}]}' >/dev/null 2>&1
sleep 1
k get endpoints api -o jsonpath='{.subsets}{"\n"}'
kubectl -n "$NS" get pods -w --output-watch-events -o jsonpath='{.type}{" "}{.object.metadata.name}{" "}{.object.metadata.generation}{" "}{.object.metadata.deletionGracePeriodSeconds}{"\n"}' > watched &
watch=$!
disown
seen() { for _ in $(seq 600); do grep -q "$1" watched && return; sleep 0.1; done; say "not seen within patience: $1"; }
seen ' owned '
q run gone --image=x --overrides='{"spec":{"schedulerName":"nobody"}}' >/dev/null
q delete pod gone >/dev/null
seen 'DELETED gone '
kill $watch
grep ' gone ' watched
