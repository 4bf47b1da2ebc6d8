o() { printf 'apiVersion: %s\nkind: %s\nmetadata: {name: %s}\n%s\n' "$1" "$2" "$3" "$4" > o.yaml; }
o v1 Service s 'spec: {}'
k create -f o.yaml
o v1 Service 1s 'spec: {ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {ports: [{port: 80}, {port: 81}]}'
k create -f o.yaml
o v1 Service s 'spec: {ports: [{name: a, port: 80}, {name: a, port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {type: Foo, sessionAffinity: X, ports: [{port: 70000, protocol: FOO, targetPort: Bad_P, nodePort: 5, appProtocol: "a b"}]}'
k create -f o.yaml
o v1 Service s 'spec: {clusterIP: 1.2.3.4, ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {clusterIP: xyz, ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {type: NodePort, clusterIP: None, ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {type: ExternalName, externalName: "a b", clusterIP: 10.0.0.1}'
k create -f o.yaml
o v1 Service s 'spec: {type: ExternalName}'
k create -f o.yaml
o v1 Service s 'spec: {selector: {"a b": c}, externalIPs: [x, 127.0.0.1], loadBalancerSourceRanges: [x], externalTrafficPolicy: Local, ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {type: LoadBalancer, externalTrafficPolicy: X, internalTrafficPolicy: Z, loadBalancerClass: "a b", loadBalancerSourceRanges: [x], healthCheckNodePort: 5, ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 100000}}, ipFamilies: [IPv7], ipFamilyPolicy: X, ports: [{port: 80}]}'
o v1 Service s 'spec: {ipFamilies: [IPv6], ports: [{port: 80}]}'
k create -f o.yaml
o v1 Service s 'spec: {ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}'
k create -f o.yaml
o v1 ConfigMap c 'data: {"a b": x, "..": yy}'
k create -f o.yaml
o v1 ConfigMap c 'data: {a: x}
binaryData: {a: eA==}'
k create -f o.yaml
o v1 ConfigMap c 'data: {a: 1}'
k create -f o.yaml
o v1 ConfigMap c 'binaryData: {a: "not base64!"}'
k create -f o.yaml
o v1 Secret s 'data: {a: "not base64!"}'
k create -f o.yaml
o v1 Secret s 'stringData: {a: b, "c d": e}'
k create -f o.yaml
head -c 1100000 /dev/zero | tr '\0' a > big
o v1 PersistentVolumeClaim p 'spec: {}'
k create -f o.yaml
o v1 PersistentVolumeClaim p 'spec: {accessModes: [Foo], volumeMode: X, resources: {requests: {storage: 0}}, storageClassName: Bad_}'
k create -f o.yaml
o v1 PersistentVolumeClaim p 'spec: {accessModes: [ReadWriteOncePod, ReadWriteOnce], resources: {requests: {storage: -1}}, dataSource: {kind: X, name: yy}, selector: {matchExpressions: [{key: a, operator: X}]}}'
o v1 PersistentVolume $NS-p 'spec: {}'
k create -f o.yaml
o v1 PersistentVolume $NS-p 'spec: {capacity: {storage: 1Gi, cpu: 1}, accessModes: [Foo], persistentVolumeReclaimPolicy: X, hostPath: {path: /a/../b}, nfs: {server: a, path: /}}'
k create -f o.yaml
o v1 PersistentVolume $NS-p 'spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], local: {path: /x}}'
k create -f o.yaml
o storage.k8s.io/v1 StorageClass $NS-s 'reclaimPolicy: X
volumeBindingMode: Z'
k create -f o.yaml
o v1 ResourceQuota q 'spec: {hard: {pods: -1, foo: 1, requests.cpu: 1.5, count/pods: 1, count/x.y: 3, services: 1.5}, scopes: [X, BestEffort, NotBestEffort]}'
o v1 LimitRange l 'spec: {limits: [{type: Container, max: {cpu: 1}, min: {cpu: 2}, default: {cpu: 3}, defaultRequest: {cpu: 4}}, {type: Container}, {type: Pod, default: {cpu: 1}}, {type: PersistentVolumeClaim}, {type: foo}]}'
k create -f o.yaml
o v1 Namespace default2_ ''
k create -f o.yaml
o v1 ServiceAccount s 'secrets: [{name: a}]
imagePullSecrets: [{name: ""}]'
k create -f o.yaml
o rbac.authorization.k8s.io/v1 Role r 'rules: [{}, {verbs: [get]}, {verbs: [get], apiGroups: [""]}, {verbs: [get], nonResourceURLs: [/x]}, {verbs: [], apiGroups: [""], resources: [pods]}]'
k create -f o.yaml
o rbac.authorization.k8s.io/v1 ClusterRole $NS-r 'rules: [{verbs: [get], apiGroups: [""], resources: [pods], nonResourceURLs: [/x]}, {verbs: [get], nonResourceURLs: ["/a*b", "*"]}]'
k create -f o.yaml
o rbac.authorization.k8s.io/v1 RoleBinding b 'roleRef: {kind: Foo, name: ""}
subjects: [{kind: User}, {kind: ServiceAccount, name: x}, {kind: Bar, name: yy}, {kind: User, name: z, namespace: nn}]'
k create -f o.yaml
o rbac.authorization.k8s.io/v1 ClusterRoleBinding $NS-b 'roleRef: {kind: Role, name: x}'
k create -f o.yaml
o rbac.authorization.k8s.io/v1 RoleBinding b 'roleRef: {kind: Role, name: x, apiGroup: foo}'
k create -f o.yaml
o networking.k8s.io/v1 NetworkPolicy n 'spec: {podSelector: {matchLabels: {"a b": c}}, policyTypes: [X, Ingress, Egress], ingress: [{from: [{}, {ipBlock: {cidr: x}}, {ipBlock: {cidr: 10.0.0.0/8, except: [1.0.0.0/8]}, podSelector: {}}], ports: [{port: 99999}, {port: Bad_}, {protocol: FOO}, {port: 10, endPort: 5}, {endPort: 4}]}]}'
k create -f o.yaml
o networking.k8s.io/v1 Ingress i 'spec: {}'
k create -f o.yaml
o networking.k8s.io/v1 Ingress i 'spec: {ingressClassName: Bad_, defaultBackend: {}, tls: [{hosts: [Bad_], secretName: Bad_}], rules: [{host: 1.2.3.4}, {host: Bad_, http: {paths: []}}, {host: "*.x", http: {paths: [{path: a, backend: {service: {name: "", port: {}}}}, {path: /a//b, pathType: Exact, backend: {service: {name: s, port: {name: a, number: 1}}}}, {path: /b, pathType: X, backend: {resource: {kind: "", name: ""}}}]}}]}'
k create -f o.yaml
o networking.k8s.io/v1 IngressClass $NS-i 'spec: {controller: nodomain}'
k create -f o.yaml
o scheduling.k8s.io/v1 PriorityClass $NS-p 'value: 2000000001
preemptionPolicy: X'
k create -f o.yaml
o coordination.k8s.io/v1 Lease l 'spec: {leaseDurationSeconds: 0, leaseTransitions: -1}'
k create -f o.yaml
o coordination.k8s.io/v1 Lease l 'spec: {renewTime: yesterday}'
k create -f o.yaml
o v1 Endpoints e 'subsets: [{addresses: [{ip: 127.0.0.1}, {ip: x}, {ip: 1.1.1.1, hostname: Bad_}], ports: [{port: 0}, {port: 80, protocol: X, name: B_}]}, {}]'
k create -f o.yaml
o discovery.k8s.io/v1 EndpointSlice e 'addressType: IPv5
endpoints: [{addresses: []}]'
k create -f o.yaml
o discovery.k8s.io/v1 EndpointSlice e 'addressType: IPv4
endpoints: [{addresses: ["::1", 127.0.0.1]}, {addresses: [1.1.1.1], hostname: Bad_, deprecatedTopology: {"a b": c}}]
ports: [{name: a, port: 0}, {name: a, port: 80}, {name: B_, protocol: X}]'
k create -f o.yaml
o v1 Node $NS-n 'spec: {taints: [{key: "a b", effect: NoSchedule}, {key: a, effect: X}, {key: c, effect: NoSchedule}, {key: c, effect: NoSchedule}], podCIDR: x}'
k create -f o.yaml
o v1 Event e 'involvedObject: {kind: Pod, name: p, namespace: other}
type: Weird'
k create -f o.yaml
o events.k8s.io/v1 Event e 'regarding: {kind: Pod, name: p}
reason: R'
k create -f o.yaml
o authorization.k8s.io/v1 SubjectAccessReview x 'spec: {}'
k create -f o.yaml
o authorization.k8s.io/v1 SelfSubjectAccessReview '""' 'spec: {}'
k create -f o.yaml
printf 'apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nspec: {user: jane, resourceAttributes: {verb: get, resource: pods, namespace: default}}\n' > o.yaml
k create -f o.yaml -o yaml
printf 'apiVersion: authorization.k8s.io/v1\nkind: LocalSubjectAccessReview\nmetadata: {namespace: other}\nspec: {user: jane, resourceAttributes: {verb: get, resource: pods, namespace: default}}\n' > o.yaml
k create -f o.yaml -o yaml
printf 'apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {token: nonsense}\n' > o.yaml
k create -f o.yaml -o yaml
printf 'apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {}\n' > o.yaml
o v1 Binding b 'target: {kind: Node, name: nn}'
o v1 Pod p 'spec: [1]'
k create -f o.yaml --validate=false
o v1 Pod p 'spec: {containers: {name: c}}'
k create -f o.yaml --validate=false
o v1 Pod p 'spec: {containers: [{name: 5, image: x}]}'
k create -f o.yaml --validate=false
o v1 Pod p 'spec: {hostNetwork: "yes", containers: [{name: c, image: x}]}'
k create -f o.yaml --validate=false
o apps/v1 Deployment d 'spec: {replicas: "3"}'
k create -f o.yaml --validate=false
o apps/v1 Deployment d 'spec: {replicas: 3000000000}'
k create -f o.yaml --validate=false
o apps/v1 Deployment d 'spec: {replicas: 1.5}'
k create -f o.yaml --validate=false
o v1 Pod p 'metadata: {creationTimestamp: yesterday}'
k create -f o.yaml --validate=false
o extensions/v1beta1 Deployment d 'spec: {}'
k create -f o.yaml
printf 'kind: Pod\nmetadata: {name: x}\n' > o.yaml
k create -f o.yaml
printf 'apiVersion: v1\nmetadata: {name: x}\n' > o.yaml
k create -f o.yaml
printf '[]\n' > o.yaml
k create -f o.yaml
printf '' > o.yaml
k create -f o.yaml
k create -f /nothing.yaml
