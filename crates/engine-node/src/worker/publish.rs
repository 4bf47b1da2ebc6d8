//! The status: computed anew after whatever happens, shown to others here, and written, coalesced: one write at a time, always the newest.
//! And the deletion that ends a pod's life
//! (pkg/kubelet/status/status_manager.go, syncPod).
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value, json};

use super::{Done, Life, View, Worker};
use crate::error::{api_message, is_not_found};
use crate::status::{self, is_owned};

/// Why the API server did not take a write.
#[derive(Debug)]
pub enum Refused {
    /// There is no such pod, or another one by its name.
    Gone,
    /// Anything else, worth another try.
    Failed(String),
}

impl Worker {
    /// Computes the status and has it written if it is new.
    pub(super) fn refresh_status(&mut self) {
        if self.pod_is_over_before_us() {
            return;
        }
        let terminal = matches!(self.life, Life::TearingDown | Life::Over);
        let evicted = self
            .evicted
            .as_ref()
            .map(|(reason, message)| (reason.as_str(), message.as_str()));
        let kept = self.shared.book.kept(&self.uid);
        self.status = status::generate(
            &self.pod,
            &status::Inputs {
                units: &self.units,
                // Upstream makes the sandbox after the volumes: until then there is neither it nor an address.
                sandbox_ready: self.network.is_some() && self.volumes_ready && !terminal,
                terminal,
                pod_ip: self
                    .network
                    .as_ref()
                    .filter(|_| self.volumes_ready)
                    .map(|network| network.ip),
                host_ip: self.shared.node_ip,
                start_time: self.start_time,
                evicted,
                whole: &self.whole,
                kept: kept.as_ref(),
                resize: self.shared.book.conditions(&self.uid),
                rejected: self.rejected,
                restarting: self.restarting,
                old: &self.status,
                now: Timestamp::now(),
            },
        );
        self.show();
        self.publish();
    }

    /// A pod that was finished when this worker began: its status is history.
    fn pod_is_over_before_us(&self) -> bool {
        self.life == Life::Over
            && self.units.iter().all(|unit| unit.current.is_none())
            && self.evicted.is_none()
            && matches!(self.published.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    fn show(&self) {
        let attempts = self.units.iter().filter_map(|unit| {
            let instance = unit.current.as_ref()?;
            Some((
                unit.name.clone(),
                (instance.attempt, instance.running_since().is_some()),
            ))
        });
        let view = View {
            pod: Arc::clone(&self.pod),
            status: Arc::new(self.status.clone()),
            netns: self.network.as_ref().map(|network| network.netns.clone()),
            attempts: attempts.collect(),
        };
        self.view.send_replace(view);
    }

    fn publish(&mut self) {
        let wait = self.publish_retry.is_some_and(|at| at > Timestamp::now());
        if self.publishing || wait || self.gone || self.status == self.published {
            return;
        }
        let Some(patch) = difference(&self.uid, &self.published, &self.status) else {
            // Only what belongs to others differs.
            self.published = self.status.clone();
            return;
        };
        self.publishing = true;
        self.publish_retry = None;
        let api = self.api();
        let (name, status, uid) = (self.name(), self.status.clone(), self.uid.clone());
        let written = async move {
            let answer = api
                .patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch))
                .await;
            Done::Published(match answer {
                Ok(pod) if pod.metadata.uid.as_deref() != Some(&uid) => Err(Refused::Gone),
                Ok(_) => Ok(Box::new(status)),
                Err(err) if is_not_found(&err) => Err(Refused::Gone),
                Err(err) => Err(Refused::Failed(api_message(&err))),
            })
        };
        self.operate(written, |why| Done::Published(Err(Refused::Failed(why))));
    }

    pub(super) fn published(&mut self, result: Result<Box<PodStatus>, Refused>) {
        self.publishing = false;
        match result {
            Ok(status) => self.published = *status,
            // The watch says so, too; until it does there is nothing to write to.
            Err(Refused::Gone) => self.publish_retry = Some(Timestamp::now() + SignedDuration::from_secs(5)),
            Err(Refused::Failed(why)) => {
                tracing::warn!(pod = self.label(), why, "status not written");
                self.publish_retry = Some(Timestamp::now() + SignedDuration::from_millis(500));
            }
        }
    }

