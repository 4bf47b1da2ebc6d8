//! `pods/binding`: the scheduler's decision (kubernetes `pkg/registry/core/pod/storage/storage.go` BindingREST).
use std::sync::Arc;

use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    admission::topology,
    api::{Api, Call},
    json::{list, object, remove, set, text},
    keys,
    registry::{body, meta::deleting, update::Tracking},
    status::{ApiError, Result},
    time,
};

impl Api {
    /// Give a pod its node, by the older path: the pod's name is in the body (LegacyBindingREST).
    pub async fn bind_named(self: &Arc<Self>, call: &Call) -> Result<Value> {
        let pods = schema::by_resource("", "v1", "pods").ok_or_else(ApiError::no_such_path)?;
        let binding = body::of_subresource(call, pods, "binding")?;
        let name = text(&binding, "/metadata/name");
        if name.is_empty() {
            check_target(&binding)?;
            return Err(ApiError::bad_request("Name parameter required."));
        }
        self.bind(&call.about(pods.plural, name), pods).await
    }

    /// Give a pod its node.
    pub async fn bind(self: &Arc<Self>, call: &Call, pods: &'static KindInfo) -> Result<Value> {
        let binding = body::of_subresource(call, pods, "binding")?;
        let name = call.route.name.as_str();
        let node = text(&binding, "/target/name").to_owned();
        let own = text(&binding, "/metadata/name");
        if own != name {
            return Err(ApiError::bad_request(
                "name in URL does not match name in Binding object",
            ));
        }
        check_target(&binding)?;
        let uid = text(&binding, "/metadata/uid");
        let version = text(&binding, "/metadata/resourceVersion");
        let zone = topology::labels_of(self, &node);
        let bind = |pod: &Value| {
            let own = text(pod, "/metadata/uid");
            if !uid.is_empty() && uid != own {
                return Err(keys::unmet(call, pods, name, &keys::other_uid(uid, own)));
            }
            let own = text(pod, "/metadata/resourceVersion");
            if !version.is_empty() && version != own {
                let why = format!(
                    "ResourceVersion in precondition: {version}, ResourceVersion in object meta: {own}"
                );
                return Err(keys::unmet(call, pods, name, &why));
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
            remove(&mut bound, &["status", "nominatedNodeName"]);
            for field in ["annotations", "labels"] {
                for (key, value) in binding["metadata"][field].as_object().into_iter().flatten() {
                    object(&mut bound, &["metadata", field]).insert(key.clone(), value.clone());
                }
            }
            if !zone.is_empty() {
                object(&mut bound, &["metadata", "labels"]).extend(zone.clone());
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

/// A Binding without a node is an error of its own kind upstream: not a Status, so 500 (ValidatePodBinding).
fn check_target(binding: &Value) -> Result<()> {
    let mut wrong = Vec::new();
    let kind = text(binding, "/target/kind");
    if !kind.is_empty() && kind != "Node" {
        let shown = Value::from(kind);
        wrong.push(format!(
            "target.kind: Unsupported value: {shown}: supported values: \"Node\", \"<empty>\""
        ));
    }
    if text(binding, "/target/name").is_empty() {
        wrong.push("target.name: Required value".to_owned());
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(ApiError::new(500, "", one)),
        many => Err(ApiError::new(500, "", format!("[{}]", many.join(", ")))),
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
