//! Defaults of controllers: `pkg/apis/{apps,batch,autoscaling}/*/defaults.go`.

use serde_json::{Map, Value, json};

use crate::defaults::{
    default_absent, default_each_zero, default_in, default_zero, is_absent, is_zero, text,
};

type Fields = Map<String, Value>;

pub(crate) fn default_deployment(spec: &mut Fields) {
    default_absent(spec, "replicas", 1);
    default_in(spec, "strategy", |strategy| {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            default_absent(strategy, "rollingUpdate", json!({}));
            default_in(strategy, "rollingUpdate", |update| {
                default_absent(update, "maxUnavailable", "25%");
                default_absent(update, "maxSurge", "25%");
            });
        }
    });
    default_absent(spec, "revisionHistoryLimit", 10);
    default_absent(spec, "progressDeadlineSeconds", 600);
}

pub(crate) fn default_daemon_set(spec: &mut Fields) {
    default_in(spec, "updateStrategy", |strategy| {
        default_zero(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            default_absent(strategy, "rollingUpdate", json!({}));
            default_in(strategy, "rollingUpdate", |update| {
                default_absent(update, "maxUnavailable", 1);
                default_absent(update, "maxSurge", 0);
            });
        }
    });
    default_absent(spec, "revisionHistoryLimit", 10);
}

pub(crate) fn default_stateful_set(spec: &mut Fields) {
    default_zero(spec, "podManagementPolicy", "OrderedReady");
    default_in(spec, "updateStrategy", |strategy| {
        if is_zero(strategy, "type") {
            strategy.insert("type".to_owned(), "RollingUpdate".into());
            default_absent(strategy, "rollingUpdate", json!({}));
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(Value::Object(update)) = strategy.get_mut("rollingUpdate")
        {
            default_absent(update, "partition", 0);
        }
    });
    default_absent(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    default_in(spec, "persistentVolumeClaimRetentionPolicy", |policy| {
        default_each_zero(
            policy,
            [("whenDeleted", json!("Retain")), ("whenScaled", json!("Retain"))],
        );
    });
    default_absent(spec, "replicas", 1);
    default_absent(spec, "revisionHistoryLimit", 10);
    // Upstream gives claims their kind, whatever was said (pkg/apis/apps/v1/conversion.go).
    for claim in spec
        .get_mut("volumeClaimTemplates")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Value::Object(claim) = claim {
            claim.insert("apiVersion".to_owned(), "v1".into());
            claim.insert("kind".to_owned(), "PersistentVolumeClaim".into());
        }
    }
}

/// A whole Job; that its labels are those of its template where they are left out is for who creates or updates it to say.
pub(crate) fn default_whole_job(job: &mut Fields) {
    default_in(job, "spec", default_job);
}

/// Selector and labels are those of the template, where they are left out.
pub(crate) fn default_replication_controller(controller: &mut Fields) {
    let labels = controller
        .get("spec")
        .and_then(|s| s.pointer("/template/metadata/labels"))
        .filter(|l| l.is_object())
        .cloned();
    for (part, field) in [("spec", "selector"), ("metadata", "labels")] {
        default_in(controller, part, |fields| {
            if let Some(labels) = labels.clone().filter(|_| is_zero(fields, field)) {
                fields.insert(field.to_owned(), labels);
            }
        });
    }
    default_in(controller, "spec", |spec| default_absent(spec, "replicas", 1));
}

fn default_job(spec: &mut Fields) {
    if is_absent(spec, "completions") && is_absent(spec, "parallelism") {
        spec.insert("completions".to_owned(), json!(1));
    }
    default_absent(spec, "parallelism", 1);
    let per_index = !is_absent(spec, "backoffLimitPerIndex");
    default_absent(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    default_absent(spec, "completionMode", "NonIndexed");
    default_absent(spec, "suspend", false);
    let has_policy = !is_absent(spec, "podFailurePolicy");
    default_absent(
        spec,
        "podReplacementPolicy",
        if has_policy {
            "Failed"
        } else {
            "TerminatingOrFailed"
        },
    );
    default_absent(spec, "manualSelector", false);
}

pub(crate) fn default_autoscaler(spec: &mut Fields) {
    default_absent(spec, "minReplicas", 1);
    if is_zero(spec, "metrics") {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        spec.insert(
            "metrics".to_owned(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
        );
    }
    if let Some(Value::Object(behavior)) = spec.get_mut("behavior") {
        let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        let up = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent]});
        let down = json!({"selectPolicy": "Max", "policies": [percent]});
        for (name, rules) in [("scaleUp", up), ("scaleDown", down)] {
            default_absent(behavior, name, json!({}));
            default_in(behavior, name, |fields| {
                for (key, value) in rules.as_object().into_iter().flatten() {
                    default_absent(fields, key, value.clone());
                }
            });
        }
    }
}
