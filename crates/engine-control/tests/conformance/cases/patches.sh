k create -f - <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, labels: {a: "1", b: "2"}, finalizers: [x.y/z]}
spec:
  replicas: 0
  selector: {matchLabels: {app: d}}
  strategy: {rollingUpdate: {maxSurge: 2}}
  template:
    metadata: {labels: {app: d}}
    spec:
      tolerations: [{key: a, operator: Exists}]
      containers:
      - {name: a, image: a, command: [x, y], env: [{name: A, value: "1"}, {name: B, value: "2"}], ports: [{containerPort: 80}, {containerPort: 81, name: two}], volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /b}]}
      - {name: b, image: b}
      volumes: [{name: v, emptyDir: {}}]
Y
show() { :; }
k patch deploy d -p '{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}' -o jsonpath='{.spec.strategy}{"\n"}'
k patch deploy d -p '{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"50%"}}}}' -o jsonpath='{.spec.strategy}{"\n"}'
k patch deploy d -p '{"spec":{"strategy":{"type":"Recreate"}}}'
k patch deploy d -p '{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}' -o jsonpath='{.spec.strategy}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"c"}]}}}}' -o jsonpath='{.spec.template.spec.containers[*].name}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"a","image":"a2"}]}}}}' -o jsonpath='{.spec.template.spec.containers[*].name}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"$patch":"delete","name":"c"}]}}}}' -o jsonpath='{.spec.template.spec.containers[*].name}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"$patch":"delete"}]}}}}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"image":"z"}]}}}}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"B","$patch":"delete"},{"name":"C","value":"3"}]}]}}}}' -o jsonpath='{.spec.template.spec.containers[?(@.name=="a")].env}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}}}}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","ports":[{"containerPort":81,"name":"renamed"},{"containerPort":82}]}]}}}}' -o jsonpath='{.spec.template.spec.containers[?(@.name=="a")].ports}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","volumeMounts":[{"name":"v","mountPath":"/c"}]}]}}}}' -o jsonpath='{.spec.template.spec.containers[?(@.name=="a")].volumeMounts}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","command":["z"]}]}}}}' -o jsonpath='{.spec.template.spec.containers[?(@.name=="a")].command}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"name":"a","command":null}]}}}}' -o jsonpath='{.spec.template.spec.containers[?(@.name=="a")].command}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"tolerations":[{"key":"b","operator":"Exists"}]}}}}' -o jsonpath='{.spec.template.spec.tolerations}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/tmp"}}]}}}}' -o jsonpath='{.spec.template.spec.volumes}{"\n"}'
k patch deploy d -p '{"spec":{"template":{"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}}}'
k patch deploy d -p '{"spec":{"template":{"spec":{"containers":[{"$patch":"replace"},{"name":"only","image":"o"}],"volumes":null}}}}' -o jsonpath='{.spec.template.spec.containers}{.spec.template.spec.volumes}{"\n"}'
k patch deploy d -p '{"metadata":{"labels":{"$patch":"replace","z":"9"}}}' -o jsonpath='{.metadata.labels}{"\n"}'
k patch deploy d -p '{"metadata":{"labels":{"z":null,"y":"8"}}}' -o jsonpath='{.metadata.labels}{"\n"}'
k patch deploy d -p '{"metadata":{"finalizers":["p.q/r"]}}' -o jsonpath='{.metadata.finalizers}{"\n"}'
k patch deploy d -p '{"metadata":{"$deleteFromPrimitiveList/finalizers":["x.y/z"]}}' -o jsonpath='{.metadata.finalizers}{"\n"}'
k patch deploy d -p '{"metadata":{"finalizers":["$patch=replace"]}}'
k patch deploy d -p '{"spec":{"$patch":"bogus"}}'
k patch deploy d -p '{"spec":{"replicas":"two"}}'
k patch deploy d -p '{"spec":[]}'
k patch deploy d -p '[]'
k patch deploy d -p '"x"'
k patch deploy d -p 'replicas: 1'
k patch deploy d -p '{"spec": {"template": {"spec": {"containers": {"name": "x"}}}}}'
k patch deploy d -p '{"spec":{"paused":true}}' -o jsonpath='{.spec.paused} {.metadata.generation}{"\n"}'
k patch deploy d -p '{"spec":{"paused":true}}'
k patch deploy d -p '{}'
k patch deploy d --type=merge -p '{"spec":{"template":{"spec":{"containers":[{"name":"m","image":"m"}]}}}}' -o jsonpath='{.spec.template.spec.containers[*].name}{"\n"}'
k patch deploy d --type=merge -p '{"metadata":{"finalizers":null,"annotations":{"a":"b"}}}' -o jsonpath='{.metadata.finalizers}{.metadata.annotations}{"\n"}'
k patch deploy d --type=merge -p '[]'
k patch deploy d --type=merge -p '{"spec":null}'
k patch deploy d --type=merge -p '{"spec":{"replicas":null}}' -o jsonpath='{.spec.replicas}{"\n"}'
k scale deploy d --replicas=0
k patch deploy d --type=json -p '[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"j"},{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"k","image":"k"}},{"op":"add","path":"/metadata/labels/a~1b","value":"s"}]' -o jsonpath='{.spec.template.spec.containers[*].image} {.metadata.labels}{"\n"}'
k patch deploy d --type=json -p '[{"op":"move","from":"/metadata/labels/y","path":"/metadata/labels/yy"},{"op":"copy","from":"/metadata/labels/yy","path":"/metadata/labels/yyy"}]' -o jsonpath='{.metadata.labels}{"\n"}'
k patch deploy d --type=json -p '[{"op":"test","path":"/metadata/labels/yy","value":null}]'
k patch deploy d --type=json -p '[{"op":"test","path":"/metadata/labels/nope","value":"x"}]'
k patch deploy d --type=json -p '[{"op":"replace","path":"/metadata/labels/nope","value":"x"}]'
k patch deploy d --type=json -p '[{"op":"add","path":"/spec/nope/deep","value":"x"}]'
k patch deploy d --type=json -p '[{"op":"add","path":"/spec/template/spec/containers/9","value":{}}]'
k patch deploy d --type=json -p '[{"op":"remove","path":"/spec/template/spec/containers/9"}]'
k patch deploy d --type=json -p '[{"op":"bogus","path":"/spec"}]'
k patch deploy d --type=json -p '[{"op":"add","value":1}]'
k patch deploy d --type=json -p '[{"op":"copy","from":"/nope","path":"/spec/x"}]'
k patch deploy d --type=json -p '{"op":"add"}'
k patch deploy d --type=json -p '[]'
k patch deploy d --type=json -p '[{"op":"replace","path":"/spec/replicas","value":"x"}]'
k patch deploy d --type=json -p '[{"op":"replace","path":"","value":{}}]'
k patch deploy d --type=bogus -p '{}'
k patch deploy d --subresource=scale --type=merge -p '{"spec":{"replicas":0}}' -o yaml
k patch deploy d --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"X","status":"True"}]},"spec":{"replicas":7}}' -o jsonpath='{.spec.replicas} {.metadata.generation}{"\n"}'
k patch deploy d --dry-run=server -p '{"spec":{"minReadySeconds":7}}' -o jsonpath='{.spec.minReadySeconds}{"\n"}'
k patch deploy d --dry-run=client -p '{"spec":{"minReadySeconds":7}}' -o jsonpath='{.spec.minReadySeconds}{"\n"}'
k patch deploy d --local -f - -p '{"spec":{"a":1}}' -o yaml <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: local}
Y
printf '{"spec":{"minReadySeconds":9}}' > patch.json
k patch deploy d --patch-file=patch.json -o jsonpath='{.spec.minReadySeconds}{"\n"}'
k create service clusterip s --tcp=80 --tcp=81
k patch svc s -p '{"spec":{"ports":[{"port":81,"targetPort":9}]}}' -o jsonpath='{.spec.ports}{"\n"}'
k patch svc s -p '{"spec":{"ports":[{"port":80,"$patch":"delete"}]}}' -o jsonpath='{.spec.ports}{"\n"}'
k patch svc s -p '{"spec":{"selector":{"app":null}}}' -o jsonpath='{.spec.selector}{"\n"}'
k create sa s
k patch sa s -p '{"imagePullSecrets":[{"name":"a"}]}'
k patch sa s -p '{"imagePullSecrets":[{"name":"b"}]}' -o jsonpath='{.imagePullSecrets}{"\n"}'
k create role r --verb=get --resource=pods
k patch role r -p '{"rules":[{"verbs":["list"],"apiGroups":[""],"resources":["pods"]}]}' -o jsonpath='{.rules}{"\n"}'
k create secret generic q --from-literal=a=1
k patch secret q -p '{"stringData":{"b":"2"}}' -o jsonpath='{.data}{.stringData}{"\n"}'
k create configmap owned --from-literal=a=1
k patch cm owned -p '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"u1"}]}}'
k patch cm owned -p '{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"y","uid":"u2"}]}}' -o jsonpath='{.metadata.ownerReferences[*].uid}{"\n"}'
k patch cm owned -p '{"metadata":{"ownerReferences":[{"$patch":"delete","uid":"u1"}]}}' -o jsonpath='{.metadata.ownerReferences[*].uid}{"\n"}'
