T='template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}'
S='selector: {matchLabels: {a: b}}'
w() { printf 'apiVersion: %s\nkind: %s\nmetadata: {name: w}\nspec: {%s}\n' "$1" "$2" "$3" > w.yaml; }
w apps/v1 Deployment "replicas: -1, $S, $T, minReadySeconds: -1, revisionHistoryLimit: -1, progressDeadlineSeconds: 0, strategy: {type: X}"
k create -f w.yaml
w apps/v1 Deployment "$T"
k create -f w.yaml
w apps/v1 Deployment "$S"
k create -f w.yaml
w apps/v1 Deployment "selector: {}, $T"
k create -f w.yaml
w apps/v1 Deployment "selector: {matchExpressions: [{key: a, operator: Foo}, {key: b, operator: In}, {key: c, operator: Exists, values: [x]}, {key: 'a b', operator: Exists}]}, $T"
k create -f w.yaml
w apps/v1 Deployment "$S, $T, strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}"
k create -f w.yaml
w apps/v1 Deployment "$S, $T, strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}"
k create -f w.yaml
w apps/v1 Deployment "$S, $T, strategy: {rollingUpdate: {maxSurge: abc, maxUnavailable: 120%%}}"
k create -f w.yaml
w apps/v1 Deployment "$S, minReadySeconds: 700, progressDeadlineSeconds: 600, $T"
k create -f w.yaml
w apps/v1 Deployment "$S, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, activeDeadlineSeconds: 5, containers: [{name: c, image: x}]}}"
k create -f w.yaml
w apps/v1 Deployment "$S, template: {metadata: {labels: {a: b}}, spec: {containers: []}}"
k create -f w.yaml
w apps/v1 ReplicaSet "replicas: -1, $S, minReadySeconds: -1, template: {metadata: {labels: {a: c}}, spec: {restartPolicy: OnFailure, containers: [{name: c, image: x}]}}"
k create -f w.yaml
w apps/v1 StatefulSet "replicas: -1, $S, $T, podManagementPolicy: X, updateStrategy: {type: Z}, minReadySeconds: -1"
w apps/v1 StatefulSet "$S, $T, updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}, persistentVolumeClaimRetentionPolicy: {whenDeleted: X}, ordinals: {start: -1}"
k create -f w.yaml
w apps/v1 StatefulSet "$S, $T, updateStrategy: {rollingUpdate: {partition: -1, maxUnavailable: 0}}, serviceName: Bad_"
w apps/v1 DaemonSet "$S, $T, updateStrategy: {type: Z}, minReadySeconds: -1, revisionHistoryLimit: -1"
w apps/v1 DaemonSet "$S, $T, updateStrategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 0}}"
k create -f w.yaml
w apps/v1 DaemonSet "$S, template: {metadata: {labels: {a: c}}, spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}"
k create -f w.yaml
J='template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}'
w batch/v1 Job "parallelism: -1, completions: -1, backoffLimit: -1, activeDeadlineSeconds: -1, ttlSecondsAfterFinished: -1, completionMode: X, $J"
k create -f w.yaml
w batch/v1 Job "completionMode: Indexed, $J"
k create -f w.yaml
w batch/v1 Job "backoffLimitPerIndex: 1, maxFailedIndexes: 1, $J"
k create -f w.yaml
w batch/v1 Job "selector: {matchLabels: {a: b}}, $J"
k create -f w.yaml
w batch/v1 Job "manualSelector: true, selector: {matchLabels: {a: b}}, $J"
k create -f w.yaml
w batch/v1 Job "podFailurePolicy: {rules: [{action: X, onExitCodes: {operator: In, values: []}}, {action: FailJob}, {action: Count, onExitCodes: {operator: In, values: [0, 1, 1], containerName: nope}}]}, $J"
k create -f w.yaml
w batch/v1 Job "podReplacementPolicy: Foo, successPolicy: {rules: []}, $J"
k create -f w.yaml
w batch/v1 Job "template: {spec: {restartPolicy: Always, containers: [{name: c, image: x}]}}"
k create -f w.yaml
w batch/v1 CronJob "schedule: '', concurrencyPolicy: X, startingDeadlineSeconds: -1, successfulJobsHistoryLimit: -1, failedJobsHistoryLimit: -1, jobTemplate: {spec: {$J}}"
k create -f w.yaml
w batch/v1 CronJob "schedule: 'TZ=UTC 0 * * * *', jobTemplate: {spec: {$J}}"
k create -f w.yaml
w batch/v1 CronJob "schedule: '* * * *', timeZone: Mars/Base, jobTemplate: {spec: {manualSelector: true, $J}}"
w batch/v1 CronJob "schedule: '@every 1h', timeZone: Local, jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: x}]}}}}"
k create -f w.yaml
printf 'apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a2345678901234567890123456789012345678901234567890123}\nspec: {schedule: "@daily", jobTemplate: {spec: {%s}}}\n' "$J" > w.yaml
k create -f w.yaml
w autoscaling/v2 HorizontalPodAutoscaler "minReplicas: 0, maxReplicas: 0, scaleTargetRef: {kind: '', name: ''}"
w autoscaling/v2 HorizontalPodAutoscaler "minReplicas: 5, maxReplicas: 2, scaleTargetRef: {kind: Deployment, name: 'a/b'}, metrics: [{type: Resource}, {type: Foo}, {type: Resource, resource: {name: '', target: {type: Utilization}}}, {type: Pods, pods: {metric: {name: ''}, target: {type: Value, value: 1}}}, {type: External, external: {metric: {name: a/b}, target: {type: AverageValue}}}]"
w autoscaling/v2 HorizontalPodAutoscaler "maxReplicas: 2, scaleTargetRef: {kind: Deployment, name: a}, behavior: {scaleUp: {stabilizationWindowSeconds: 4000, selectPolicy: X, policies: []}, scaleDown: {policies: [{type: Z, value: 0, periodSeconds: 2000}]}}"
w policy/v1 PodDisruptionBudget "minAvailable: 1, maxUnavailable: 1, selector: {}"
k create -f w.yaml
w policy/v1 PodDisruptionBudget "minAvailable: -1"
k create -f w.yaml
w policy/v1 PodDisruptionBudget "maxUnavailable: abc%%, unhealthyPodEvictionPolicy: X"
k create -f w.yaml
w v1 ReplicationController "replicas: -1, selector: {a: c}, $T"
