//! What a pod's node says to a resize: NodeDeclaredFeatureValidator and PodResizeValidator (`plugin/pkg/admission/nodedeclaredfeatures`,
//! `plugin/pkg/admission/podresize`).
use kube_types::Quantity;
use kube_types::pod_resources::PodResources;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::Api,
    json::{list, number, strings, text},
    keys,
    status::{ApiError, Result},
};

/// Refuse a resize that the pod's node can never carry out.
pub fn check(api: &Api, kind: &'static KindInfo, new: &Value, old: &Value) -> Result<()> {
    let node_name = text(new, "/spec/nodeName");
    // A change of the spec counts generations.
    let generation = |pod: &Value| number(pod, "/metadata/generation");
    if node_name.is_empty() || generation(new) == generation(old) {
        return Ok(());
    }
    let refuse = |why: String| ApiError::forbidden(kind, text(new, "/metadata/name"), why);
    let Some(stored) = api.store.get(&keys::core("nodes", "", node_name)) else {
        return Err(refuse(format!("node \"{node_name}\" not found")));
    };
    let node = &stored.value();
    let declared = strings(node, "/status/declaredFeatures");
    let mut missing = needed(new, old);
    missing.retain(|feature| !declared.contains(feature));
    if !missing.is_empty() {
        let features = missing.join(", ");
        return Err(refuse(format!(
            "pod update requires features {features} which are not available on node \"{node_name}\""
        )));
    }
    let os = text(node, "/metadata/labels/kubernetes.io~1os");
    if !matches!(os, "" | "linux") {
        let why = format!("pod resize is only supported on linux nodes, node \"{node_name}\" is \"{os}\"");
        return Err(because(refuse(why), "UnsupportedPlatform"));
    }
    match lacking(new, node) {
        None => Ok(()),
        Some(why) => Err(because(refuse(why), "NodeCapacity")),
    }
}

/// Features that a node has to declare for this change (component-helpers `nodedeclaredfeatures/features/inplacepodresize`).
fn needed(new: &Value, old: &Value) -> Vec<&'static str> {
    let mut needed = Vec::new();
    if new["spec"]["resources"] != old["spec"]["resources"] {
        needed.push("InPlacePodLevelResourcesVerticalScaling");
    }
    let pairs = list(new, "/spec/initContainers")
        .iter()
        .zip(list(old, "/spec/initContainers"));
    let changed = |(new, old): (&Value, &Value)| {
        new["restartPolicy"] != "Always" && new["resources"] != old["resources"]
    };
    if pairs.into_iter().any(changed) {
        needed.push("InPlacePodVerticalScalingInitContainers");
    }
    needed
}

/// What of the requests is more than the node has for all pods together.
fn lacking(pod: &Value, node: &Value) -> Option<String> {
    let requests = PodResources::of(pod, false).requests();
    let parts = [
        ("cpu", Quantity::milli_value as fn(&Quantity) -> i64),
        ("memory", Quantity::value),
    ];
    let lacking: Vec<String> = parts
        .iter()
        .filter_map(|(name, shown)| {
            let wanted = requests.get(*name)?;
            let there = text(node, &format!("/status/allocatable/{name}"));
            let there: Quantity = there.parse().unwrap_or_default();
            (*wanted > there).then(|| {
                format!(
                    "{name}, requested: {}, allocatable: {}",
                    shown(wanted),
                    shown(&there)
                )
            })
        })
        .collect();
    let all = lacking.join("; ");
    (!all.is_empty()).then(|| format!("node didn't have enough allocatable resources: {all}"))
}

fn because(mut error: ApiError, reason: &str) -> ApiError {
    if let Some(details) = &mut error.details {
        details["causes"] = json!([{"reason": reason}]);
    }
    error
}
