//! `pods/binding`: the scheduler's decision (kubernetes `pkg/registry/core/pod/storage/storage.go` BindingREST).
use std::sync::Arc;

use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    json::{list, object, set, text},
    registry::{meta::deleting, update::Tracking},
    reviews::loose,
    status::{ApiError, Result},
    time,
};

impl Api {
    /// Give a pod its node.
    pub async fn bind(self: &Arc<Self>, call: &Call, pods: &'static KindInfo) -> Result<Value> {
        let binding = loose(call)?;
        let name = call.route.name.as_str();
        let node = text(&binding, "/target/name").to_owned();
        let own = text(&binding, "/metadata/name");
        if !own.is_empty() && own != name {
            return Err(ApiError::bad_request(
                "name in URL does not match name in Binding object",
            ));
        }
        let target = text(&binding, "/target/kind");
        if !target.is_empty() && target != "Node" {
            let message = format!("Unsupported value: \"{target}\": supported values: \"Node\", \"<empty>\"");
            return Err(ApiError::invalid_field(
                pods,
                name,
                "FieldValueNotSupported",
                "target.kind",
                message,
            ));
        }
        if node.is_empty() {
            return Err(ApiError::invalid_field(
                pods,
                name,
                "FieldValueRequired",
                "target.name",
                "Required value",
            ));
        }
        let uid = text(&binding, "/metadata/uid");
        let bind = |pod: &Value| {
            let own = text(pod, "/metadata/uid");
            if !uid.is_empty() && uid != own {
                let why =
                    format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}");
                return Err(ApiError::conflict(pods, name, &why));
            }
            if deleting(pod) {
                let why = format!("pod {name} is being deleted, cannot be assigned to a host");
                return Err(binding_conflict(name, &why));
            }
            let taken = text(pod, "/spec/nodeName");
            if !taken.is_empty() {
                let why = format!("pod {name} is already assigned to node \"{taken}\"");
                return Err(binding_conflict(name, &why));
            }
            if !list(pod, "/spec/schedulingGates").is_empty() {
                let why = format!("pod {name} has non-empty .spec.schedulingGates");
                return Err(binding_conflict(name, &why));
            }
            let mut bound = pod.clone();
            set(&mut bound, &["spec", "nodeName"], node.as_str());
            for (key, value) in binding["metadata"]["annotations"]
                .as_object()
                .into_iter()
                .flatten()
            {
                object(&mut bound, &["metadata", "annotations"]).insert(key.clone(), value.clone());
            }
            let mut conditions = list(pod, "/status/conditions").to_vec();
            conditions.retain(|c| c["type"] != "PodScheduled");
            conditions.push(
                json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null,
                "lastTransitionTime": time::now()}),
            );
            set(&mut bound, &["status", "conditions"], conditions);
            Ok(bound)
        };
        self.change(call, pods, "binding", Tracking::Done, bind).await?;
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }
}

fn binding_conflict(name: &str, why: &str) -> ApiError {
    ApiError {
        details: Some(json!({"name": name, "kind": "pods/binding"})),
        ..ApiError::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}"),
        )
    }
}
