bad() { printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {schedulerName: nobody, %s}\n' "$1" > p.yaml; }
C='containers: [{name: c, image: x'
bad "containers: []"
k create -f p.yaml
bad "containers: [{name: c}]"
k create -f p.yaml
bad "containers: [{image: x}]"
k create -f p.yaml
bad "containers: [{name: c, image: x}, {name: c, image: yy}]"
k create -f p.yaml
bad "containers: [{name: C_1, image: ' x '}]"
k create -f p.yaml
bad "$C, ports: [{containerPort: 0}, {containerPort: 80, protocol: TCPX}, {containerPort: 80, name: Too-Long-Port-Name}, {containerPort: 80, name: a}, {containerPort: 81, name: a}]}]"
k create -f p.yaml
bad "$C, ports: [{containerPort: 80, hostPort: 81}, {containerPort: 80, hostPort: 81}, {containerPort: 80, hostIP: x}]}], hostNetwork: true"
k create -f p.yaml
bad "$C, env: [{name: '', value: a}, {name: 'a=b', value: c}, {name: V, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: W, valueFrom: {}}, {name: F, valueFrom: {fieldRef: {fieldPath: spec.nope}}}, {name: G, valueFrom: {fieldRef: {apiVersion: v2, fieldPath: metadata.name}}}, {name: R, valueFrom: {resourceFieldRef: {resource: limits.foo}}}, {name: S, valueFrom: {secretKeyRef: {name: Bad_, key: ''}}}]}]"
k create -f p.yaml
bad "$C, envFrom: [{configMapRef: {name: ''}}, {prefix: 'a=', secretRef: {name: a}}, {}]}]"
k create -f p.yaml
bad "$C, resources: {requests: {cpu: 2, memory: 1}, limits: {cpu: 1}}}]"
k create -f p.yaml
bad "$C, resources: {requests: {cpu: -1, foo: 1, example.com/x: 1}, limits: {memory: 1.5, hugepages-2Mi: 1Mi, example.com/x: 2}}}]"
k create -f p.yaml
bad "$C, resources: {requests: {cpu: abc}}}]"
k create -f p.yaml
bad "$C, livenessProbe: {}, readinessProbe: {exec: {}, httpGet: {port: 0}}, startupProbe: {tcpSocket: {port: 99999}, periodSeconds: -1, successThreshold: 2, timeoutSeconds: -1, failureThreshold: -1, initialDelaySeconds: -1}}]"
k create -f p.yaml
bad "$C, livenessProbe: {httpGet: {port: 80, path: a, scheme: FTP, httpHeaders: [{name: 'a b', value: x}]}, successThreshold: 3}, readinessProbe: {grpc: {port: 0}}}]"
k create -f p.yaml
bad "$C, livenessProbe: {httpGet: {port: Bad_Name}, terminationGracePeriodSeconds: 0}, readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 1}}]"
k create -f p.yaml
bad "$C, lifecycle: {postStart: {}, preStop: {exec: {command: []}, tcpSocket: {port: 1}}}}]"
k create -f p.yaml
bad "$C, volumeMounts: [{name: nope, mountPath: /a}]}]"
k create -f p.yaml
bad "$C, volumeMounts: [{name: v, mountPath: /a}, {name: v, mountPath: /a}, {name: v, mountPath: ''}, {name: v, mountPath: /b, subPath: ../x}, {name: v, mountPath: /c, subPath: /x}, {name: v, mountPath: /d, subPath: a, subPathExpr: b}, {name: v, mountPath: 'e:f'}]}], volumes: [{name: v, emptyDir: {}}]"
k create -f p.yaml
bad "$C}], volumes: [{name: v}, {name: v, emptyDir: {}}, {name: V_, emptyDir: {}}, {name: two, emptyDir: {}, hostPath: {path: /}}]"
k create -f p.yaml
bad "$C}], volumes: [{name: a, hostPath: {path: ''}}, {name: b, hostPath: {path: /a/../b, type: X}}, {name: c, configMap: {name: ''}}, {name: d, secret: {secretName: ''}}, {name: e, persistentVolumeClaim: {claimName: ''}}, {name: f, configMap: {name: x, defaultMode: 01000}}, {name: g, configMap: {name: x, items: [{key: '', path: /abs}, {key: a, path: ../b}, {key: c, path: ''}]}}, {name: h, emptyDir: {medium: Gold, sizeLimit: -1}}]"
k create -f p.yaml
bad "$C}], volumes: [{name: a, projected: {sources: [{}, {secret: {name: ''}}, {serviceAccountToken: {path: '', expirationSeconds: 5}}, {configMap: {name: x, items: [{key: a, path: p}]}, secret: {name: yy}}]}}, {name: b, downwardAPI: {items: [{path: /x, fieldRef: {fieldPath: spec.nodeName}}, {path: yy}, {path: z, resourceFieldRef: {resource: limits.cpu}}]}}]"
k create -f p.yaml
bad "$C}], restartPolicy: Sometimes, dnsPolicy: Nope, terminationGracePeriodSeconds: -1, activeDeadlineSeconds: 0"
k create -f p.yaml
bad "$C}], dnsPolicy: None"
k create -f p.yaml
bad "$C}], dnsConfig: {nameservers: [x, 1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4], searches: [Bad_.x., a], options: [{name: ''}]}"
k create -f p.yaml
bad "$C}], nodeSelector: {'bad key': v}, tolerations: [{operator: X}, {key: a, operator: Exists, value: b}, {key: '', operator: Equal, value: b}, {key: b, effect: Nope}, {key: c, operator: Exists, tolerationSeconds: 5, effect: NoSchedule}, {key: 'b k', operator: Exists}]"
k create -f p.yaml
bad "$C}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}"
k create -f p.yaml
bad "$C}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: c, operator: Gt, values: [a, b]}, {key: d, operator: Foo}, {key: 'e f', operator: Exists}], matchFields: [{key: metadata.uid, operator: In, values: [x]}]}]}, preferredDuringSchedulingIgnoredDuringExecution: [{weight: 0, preference: {matchExpressions: [{key: a, operator: Exists}]}}, {weight: 101, preference: {}}]}}"
k create -f p.yaml
bad "$C}], affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: ''}, {topologyKey: a, labelSelector: {matchExpressions: [{key: a, operator: In}]}, namespaces: [Bad_]}], preferredDuringSchedulingIgnoredDuringExecution: [{weight: 200, podAffinityTerm: {topologyKey: ''}}]}, podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: x y}]}}"
k create -f p.yaml
bad "$C}], topologySpreadConstraints: [{maxSkew: 0, topologyKey: '', whenUnsatisfiable: X}, {maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, minDomains: 0}, {maxSkew: 1, topologyKey: b, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 2, topologyKey: b, whenUnsatisfiable: DoNotSchedule, nodeAffinityPolicy: X, matchLabelKeys: [a]}]"
bad "$C, securityContext: {runAsUser: -1, runAsGroup: -2, privileged: true, allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}, procMount: X, seccompProfile: {type: Localhost}}}], securityContext: {fsGroup: -1, supplementalGroups: [-1], fsGroupChangePolicy: X, runAsNonRoot: true, sysctls: [{name: 'a b', value: x}, {name: a.b, value: yy}, {name: a.b, value: z}], seccompProfile: {type: Foo}}"
bad "$C}], hostname: Bad_Host, subdomain: -x, serviceAccountName: nope"
k create -f p.yaml
bad "$C}], serviceAccountName: Bad_Sa, priorityClassName: nope"
k create -f p.yaml
bad "$C}], priorityClassName: nope"
k create -f p.yaml
bad "$C}], priority: 5"
k create -f p.yaml
bad "$C}], priorityClassName: system-node-critical, preemptionPolicy: Never"
k create -f p.yaml
bad "$C}], preemptionPolicy: Maybe, runtimeClassName: nope"
k create -f p.yaml
bad "$C}], initContainers: [{name: c, image: x}, {name: i, image: x, livenessProbe: {tcpSocket: {port: 1}}, lifecycle: {preStop: {exec: {command: [a]}}}}, {name: j, image: x, restartPolicy: Never}, {name: k, image: x, readinessProbe: {tcpSocket: {port: 1}}}]"
k create -f p.yaml
bad "$C, restartPolicy: Sometimes}]"
k create -f p.yaml
bad "$C, terminationMessagePath: a, terminationMessagePolicy: Nope, imagePullPolicy: Sometimes}]"
k create -f p.yaml
bad "$C}], imagePullSecrets: [{name: ''}], hostAliases: [{ip: x, hostnames: [Bad_]}], readinessGates: [{conditionType: 'a b'}], schedulingGates: [{name: 'a b'}, {name: x}, {name: x}]"
k create -f p.yaml
bad "$C, volumeDevices: [{name: v, devicePath: ''}, {name: v, devicePath: /d}, {name: nn, devicePath: /e}]}], volumes: [{name: v, emptyDir: {}}]"
k create -f p.yaml
bad "$C}], ephemeralContainers: [{name: e, image: x}]"
k create -f p.yaml
bad "$C}], overhead: {cpu: 1}, os: {name: plan9}"
k create -f p.yaml
bad "$C}], os: {name: windows}, hostPID: true, securityContext: {runAsUser: 1}"
bad "$C}], nodeName: Bad_Node, shareProcessNamespace: true, hostPID: true"
k create -f p.yaml
bad "$C}], volumes: [{name: nn, nfs: {server: '', path: a}}, {name: i, iscsi: {targetPortal: '', iqn: x, lun: 300}}, {name: e, ephemeral: {}}, {name: c, csi: {driver: ''}}, {name: m, image: {}}]"
bad "$C}], volumes: [{name: nn, nfs: {server: s, path: a}}, {name: e, ephemeral: {volumeClaimTemplate: {metadata: {name: x}, spec: {accessModes: [Foo]}}}}]"
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: other}\nspec: {containers: [{name: c, image: x}]}\n' > p.yaml
k create -f p.yaml
printf 'apiVersion: v1\nkind: Pod\nmetadata: {generateName: Bad_}\nspec: {containers: [{name: c, image: x}]}\n' > p.yaml
printf 'apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {containers: [{name: c, image: x}]}\n' > p.yaml
k create -f p.yaml
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: "b c"}, annotations: {"x y": z}, finalizers: [nodomain, "a b/c"], ownerReferences: [{apiVersion: v1, kind: Pod, name: ""}, {apiVersion: v1, kind: Event, name: x, uid: u, controller: true}, {apiVersion: v1, kind: Pod, name: yy, uid: w, controller: true}]}\nspec: {containers: [{name: c, image: x}]}\n' > p.yaml
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {"container.apparmor.security.beta.kubernetes.io/nope": x, "scheduler.alpha.kubernetes.io/preferAvoidPods": x}}\nspec: {containers: [{name: c, image: x}]}\n' > p.yaml
