//! What a pod gets from its RuntimeClass (kubernetes `plugin/pkg/admission/runtimeclass/admission.go`).
use schema::KindInfo;
use serde_json::{Map, Value};

use crate::{
    api::{Api, Call},
    json::text,
    status::{ApiError, Result},
};

const PREFIX: &str = "runtimeclasses.node.k8s.io/";

/// Fill in overhead, node selector and tolerations; a class that does not exist refuses the pod.
pub fn admit_pod(api: &Api, kind: &'static KindInfo, pod: &mut Value) -> Result<()> {
    let name = super::name(pod).to_owned();
    let refuse = |why: String| Err(ApiError::forbidden(kind, &name, why));
    let class = match text(pod, "/spec/runtimeClassName") {
        "" => None,
        wanted => match api.store.get(&format!("{PREFIX}{wanted}")) {
            Some(class) => Some(class),
            None => return refuse(format!("pod rejected: RuntimeClass {wanted:?} not found")),
        },
    };
    let class = class.map(|class| class.value());
    let class = class.as_deref().unwrap_or(&Value::Null);
    let (overhead, own) = (&class["overhead"]["podFixed"], &pod["spec"]["overhead"]);
    if !overhead.is_null() {
        if !own.is_null() && own != overhead {
            return refuse(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned(),
            );
        }
        pod["spec"]["overhead"] = overhead.clone();
    }
    if let Some(selector) = class["scheduling"]["nodeSelector"].as_object() {
        let mut all = pod["spec"]["nodeSelector"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        if let Some(why) = conflict(&all, selector) {
            return refuse(why);
        }
        all.extend(selector.clone());
        pod["spec"]["nodeSelector"] = all.into();
    }
    if let Some(added) = class["scheduling"]["tolerations"].as_array() {
        let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        all.extend(
            added
                .iter()
                .filter(|t| !all.contains(t))
                .cloned()
                .collect::<Vec<_>>(),
        );
        pod["spec"]["tolerations"] = all.into();
    }
    Ok(())
}

/// Refuse a valid pod that has an overhead of its own.
pub fn check_pod(api: &Api, call: &Call, kind: &'static KindInfo, pod: &Value) -> Result<()> {
    let class = api
        .store
        .get(&format!("{PREFIX}{}", text(pod, "/spec/runtimeClassName")));
    let granted = class.is_some_and(|class| !class.value()["overhead"]["podFixed"].is_null());
    if granted || pod["spec"]["overhead"].is_null() && !call.says_empty("/spec/overhead", pod) {
        return Ok(());
    }
    let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
    Err(ApiError::forbidden(kind, text(pod, "/metadata/name"), why))
}

fn conflict(own: &Map<String, Value>, class: &Map<String, Value>) -> Option<String> {
    let (key, theirs) = class
        .iter()
        .find(|(key, value)| own.get(*key).is_some_and(|v| v != *value))?;
    let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(format!(
        "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
        shown(theirs),
        shown(&own[key])
    ))
}
