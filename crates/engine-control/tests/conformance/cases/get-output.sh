for i in 1 2 3 4 5; do q create configmap c$i --from-literal=n=$i >/dev/null; q label cm c$i idx=$((i%2)) "t=v$i" >/dev/null; done
k get cm -l idx -o json | sed 's/"uid".*//'
k get cm -l idx -o jsonpath='{.items[*].metadata.name}{"\n"}'
k get cm c1 c2 -o jsonpath='{.items[*].metadata.name}{"\n"}'
k get cm c1 nope c2
k get cm/c1 secret/nope
k get cm -l idx -o jsonpath-as-json='{.items[*].data.n}'
k get cm -l idx -o go-template='{{range .items}}{{.metadata.name}}={{.data.n}} {{end}}{{"\n"}}'
k get cm -l idx -o custom-columns=NAME:.metadata.name,IDX:.metadata.labels.idx,NONE:.nope
k get cm -l idx -o custom-columns=NAME:.metadata.name --no-headers
k get cm -l idx --show-labels
k get cm -l idx -L idx,t,zz
k get cm -l idx --show-kind
k get cm -l idx --no-headers
k get cm -l idx --sort-by='{.data.n}' -o name
k get cm -l idx --sort-by=.metadata.nope
k get cm -l idx=1 -o wide
k get cm -l 'idx in (0,1),t notin (v1)' -o name
k get cm -l 'idx>0' -o name
k get cm -l 'bad key' -o name
k get cm -l 'a=b=c' -o name
k get cm -l 'a in b' -o name
k get cm -l 'a in ()' -o name
k get cm -l '' -l idx -o name
k get cm --field-selector=metadata.name!=c1,metadata.namespace=$NS -l idx -o name
k get cm --field-selector=metadata.name=c1,metadata.name=c2 -o name
k get cm --field-selector=bad
k get cm --field-selector=metadata.labels=x
k get pods --field-selector=status.phase=Running,spec.nodeName=x,spec.restartPolicy=Always,spec.schedulerName=y,spec.serviceAccountName=z,status.podIP=1,status.nominatedNodeName=a,spec.hostNetwork=true
k get pods --field-selector=spec.containers=x
k get secret --field-selector=type=Opaque
k get secret --field-selector=data=x
k get events --field-selector=involvedObject.kind=Pod,involvedObject.name=x,reason=y,type=Normal,source=z,reportingComponent=a,involvedObject.uid=u,involvedObject.fieldPath=f,involvedObject.namespace=n,involvedObject.apiVersion=v,involvedObject.resourceVersion=1
k get ns --field-selector=status.phase=Active,metadata.name=$NS
k get nodes --field-selector=spec.unschedulable=true
k get jobs --field-selector=status.successful=1
k get deploy --field-selector=metadata.name=x
k get deploy --field-selector=spec.replicas=1
k get rs --field-selector=status.replicas=0
k get svc --field-selector=spec.type=ClusterIP,spec.clusterIP=None
k get cm --chunk-size=2 -o name
k get cm --chunk-size=2
k get cm c1 --ignore-not-found -o name
k get cm nope --ignore-not-found
k get cm c1 --output-watch-events -w --request-timeout=1s -o name
k get cm c1 -o bogus
k get cm c1 -o jsonpath='{.nope'
k get cm c1 -o jsonpath='{.nope}'
k get cm c1 -o jsonpath='{.data.n}' --allow-missing-template-keys=false
k get cm c1 -o go-template='{{.nope}}'
k get nosuch,cm
k get cm,nosuch
k get
k get cm,sa,secret,svc
k get deploy.apps
k get deployments.v1.apps
k get deployments.v9.apps
k get pods -A --field-selector=metadata.namespace=nowhere-at-all
k get pods -n nowhere-at-all
k get cm x -n nowhere-at-all
k get node nowhere
k get ns nowhere
k get --raw /healthz
k get --raw /livez
k get --raw /readyz
k get --raw /nope
k get --raw /api/v1/nope
k get --raw /api/v1/namespaces/$NS/configmaps/c1/nope
k get --raw /api/v1/namespaces/$NS/pods/x/log
k get --raw "/api/v1/namespaces/$NS/configmaps?limit=x"
k get --raw "/api/v1/namespaces/$NS/configmaps?labelSelector=a%20b"
k get --raw "/api/v1/namespaces/$NS/configmaps?fieldSelector=a"
k get --raw "/api/v1/namespaces/$NS/configmaps?resourceVersion=x"
k get --raw "/api/v1/namespaces/$NS/configmaps?resourceVersionMatch=Exact"
k get --raw "/api/v1/namespaces/$NS/configmaps?resourceVersionMatch=Foo&resourceVersion=1"
k get --raw "/api/v1/namespaces/$NS/configmaps?resourceVersionMatch=Exact&resourceVersion=0"
k get --raw "/api/v1/namespaces/$NS/configmaps?continue=bogus"
k get --raw "/api/v1/namespaces/$NS/configmaps?continue=bogus&resourceVersion=5"
k get --raw "/api/v1/namespaces/$NS/configmaps?watch=1&resourceVersion=x"
k get --raw "/api/v1/namespaces/$NS/configmaps?watch=1&sendInitialEvents=true"
k get --raw "/api/v1/namespaces/$NS/configmaps?sendInitialEvents=true"
k get --raw "/api/v1/namespaces/$NS/configmaps?watch=1&timeoutSeconds=x"
k get cm c1 -v=0 --show-managed-fields -o yaml
k get cm c1 -o kyaml
k get cm --server-print=false -l idx=1
k get -f /dev/null
