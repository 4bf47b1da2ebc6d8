k create -f - <<Y
apiVersion: v1
kind: Node
metadata: {name: $NS-n, labels: {role: test}}
spec: {unschedulable: false}
status: {capacity: {cpu: "4", memory: 8Gi, pods: "110"}, allocatable: {cpu: "4", memory: 8Gi, pods: "110"}, conditions: [{type: Ready, status: "True", reason: KubeletReady, message: ok, lastHeartbeatTime: "2030-01-01T00:00:00Z", lastTransitionTime: "2026-01-01T00:00:00Z"}], addresses: [{type: InternalIP, address: 10.9.9.9}, {type: Hostname, address: h}], nodeInfo: {kubeletVersion: v1.36.2, osImage: Test, kernelVersion: "6.1", containerRuntimeVersion: "x://1", machineID: m, systemUUID: s, bootID: b, operatingSystem: linux, architecture: amd64, kubeProxyVersion: ""}}
Y
k get node $NS-n
k get node $NS-n -o wide
k cordon $NS-n
k cordon $NS-n
k get node $NS-n
k get node $NS-n -o jsonpath='{.spec.unschedulable}{"\n"}'
k uncordon $NS-n
k uncordon $NS-n
k cordon nope
k cordon -l role=test
k uncordon -l role=test
k taint node $NS-n a=b:NoSchedule
k taint node $NS-n a=b:NoSchedule
k taint node $NS-n a=c:NoSchedule
k taint node $NS-n a=c:NoSchedule --overwrite
k taint node $NS-n a:PreferNoSchedule c:NoSchedule
k taint node $NS-n a=b:Bogus
k taint node $NS-n 'a b=c:NoSchedule'
k taint node $NS-n nope-
k taint node $NS-n a:NoSchedule-
k taint node $NS-n a- c-
k label node $NS-n node-role.kubernetes.io/worker= node-role.kubernetes.io/ingress=
k get node $NS-n
k label node $NS-n kubernetes.io/role=x
k get node $NS-n
k create -f - <<Y
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {nodeName: $NS-n, containers: [{name: c, image: x}], tolerations: [{operator: Exists}]}
Y
k drain $NS-n
k drain $NS-n --ignore-daemonsets --dry-run=client
k drain $NS-n --force --dry-run=server
k uncordon $NS-n
k get pods -o wide
k get pods --field-selector spec.nodeName=$NS-n -o name
k delete pod bare --grace-period=0 --force
k drain $NS-n
k drain nope
k drain -l role=test
k patch node $NS-n -p '{"spec":{"providerID":"x://y"}}'
k patch node $NS-n -p '{"spec":{"providerID":"x://z"}}'
k annotate node $NS-n a=b
k get node $NS-n --show-labels
k get node $NS-n -L role
k delete node $NS-n
k get node $NS-n
