//! Which updates of a pod are looked at at all (`admission/admission.go` isSignificantPodUpdate).
use serde_json::Value;

use crate::pod::{items, text};

fn image(container: &Value) -> &str {
    text(&container["image"])
}

/// Whether an update of a pod may make it less secure: another image, or another container.
pub fn is_significant_update(new: &Value, old: &Value) -> bool {
    for list in ["containers", "initContainers"] {
        let (new, old) = (items(&new[list]), items(&old[list]));
        if new.len() != old.len() || new.iter().zip(old).any(|(new, old)| image(new) != image(old)) {
            return true;
        }
    }
    let before = items(&old["ephemeralContainers"]);
    items(&new["ephemeralContainers"]).iter().any(|container| {
        before
            .iter()
            .find(|old| old["name"] == container["name"])
            .is_none_or(|old| image(old) != image(container))
    })
}
