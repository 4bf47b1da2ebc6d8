# What admission and controllers say of quotas and their scopes, budgets, claims that grow, definitions that go, and hints.
USED='{.status.used}{"\n"}'
pod() { say '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"'"$1"'","labels":{"app":"x"}},"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"x"}]'"${2:-}"'}}' | k create -f -; }
quota() { say '{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"'"$1"'"},"spec":'"$2"'}' | k create -f -; settle get quota "$1" -o jsonpath='{.status.hard}' -- '{'; }
quota best '{"hard":{"pods":"1"},"scopes":["BestEffort"]}'
quota dated '{"hard":{"pods":"2","requests.cpu":"1"},"scopes":["Terminating"]}'
quota gold '{"hard":{"persistentvolumeclaims":"1"},"scopeSelector":{"matchExpressions":[{"scopeName":"VolumeAttributesClass","operator":"In","values":["gold"]}]}}'
quota kinds '{"hard":{"count/ghosts.example.com":"1","count/leases.coordination.k8s.io":"1","services":"5","services.nodeports":"1","requests.example.com/gpu":"2","hugepages-2Mi":"4Mi"}}'
say '{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"bad"},"spec":{"hard":{"configmaps":"1"},"scopes":["BestEffort"]}}' | k create -f -
k get quota kinds -o jsonpath="$USED"
pod a
pod b
q patch quota best --type=merge -p '{"spec":{"hard":{"pods":"5"}}}' >/dev/null
settle get quota best -o jsonpath='{.status.hard}' -- 5
pod c ',"activeDeadlineSeconds":5'
pod gpu ',"volumes":[]'
settle get quota best -o jsonpath='{.status.used}' -- 2
k get quota best dated -o jsonpath='{range .items[*]}{.status.used}{"\n"}{end}'
claim() { say '{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"'"$1"'"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"'"$NS-$2"'","volumeAttributesClassName":'"$3"',"resources":{"requests":{"storage":"1Mi"}}}}' | k create -f -; }
claim g none '"gold"'
claim h none '"gold"'
claim i none '"iron"'
settle get quota gold -o jsonpath='{.status.used}' -- 1
k create service nodeport one --tcp=80
k create service nodeport two --tcp=80
settle get quota kinds -o jsonpath='{.status.used.services\.nodeports}' -- 1
k get quota kinds -o jsonpath="$USED"
q create -f - >/dev/null <<Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-none}
provisioner: kubernetes.io/no-provisioner
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-grows}
provisioner: x.y/z
allowVolumeExpansion: true
Y
for class in none grows; do q create -f - >/dev/null <<Y
apiVersion: v1
kind: PersistentVolume
metadata: {name: $NS-$class}
spec: {storageClassName: $NS-$class, accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /nowhere}}
Y
claim "$class" "$class" null
settle get pvc "$class" -o jsonpath='{.status.phase}' -- Bound
k patch pvc "$class" --type=merge -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'
done
k patch pvc i --type=merge -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}' 2>&1 | grep -o 'Forbidden: spec is immutable.*bound claims\|Only bound.*'
settle get events --field-selector involvedObject.name=grows -o jsonpath='{.items[*].reason}' -- ExternalExpanding
k get events --field-selector reason=ExternalExpanding -o jsonpath='{range .items[*]}{.type}{" "}{.source.component}{" "}{.message}{"\n"}{end}'
q delete pvc --all --wait=false >/dev/null
kubectl delete pv $NS-none $NS-grows --wait=false >/dev/null
kubectl delete storageclass $NS-none $NS-grows >/dev/null
crd() { say '{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"tabs.'"$1"'"'"${2:-}"'},"spec":{"group":"'"$1"'","scope":"Namespaced","names":{"plural":"tabs","kind":"Tab"}'"${3:-}"',"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}' | k create -f -; }
crd "$NS.k8s.io"
crd "$NS.k8s.io" ',"annotations":{"api-approved.kubernetes.io":"yes"}'
crd "$NS.example.com" '' ',"preserveUnknownFields":true'
crd "$NS.example.com"
q wait --for=condition=Established crd/tabs.$NS.example.com >/dev/null
settle get tabs.$NS.example.com -- 'o resources'
tab() { say '{"apiVersion":"'"$NS"'.example.com/v1","kind":"Tab","metadata":{"name":"'"$1"'","finalizers":["a.b/c"]}}' | k create -f -; }
tab a
kubectl delete crd tabs.$NS.example.com --wait=false >/dev/null
settle get crd tabs.$NS.example.com -o jsonpath='{.status.conditions[*].reason}' -- InstanceDeletionInProgress
k get crd tabs.$NS.example.com -o jsonpath='{range .status.conditions[*]}{.type}{" "}{.status}{" "}{.reason}{" "}{.message}{"\n"}{end}{.metadata.finalizers}{"\n"}'
tab b
q patch tabs.$NS.example.com a --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null
q create pdb none --selector=app=x --max-unavailable=0 >/dev/null
q patch pod a --subresource=status --type=merge -p '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}' >/dev/null
settle get pdb none -o jsonpath='{.status.currentHealthy}' -- 1
say '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"a"}}' > eviction.json
k create --raw "/api/v1/namespaces/$NS/pods/a/eviction" -f eviction.json
say '{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"hand"},"subsets":[{"addresses":[{"ip":"10.1.2.3","hostname":"h"}],"ports":[{"name":"a","port":80}]},{"addresses":[{"ip":"10.1.2.3"}],"ports":[{"name":"c","port":82}]},{"notReadyAddresses":[{"ip":"10.1.2.3"}],"ports":[{"name":"b","port":81}]}]}' | q create -f - >/dev/null 2>&1
say '{"apiVersion":"v1","kind":"Service","metadata":{"name":"hand"},"spec":{"ports":[{"name":"a","port":80}]}}' | q create -f - >/dev/null
settle get endpointslices -l kubernetes.io/service-name=hand -o jsonpath='{.items[1].addressType}' -- IPv4
k get endpointslices -l kubernetes.io/service-name=hand --sort-by='.ports[0].port' -o jsonpath='{range .items[*]}{.ports[*].port}{" "}{.endpoints}{"\n"}{end}'
say '{"apiVersion":"v1","kind":"Service","metadata":{"name":"close","annotations":{"service.kubernetes.io/topology-mode":"Auto"}},"spec":{"trafficDistribution":"PreferSameZone","selector":{"app":"none"},"ports":[{"port":80}]}}' | q create -f - >/dev/null
settle get events --field-selector involvedObject.name=close -o jsonpath='{.items[*].reason}' -- TopologyAwareHintsDisabled
k get events --field-selector involvedObject.name=close -o jsonpath='{range .items[*]}{.type}{" "}{.source.component}{" "}{.message}{"\n"}{end}'
