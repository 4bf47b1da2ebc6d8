//! Flow schemas say whether the priority level that they name is there (apiserver `util/flowcontrol/apf_controller.go`
//! presyncFlowSchemaStatus). Requests are not queued by them.
use std::sync::Weak;

use futures::StreamExt as _;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::Api,
    classify,
    json::{list, text},
    keys, said, time,
};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// As whom upstream's controller applies the status.
const WRITER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Looks after flow schemas as long as the API server lives.
pub async fn run(api: Weak<Api>) {
    let kinds = ["flowschemas", "prioritylevelconfigurations"];
    let [Some(schemas), Some(levels)] = kinds.map(|plural| schema::by_resource(GROUP, "v1", plural)) else {
        return;
    };
    let prefixes = [schemas, levels].map(|kind| keys::prefix(kind, ""));
    while let Some(watches) = api.upgrade().map(|api| {
        let revision = api.store.revision();
        prefixes
            .each_ref()
            .map(|prefix| api.store.watch(prefix, revision).ok())
    }) {
        let mut changes = futures::stream::select_all(watches.into_iter().flatten());
        loop {
            let Some(api) = api.upgrade() else { return };
            classify::refresh(&api, schemas, levels);
            for schema in api.store.list(&prefixes[0]).items {
                said::settle(&api, schemas, &schema.key, |schema| {
                    let level = text(schema, "/spec/priorityLevelConfiguration/name");
                    let there = api.store.get(&keys::key(levels, "", level)).is_some();
                    with_condition(schemas, schema, there)
                })
                .await;
            }
            drop(api);
            match changes.next().await {
                Some(Ok(_)) => {}
                // It fell behind: look at everything again.
                Some(Err(_)) => break,
                None => return,
            }
        }
    }
}

/// The schema with the condition that holds, unless it says so already.
fn with_condition(kind: &KindInfo, schema: &Value, there: bool) -> Option<Value> {
    let level = text(schema, "/spec/priorityLevelConfiguration/name");
    let about = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if there {
        ("False", "Found", format!("{about} and it exists"))
    } else {
        ("True", "NotFound", format!("{about} but there is no such object"))
    };
    let says = |c: &Value| {
        c["type"] == "Dangling"
            && c["status"] == status
            && c["reason"] == reason
            && c["message"] == message.as_str()
    };
    if list(schema, "/status/conditions").iter().any(says) {
        return None;
    }
    let condition = json!({"type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": time::now()});
    said::applied(kind, schema, WRITER, &json!({"conditions": [condition]}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_not_there_dangles() {
        let kind = schema::by_resource(GROUP, "v1", "flowschemas").unwrap();
        let schema = json!({"apiVersion": kind.api_version(), "kind": "FlowSchema", "metadata": {"name": "a"},
            "spec": {"priorityLevelConfiguration": {"name": "l"}}, "status": {}});
        let dangling = with_condition(kind, &schema, false).unwrap();
        assert_eq!(
            dangling["status"]["conditions"][0]["message"],
            "This FlowSchema references the PriorityLevelConfiguration object named \"l\" but there is no such object"
        );
        assert_eq!(dangling["metadata"]["managedFields"][0]["manager"], WRITER);
        assert_eq!(with_condition(kind, &dangling, false), None);
        let found = with_condition(kind, &dangling, true).unwrap();
        assert_eq!(found["status"]["conditions"][0]["reason"], "Found");
        assert_eq!(list(&found, "/status/conditions").len(), 1);
    }
}
