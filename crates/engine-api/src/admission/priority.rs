//! Priority: from a class's name to a number.
use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::Api,
    json::{self, number, set, text, truth},
    status::{ApiError, Result},
};

const PREFIX: &str = "priorityclasses.scheduling.k8s.io/";

/// Fill in the priority of a new pod.
pub fn admit_pod(api: &Api, kind: &'static KindInfo, pod: &mut Value) -> Result<()> {
    let name = text(pod, "/spec/priorityClassName").to_owned();
    let class = if name.is_empty() {
        // The lowest, should there be several defaults (plugin/pkg/admission/priority getDefaultPriorityClass).
        let classes = api.store.list(PREFIX).items;
        classes
            .into_iter()
            .filter(|c| truth(&c.value(), "/globalDefault"))
            .min_by_key(|c| number(&c.value(), "/value").unwrap_or_default())
    } else {
        let found = api.store.get(&format!("{PREFIX}{name}"));
        if found.is_none() {
            let why = format!("no PriorityClass with name {name} was found");
            return Err(ApiError::forbidden(kind, super::name(pod), why));
        }
        found
    };
    let class = class.map(|class| class.value());
    let (priority, policy) = match &class {
        Some(class) => {
            if name.is_empty() {
                set(pod, &["spec", "priorityClassName"], text(class, "/metadata/name"));
            }
            (
                number(class, "/value").unwrap_or_default(),
                text(class, "/preemptionPolicy"),
            )
        }
        None => (0, ""),
    };
    let policy = if policy.is_empty() {
        "PreemptLowerPriority"
    } else {
        policy
    };
    let name_of_pod = super::name(pod).to_owned();
    if let Some(own) = number(pod, "/spec/priority")
        && own != priority
    {
        let why = format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        );
        return Err(ApiError::forbidden(kind, &name_of_pod, why));
    }
    let own = text(pod, "/spec/preemptionPolicy");
    if !own.is_empty() && own != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(ApiError::forbidden(kind, &name_of_pod, why));
    }
    set(pod, &["spec", "priority"], priority);
    set(pod, &["spec", "preemptionPolicy"], policy);
    Ok(())
}

/// An update that leaves the computed values out keeps them.
pub fn keep_on_update(new: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        if new["spec"].get(field).is_none_or(Value::is_null) {
            json::restore(new, old, &["spec", field]);
        }
    }
}

/// There is one default class at most.
pub fn admit_class(api: &Api, kind: &'static KindInfo, class: &Value) -> Result<()> {
    if !truth(class, "/globalDefault") {
        return Ok(());
    }
    let name = text(class, "/metadata/name");
    let other = api
        .store
        .list(PREFIX)
        .items
        .into_iter()
        .find(|c| truth(&c.value(), "/globalDefault") && text(&c.value(), "/metadata/name") != name);
    match other {
        Some(other) => {
            let why = format!(
                "PriorityClass {} is already marked as globalDefault",
                text(&other.value(), "/metadata/name")
            );
            Err(ApiError::forbidden(kind, name, why))
        }
        None => Ok(()),
    }
}