    /// Deletes the pod once all is cleaned up and its last status is written.
    pub(super) fn delete_if_due(&mut self) {
        let asked = self.pod.metadata.deletion_timestamp.is_some();
        let wait = self.publish_retry.is_some_and(|at| at > Timestamp::now());
        let told = self.status == self.published;
        if self.life != Life::Over || !asked || self.gone || self.deleting || self.deleted || wait || !told {
            return;
        }
        self.deleting = true;
        let (api, name, uid) = (self.api(), self.name(), self.uid.clone());
        let deleted = async move {
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions {
                    uid: Some(uid),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            Done::Deleted(match api.delete(&name, &params).await {
                Ok(_) => Ok(()),
                Err(err) if is_not_found(&err) => Err(Refused::Gone),
                // The precondition: it is another pod by now.
                Err(kube::Error::Api(status)) if status.code == 409 => Err(Refused::Gone),
                Err(err) => Err(Refused::Failed(api_message(&err))),
            })
        };
        self.operate(deleted, |why| Done::Deleted(Err(Refused::Failed(why))));
    }

    pub(super) fn deletion_done(&mut self, result: Result<(), Refused>) {
        self.deleting = false;
        match result {
            Ok(()) | Err(Refused::Gone) => self.deleted = true,
            Err(Refused::Failed(why)) => {
                tracing::warn!(pod = self.label(), why, "pod not deleted");
                self.publish_retry = Some(Timestamp::now() + SignedDuration::from_millis(500));
            }
        }
    }

    fn api(&self) -> Api<Pod> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.shared.client.clone(), namespace)
    }

    fn name(&self) -> String {
        self.pod.metadata.name.clone().unwrap_or_default()
    }
}

/// A strategic merge patch from one status to another: changed fields, conditions by type in upstream's order, and the uid, so that
/// a pod of the same name is not hit. `None` when nothing differs.
fn difference(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let fields = |status: &PodStatus| match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let mut status = Map::new();
    for (name, value) in new.iter().filter(|(name, _)| *name != "conditions") {
        if old.get(name) != Some(value) {
            status.insert(name.clone(), value.clone());
        }
    }
    for name in old
        .keys()
        .filter(|name| *name != "conditions" && !new.contains_key(*name))
    {
        status.insert(name.clone(), Value::Null);
    }
    let list = |map: &Map<String, Value>| {
        map.get("conditions")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (before, after) = (list(&old), list(&new));
    // Conditions of others are theirs; they only have their place in the order.
    let ours = |condition: &&Value| condition["type"].as_str().is_some_and(is_owned);
    let gone = before
        .iter()
        .filter(ours)
        .filter(|old| !after.iter().any(|new| new["type"] == old["type"]))
        .map(|old| json!({"$patch": "delete", "type": old["type"]}));
    let changed: Vec<Value> = after
        .iter()
        .filter(ours)
        .filter(|condition| !before.contains(condition))
        .map(|condition| {
            // The merge keeps what a patch leaves out: a reason that holds no longer is taken away by name.
            let old = before.iter().find(|old| old["type"] == condition["type"]);
            let lost = old.and_then(Value::as_object).into_iter().flat_map(Map::keys);
            let mut patch = condition.clone();
            for name in lost.filter(|name| condition.get(name.as_str()).is_none()) {
                patch[name.as_str()] = Value::Null;
            }
            patch
        })
        .chain(gone)
        .collect();
    if !changed.is_empty() {
        let order: Vec<Value> = after
            .iter()
            .map(|condition| json!({"type": condition["type"]}))
            .collect();
        status.insert("conditions".into(), json!(changed));
        status.insert("$setElementOrder/conditions".into(), Value::Array(order));
    }
    if status.is_empty() {
        return None;
    }
    Some(json!({"metadata": {"uid": uid}, "status": status}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let status = |json: Value| -> PodStatus { serde_json::from_value(json).unwrap() };
        let old = status(
            json!({"phase": "Pending", "message": "x", "hostIP": "1.1.1.1", "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "[c]"}]}),
        );
        let new = status(json!({"phase": "Running", "hostIP": "1.1.1.1", "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]}));
        assert_eq!(
            difference("u", &old, &new).unwrap(),
            json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "message": null,
                "conditions": [{"type": "Ready", "status": "True", "reason": null, "message": null}],
                "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "PodScheduled"}]}})
        );
        assert_eq!(difference("u", &new, &new), None);
        let mut resized = new.clone();
        let condition = json!({"type": "PodResizePending", "status": "True", "reason": "Deferred"});
        let condition = serde_json::from_value(condition).unwrap();
        resized.conditions.get_or_insert_default().insert(0, condition);
        assert_eq!(
            difference("u", &resized, &new).unwrap()["status"],
            json!({"conditions": [{"$patch": "delete", "type": "PodResizePending"}],
                "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "PodScheduled"}]})
        );
        let refused = status(json!({"phase": "Failed"}));
        let patch = difference("u", &new, &refused).unwrap();
        assert_eq!(
            patch["status"]["conditions"],
            json!([{"$patch": "delete", "type": "Ready"}, {"$patch": "delete", "type": "PodScheduled"}])
        );
    }
}
