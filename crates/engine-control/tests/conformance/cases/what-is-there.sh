k get prioritylevelconfigurations
k get flowschemas -o custom-columns=N:.metadata.name,L:.spec.priorityLevelConfiguration.name,P:.spec.matchingPrecedence,D:.spec.distinguisherMethod.type,S:.status.conditions[0].status
k get flowschema probes -o yaml
k get flowschema service-accounts -o jsonpath='{.spec}{.status.conditions[0].message}{"\n"}'
k get prioritylevelconfiguration workload-low exempt -o jsonpath='{range .items[*]}{.spec}{"\n"}{end}'
k get priorityclasses system-cluster-critical system-node-critical
k delete priorityclass system-node-critical
k patch priorityclass system-node-critical -p '{"value":5}'
k create -f - <<'Y'
apiVersion: v1
kind: ReplicationController
metadata: {name: rc}
spec: {replicas: 0, selector: {a: rc, b: c}, template: {metadata: {labels: {a: rc, b: c}}, spec: {containers: [{name: c, image: x}]}}}
Y
k get rc rc -o wide
k create -f - <<'Y'
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: e}
regarding: {kind: Pod, name: p, apiVersion: v1, namespace: default}
reason: R
note: a note
type: Warning
action: Act
eventTime: "2026-01-01T00:00:00.000000Z"
reportingController: a.b/c
reportingInstance: i
Y
k create -f - <<Y
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: e}
regarding: {kind: Pod, name: p, apiVersion: v1, namespace: $NS}
reason: R
note: a note
type: Warning
action: Act
eventTime: "2026-01-01T00:00:00.000000Z"
reportingController: a.b/c
reportingInstance: i
Y
k get events e -o wide
k patch events.events.k8s.io e --type=merge -p '{"note":"changed"}'
k create -f - <<'Y'
apiVersion: v1
kind: Event
metadata: {name: x, resourceVersion: "5"}
involvedObject: {kind: Pod, name: p}
Y
k create configmap versioned --dry-run=client -o yaml > versioned.yaml
sed -i 's/^metadata:/metadata:\n  resourceVersion: "5"/' versioned.yaml
k create -f versioned.yaml
