//! Who owns the fields of what is there from the start, as upstream's API server and its controllers leave it.
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    json::{self, list, set},
    said,
};

/// Writes everything that is not said of below.
const WRITER: &str = "kube-apiserver";
/// Flow schemas and their levels (apiserver `util/flowcontrol`, `registry/flowcontrol/rest`).
const FLOW_WRITER: &str = "api-priority-and-fairness-config-producer-v1";
/// Aggregated roles get their rules from (`pkg/controller/clusterroleaggregation`).
const AGGREGATOR: &str = "clusterrole-aggregation-controller";
/// Who applies a status, to which kind; the last one applies all of it, those before only that it is so.
const STATUS_WRITERS: [(&str, &[&str]); 2] = [
    ("flowschemas", &["api-priority-and-fairness-config-consumer-v1"]),
    (
        "servicecidrs",
        &["kubernetes-service-cidr-controller", "service-cidr-controller"],
    ),
];
/// Who looks after finalizers.
const FINALIZER_WRITER: &str = "kube-controller-manager";

/// A new object with its owners. `status` becomes its status.
pub fn tracked(kind: &KindInfo, mut object: Value, status: Option<Value>) -> Value {
    // What is only looked at is not stored there, and nobody's.
    if kind.plural == "componentstatuses" {
        return with_status(object, status);
    }
    // What is there already is not applied.
    json::remove(&mut object, &["status"]);
    let aggregated = object.get("aggregationRule").is_some();
    let rules = if aggregated {
        json::remove(&mut object, &["rules"])
    } else {
        None
    };
    let finalizers = json::remove(&mut object, &["metadata", "finalizers"]);
    let writer = match kind.group {
        "flowcontrol.apiserver.k8s.io" => FLOW_WRITER,
        _ => WRITER,
    };
    said::updated(kind, None, &mut object, writer, "");
    if let Some(finalizers) = finalizers {
        let old = object.clone();
        set(&mut object, &["metadata", "finalizers"], finalizers);
        said::updated(kind, Some(&old), &mut object, FINALIZER_WRITER, "");
    }
    if let Some(rules) = rules {
        let part = json!({"rules": rules});
        object = said::applied_part(kind, &object, AGGREGATOR, "", &part).unwrap_or(object);
    }
    let applied = STATUS_WRITERS.iter().find(|(plural, _)| *plural == kind.plural);
    let (Some((_, writers)), Some(said)) = (applied, &status) else {
        return with_status(object, status);
    };
    for (i, writer) in writers.iter().enumerate() {
        let mut part = said.clone();
        if i + 1 < writers.len() {
            part =
                json!({"conditions": list(said, "/conditions").iter().map(only_whether).collect::<Vec<_>>()});
        }
        object = said::applied(kind, &object, writer, &part).unwrap_or(object);
    }
    object
}

fn only_whether(condition: &Value) -> Value {
    json!({"type": condition["type"], "status": condition["status"]})
}

fn with_status(mut object: Value, status: Option<Value>) -> Value {
    if let Some(status) = status {
        object["status"] = status;
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;

    fn owners(object: &Value) -> Vec<(&str, &str, &Value)> {
        list(object, "/metadata/managedFields")
            .iter()
            .map(|entry| {
                (
                    entry["manager"].as_str().unwrap_or_default(),
                    entry["operation"].as_str().unwrap_or_default(),
                    &entry["fieldsV1"],
                )
            })
            .collect()
    }

    #[test]
    fn an_aggregated_role_has_its_rules_from_the_aggregator() {
        let kind = schema::by_resource("rbac.authorization.k8s.io", "v1", "clusterroles").unwrap();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "admin"},
            "aggregationRule": {"clusterRoleSelectors": []}, "rules": [{"verbs": ["get"]}]});
        let role = tracked(kind, role, None);
        assert_eq!(role["rules"], json!([{"verbs": ["get"]}]));
        let owners = owners(&role);
        assert_eq!(owners.len(), 2, "{owners:?}");
        assert_eq!(owners[0], (AGGREGATOR, "Apply", &json!({"f:rules": {}})));
        assert_eq!((owners[1].0, owners[1].1), (WRITER, "Update"));
    }

    #[test]
    fn a_range_of_addresses_has_four_writers() {
        let kind = schema::by_resource("networking.k8s.io", "v1", "servicecidrs").unwrap();
        let range = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes", "finalizers": ["a.b/c"]}, "spec": {"cidrs": ["10.0.0.0/16"]}});
        let status = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "m", "lastTransitionTime": time::now()}]});
        let range = tracked(kind, range, Some(status.clone()));
        assert_eq!(range["status"], status);
        let names: Vec<_> = owners(&range)
            .into_iter()
            .map(|(name, how, _)| (name, how))
            .collect();
        let expected = [
            ("kubernetes-service-cidr-controller", "Apply"),
            ("service-cidr-controller", "Apply"),
            ("kube-apiserver", "Update"),
            ("kube-controller-manager", "Update"),
        ];
        assert_eq!(names, expected);
    }
}
