//! Upstream's flow schemas and priority levels, which clients and dashboards look for (apiserver `apis/flowcontrol/bootstrap`;
//! `flow.json` was taken down from a kube-apiserver 1.36.2). Requests are not queued by them here, as by no others.
use serde_json::{Value, json};

use crate::{
    json::{set, text},
    time,
};

const FLOW: &str = include_str!("flow.json");

/// All of them.
pub fn all() -> Vec<Value> {
    let mut all: Vec<Value> = serde_json::from_str(FLOW).unwrap_or_default();
    for object in &mut all {
        set(object, &["apiVersion"], "flowcontrol.apiserver.k8s.io/v1");
        let annotations = json!({"apf.kubernetes.io/autoupdate-spec": "true"});
        set(object, &["metadata", "annotations"], annotations);
        if object["kind"] == "FlowSchema" {
            let level = text(object, "/spec/priorityLevelConfiguration/name");
            let message = format!(
                "This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists"
            );
            let condition = json!({"type": "Dangling", "status": "False", "reason": "Found", "message": message,
                "lastTransitionTime": time::now()});
            set(object, &["status", "conditions"], vec![condition]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_its_level() {
        let all = all();
        let levels: Vec<&str> = all
            .iter()
            .filter(|o| o["kind"] == "PriorityLevelConfiguration")
            .map(|o| text(o, "/metadata/name"))
            .collect();
        let schemas: Vec<&Value> = all.iter().filter(|o| o["kind"] == "FlowSchema").collect();
        assert_eq!((levels.len(), schemas.len()), (8, 11));
        for schema in schemas {
            let level = text(schema, "/spec/priorityLevelConfiguration/name");
            assert!(levels.contains(&level), "{schema}");
        }
        for object in &all {
            let definition = format!("io.k8s.api.flowcontrol.v1.{}", text(object, "/kind"));
            assert_eq!(validation::validate_create(&definition, object), []);
        }
    }
}
