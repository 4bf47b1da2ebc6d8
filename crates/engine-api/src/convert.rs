//! Kinds served in two versions but stored in one: Events (core is stored) and HorizontalPodAutoscalers (v2 is stored).
use std::borrow::Cow;

use schema::KindInfo;
use serde_json::{Map, Value, json};

use crate::{
    custom,
    json::{remove, set},
};

/// The kind that is stored for this kind.
pub fn stored(kind: &'static KindInfo) -> &'static KindInfo {
    if custom::is(kind) {
        return kind;
    }
    let other = match (kind.group, kind.version, kind.plural) {
        ("events.k8s.io", _, "events") => schema::by_resource("", "v1", "events"),
        ("autoscaling", "v1", "horizontalpodautoscalers") => {
            schema::by_resource("autoscaling", "v2", "horizontalpodautoscalers")
        }
        _ => None,
    };
    other.unwrap_or(kind)
}

/// Whether objects must be converted between this kind and what is stored.
pub fn needed(kind: &KindInfo) -> bool {
    custom::is(kind)
        || matches!(
            (kind.group, kind.version, kind.plural),
            ("events.k8s.io", ..) | ("autoscaling", "v1", _)
        )
}

/// Event fields: events.k8s.io name, core name.
const EVENT_FIELDS: [(&str, &str); 6] = [
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
];

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(found) = remove(object, &[from]) {
        set(object, &[to], found);
    }
}

/// From the request's version to the stored one, in place.
pub fn to_stored(kind: &KindInfo, object: &mut Value) {
    match (kind.group, kind.version) {
        ("events.k8s.io", _) => {
            for (new, core) in EVENT_FIELDS {
                rename(object, new, core);
            }
            rename(object, "deprecatedCount", "count");
            set(object, &["apiVersion"], "v1");
        }
        ("autoscaling", "v1") => hpa_to_v2(object),
        _ => {}
    }
}

/// From the stored version to the request's.
pub fn from_stored<'a>(kind: &KindInfo, object: &'a Value) -> Cow<'a, Value> {
    if custom::is(kind) {
        let mut object = Cow::Borrowed(object);
        let version = kind.api_version();
        if object["apiVersion"] != version.as_str() {
            set(object.to_mut(), &["apiVersion"], version);
        }
        return object;
    }
    match (kind.group, kind.version) {
        ("events.k8s.io", _) => {
            let mut object = object.clone();
            for (new, core) in EVENT_FIELDS {
                rename(&mut object, core, new);
            }
            rename(&mut object, "count", "deprecatedCount");
            // Here nothing is left out, in the core form it is said.
            for field in ["reportingController", "reportingInstance"] {
                if object[field] == "" {
                    remove(&mut object, &[field]);
                }
            }
            set(&mut object, &["apiVersion"], "events.k8s.io/v1");
            Cow::Owned(object)
        }
        ("autoscaling", "v1") => {
            let mut object = object.clone();
            hpa_to_v1(&mut object);
            Cow::Owned(object)
        }
        _ => Cow::Borrowed(object),
    }
}

/// Where v1 keeps the metrics that it has no field for (`pkg/apis/autoscaling/annotations.go`).
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn annotation(object: &mut Value, name: &str) -> Option<Value> {
    let raw = remove(object, &["metadata", "annotations", name])?;
    serde_json::from_str(raw.as_str()?).ok()
}

fn hpa_to_v2(object: &mut Value) {
    set(object, &["apiVersion"], "autoscaling/v2");
    let mut metrics = match annotation(object, METRICS) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    if let Some(behavior) = annotation(object, BEHAVIOR) {
        set(object, &["spec", "behavior"], behavior);
    }
    if let Some(target) = remove(object, &["spec", "targetCPUUtilizationPercentage"]) {
        metrics.insert(
            0,
            json!({"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": target}}}),
        );
    }
    if !metrics.is_empty() {
        set(object, &["spec", "metrics"], metrics);
    }
    if let Some(current) = remove(object, &["status", "currentCPUUtilizationPercentage"]) {
        let metric = json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": current}}});
        set(object, &["status", "currentMetrics"], vec![metric]);
    }
}

fn cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

fn hpa_to_v1(object: &mut Value) {
    set(object, &["apiVersion"], "autoscaling/v1");
    let mut others = Vec::new();
    if let Some(Value::Array(metrics)) = remove(object, &["spec", "metrics"]) {
        for metric in metrics {
            match metric.pointer("/resource/target/averageUtilization") {
                Some(target) if cpu(&metric) => {
                    let target = target.clone();
                    set(object, &["spec", "targetCPUUtilizationPercentage"], target);
                }
                _ => others.push(metric),
            }
        }
    }
    let mut notes = Map::new();
    if !others.is_empty() {
        notes.insert(METRICS.to_owned(), Value::Array(others).to_string().into());
    }
    if let Some(behavior) = remove(object, &["spec", "behavior"]) {
        notes.insert(BEHAVIOR.to_owned(), behavior.to_string().into());
    }
    for (name, note) in notes {
        set(object, &["metadata", "annotations", &name], note);
    }
    if let Some(Value::Array(metrics)) = remove(object, &["status", "currentMetrics"])
        && let Some(current) = metrics
            .iter()
            .find(|m| cpu(m))
            .and_then(|m| m.pointer("/resource/current/averageUtilization"))
    {
        set(
            object,
            &["status", "currentCPUUtilizationPercentage"],
            current.clone(),
        );
    }
    remove(object, &["status", "conditions"]);
    if object["status"].get("currentReplicas").is_none_or(Value::is_null) {
        set(object, &["status", "currentReplicas"], 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &'static str, version: &'static str, plural: &'static str) -> KindInfo {
        KindInfo {
            group,
            version,
            plural,
            ..schema::kinds()[0].clone()
        }
    }

    #[test]
    fn hpa_round_trip() {
        let kind = kind("autoscaling", "v1", "horizontalpodautoscalers");
        let v1 = json!({"apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}});
        let mut object = v1.clone();
        to_stored(&kind, &mut object);
        assert_eq!(
            object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
            80
        );
        let back = from_stored(&kind, &object);
        assert_eq!(back["spec"], v1["spec"]);
        assert_eq!(back["status"], json!({"currentReplicas": 0}));
    }

    #[test]
    fn event_round_trip() {
        let kind = kind("events.k8s.io", "v1", "events");
        let event = json!({"apiVersion": "events.k8s.io/v1", "note": "n", "regarding": {"kind": "Pod"}, "reason": "r"});
        let mut object = event.clone();
        to_stored(&kind, &mut object);
        assert_eq!(object["message"], "n");
        assert_eq!(*from_stored(&kind, &object), event);
    }
}
