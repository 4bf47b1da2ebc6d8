pod() { q create -f - >/dev/null <<Y
{"apiVersion":"v1","kind":"Pod","metadata":{"name":"$1"},"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"x"},{"name":"d","image":"x"}]${3:+,$3}}}
Y
q patch pod $1 --subresource=status --type=merge -p "{\"status\":$2}" >/dev/null; }
W='{"name":"c","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"'
pod a1 '{"phase":"Pending","containerStatuses":['"$W"'ContainerCreating"}}},{"name":"d","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ContainerCreating"}}}]}'
pod a2 '{"phase":"Pending","containerStatuses":['"$W"'ErrImagePull"}}}]}'
pod a3 '{"phase":"Running","podIP":"1.2.3.4","podIPs":[{"ip":"1.2.3.4"}],"containerStatuses":[{"name":"c","image":"x","imageID":"","ready":true,"restartCount":3,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1,"finishedAt":"2020-01-01T00:00:00Z"}}},{"name":"d","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}],"conditions":[{"type":"Ready","status":"True"}]}'
pod a4 '{"phase":"Running","containerStatuses":[{"name":"c","image":"x","imageID":"","ready":false,"restartCount":2,"state":{"terminated":{"exitCode":2,"reason":"Error"}}},{"name":"d","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}]}'
pod a5 '{"phase":"Running","containerStatuses":[{"name":"c","image":"x","imageID":"","ready":false,"restartCount":2,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}},{"name":"d","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}],"conditions":[{"type":"Ready","status":"True"}]}'
pod a6 '{"phase":"Running","containerStatuses":[{"name":"c","image":"x","imageID":"","ready":false,"restartCount":2,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}},{"name":"d","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}],"conditions":[{"type":"Ready","status":"False"}]}'
pod a7 '{"phase":"Failed","reason":"Evicted","message":"low on memory"}'
pod a8 '{"phase":"Failed","containerStatuses":[{"name":"c","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":137,"signal":9}}}]}'
pod a9 '{"phase":"Failed","containerStatuses":[{"name":"c","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":3}}}]}'
pod b1 '{"phase":"Pending","initContainerStatuses":[{"name":"i","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"running":{}}}]}' '"initContainers":[{"name":"i","image":"x"},{"name":"j","image":"x"}]'
pod b2 '{"phase":"Pending","initContainerStatuses":[{"name":"i","image":"x","imageID":"","ready":false,"restartCount":5,"state":{"waiting":{"reason":"CrashLoopBackOff"}},"lastState":{"terminated":{"exitCode":1,"finishedAt":"2020-01-01T00:00:00Z"}}}]}' '"initContainers":[{"name":"i","image":"x"}]'
pod b3 '{"phase":"Pending","initContainerStatuses":[{"name":"i","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":7}}}]}' '"initContainers":[{"name":"i","image":"x"}]'
pod b4 '{"phase":"Pending","initContainerStatuses":[{"name":"i","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0}}},{"name":"j","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"PodInitializing"}}}]}' '"initContainers":[{"name":"i","image":"x"},{"name":"j","image":"x"}]'
pod b5 '{"phase":"Running","initContainerStatuses":[{"name":"s","image":"x","imageID":"","ready":true,"started":true,"restartCount":1,"state":{"running":{}}}],"containerStatuses":[{"name":"c","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}},{"name":"d","image":"x","imageID":"","ready":true,"restartCount":0,"state":{"running":{}}}],"conditions":[{"type":"Ready","status":"True"},{"type":"Initialized","status":"True"}]}' '"initContainers":[{"name":"s","image":"x","restartPolicy":"Always"}]'
pod b6 '{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}' '"schedulingGates":[{"name":"a.b/c"}]'
pod b7 '{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes"}]}'
pod b8 '{"phase":"Unknown","reason":"NodeLost"}'
pod b9 '{"phase":"Succeeded","containerStatuses":[{"name":"c","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}'
pod c1 '{"phase":"Running","conditions":[{"type":"Ready","status":"True"},{"type":"x.y/g","status":"False"}],"nominatedNodeName":"nn"}' '"readinessGates":[{"conditionType":"x.y/g"},{"conditionType":"x.y/h"}]'
k get pods
k get pods -o wide
k get pods a3 -o wide --no-headers
for p in a3 a4; do q patch pod $p --type=merge -p '{"metadata":{"finalizers":["x.y/z"]}}' >/dev/null; q delete pod $p --wait=false >/dev/null 2>&1; done
k get pods a3 a4
for p in a3 a4; do q patch pod $p --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null; done
k describe pod a3 | sed '/^Events/,$d'
k describe pod b2 | sed '/^Events/,$d'
k describe pod a7 | sed '/^Events/,$d'
st() { q patch $1 $2 --subresource=status --type=merge -p "{\"status\":$3}" >/dev/null; }
k create service loadbalancer lb --tcp=80:8080 --tcp=443:8443
st svc lb '{"loadBalancer":{"ingress":[{"ip":"9.9.9.9"},{"hostname":"h.example.com"}]}}'
k get svc lb
k create -f - <<'Y'
apiVersion: v1
kind: Service
metadata: {name: ext}
spec: {externalIPs: [8.8.8.8], selector: {a: b, c: d}, ports: [{port: 53, protocol: UDP}]}
Y
k get svc -o wide
k create ingress ing --rule='a.b/c=svc:80' --rule='d.e/f=svc:80,tls=t' --rule='g.h/=s:1' --rule='i.j/=s:1' --class=x
st ing ing '{"loadBalancer":{"ingress":[{"ip":"9.9.9.9"}]}}'
k get ing
k create -f - <<'Y'
apiVersion: v1
kind: Endpoints
metadata: {name: ep}
subsets: [{addresses: [{ip: 1.2.3.4}, {ip: 1.2.3.5}, {ip: 1.2.3.6}, {ip: 1.2.3.7}], ports: [{port: 80}]}, {notReadyAddresses: [{ip: 3.3.3.3}], ports: [{port: 81}]}]
Y
k get ep ep
k create -f - <<'Y'
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: eps}
addressType: IPv4
endpoints: [{addresses: [1.2.3.4]}, {addresses: [1.2.3.5]}, {addresses: [1.2.3.6]}, {addresses: [1.2.3.7]}]
ports: [{port: 80}, {port: 81, name: b}, {port: 82, name: c}, {port: 83, name: d}]
Y
k get endpointslice eps
k create -f - <<'Y'
apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec: {suspend: true, completions: 3, template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
Y
k get job
k create -f - <<'Y'
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h1}
spec: {minReplicas: 2, maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: none, apiVersion: apps/v1}, metrics: [{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 10Mi}}}, {type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 100m}}}, {type: Object, object: {metric: {name: o}, describedObject: {kind: Service, name: s}, target: {type: Value, value: 5}}}, {type: External, external: {metric: {name: e}, target: {type: AverageValue, averageValue: 7}}}]}
Y
k get hpa h1
k create quota q --hard=pods=5,requests.cpu=1,limits.cpu=2
settle get quota q -o jsonpath='{.status.used}' -- pods
k get quota
k create -f - <<'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: c}
spec: {storageClassName: "", accessModes: [ReadWriteOnce, ReadOnlyMany], resources: {requests: {storage: 1Gi}}}
Y
k get pvc
k get pvc -o wide
k create -f - <<Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $NS-sc, annotations: {storageclass.kubernetes.io/is-default-class: "false"}}
provisioner: example.com/x
allowVolumeExpansion: true
reclaimPolicy: Retain
volumeBindingMode: WaitForFirstConsumer
Y
k get sc $NS-sc
k delete sc $NS-sc
q create -f - >/dev/null 2>&1 <<'Y'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np}
spec: {podSelector: {matchLabels: {a: b}, matchExpressions: [{key: c, operator: In, values: [d, e]}]}}
Y
k get netpol
k create -f - <<'Y'
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: l}
spec: {holderIdentity: me}
Y
k get lease
k create sa s
k get sa
k create secret generic se --from-literal=a=b --from-literal=c=d
k get secret
k create role r --verb=get --resource=pods
k create rolebinding rb --role=r --user=u --group=g --serviceaccount=a:b
k get role,rolebinding
k get rolebinding -o wide
k get cm
k create -f - <<'Y'
apiVersion: v1
kind: Event
metadata: {name: ev1}
involvedObject: {kind: Pod, name: p, fieldPath: "spec.containers{c}"}
reason: Started
message: "hello"
type: Normal
count: 3
firstTimestamp: "2026-01-01T00:00:00Z"
lastTimestamp: "2026-01-01T00:00:00Z"
source: {component: kubelet, host: n1}
Y
k get events --field-selector involvedObject.name=p
k get events -o wide --field-selector involvedObject.name=p
k get ns $NS
k get ns $NS --show-labels
