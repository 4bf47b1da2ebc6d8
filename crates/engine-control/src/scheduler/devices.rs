//! Pods that claim devices (plugins/dynamicresources). There are none here, so that a claim that nobody has allocated fits nowhere.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::ResourceClaim;

use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::resourceclaim::name_of;

/// What the claims of a pod mean for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Devices {
    /// It has none.
    None,
    /// One is not there yet, or somebody else allocates it: the pod waits without a word (PreEnqueue).
    Waits,
    /// No node can be chosen, whichever there are (PreFilter).
    Refused(String),
    /// Each node is asked for them in vain (Filter).
    Wanted,
}

pub(super) fn look(context: &Context, pod: &Pod) -> Devices {
    let claims = pod
        .spec
        .as_ref()
        .and_then(|s| s.resource_claims.as_deref())
        .unwrap_or_default();
    if claims.is_empty() {
        return Devices::None;
    }
    let mut found = Vec::new();
    for claim in claims {
        let there = name_of(pod, claim).and_then(|n| context.resource_claims.get(&Key::new(pod.ns(), n)));
        match there.filter(|c| !c.deleting() && c.status.as_ref().is_none_or(|s| s.allocation.is_none())) {
            Some(claim) => found.push(claim),
            None => return Devices::Waits,
        }
    }
    let known = |class: &str| context.device_classes.get(&Key::new("", class)).is_some();
    found
        .iter()
        .find_map(|claim| refusal(claim, known))
        .map_or(Devices::Wanted, Devices::Refused)
}

/// A request for a class that does not exist (validateDeviceClass).
fn refusal(claim: &ResourceClaim, known: impl Fn(&str) -> bool) -> Option<String> {
    let requests = claim
        .spec
        .devices
        .iter()
        .flat_map(|d| d.requests.iter().flatten());
    for request in requests {
        let exactly = request
            .exactly
            .iter()
            .map(|e| (request.name.clone(), &e.device_class_name));
        let first = request.first_available.iter().flatten();
        let first = first.map(|f| (format!("{}/{}", request.name, f.name), &f.device_class_name));
        if let Some((name, class)) = exactly.chain(first).find(|(_, class)| !known(class)) {
            return Some(format!("request {name}: device class {class} does not exist"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_class_that_is_not_there_is_told_of() {
        let claim: ResourceClaim = serde_json::from_value(json!({"metadata": {}, "spec": {"devices": {"requests": [
            {"name": "a", "exactly": {"deviceClassName": "there"}},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "there"}, {"name": "y", "deviceClassName": "no"}]}
        ]}}}))
        .unwrap();
        assert_eq!(
            refusal(&claim, |c| c == "there").as_deref(),
            Some("request b/y: device class no does not exist")
        );
        assert_eq!(refusal(&claim, |_| true), None);
    }
}
