//! Claims that ask for more (pkg/controller/volume/expand): whoever made the volume enlarges it, and the claim is told so.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::claim_of;
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::quantity;

const COMPONENT: &str = "volume_expand";

pub(super) fn start(context: &Arc<Context>) {
    let weak = Arc::downgrade(context);
    context.claims.on_change(move |change| {
        let (Some(old), Some(new), Some(context)) = (change.old, change.new, weak.upgrade()) else {
            return;
        };
        if asked(new) <= asked(old) || asked(new) <= has(new) {
            return;
        }
        let volume = new.spec.as_ref().and_then(|s| s.volume_name.as_deref());
        let volume = context.volumes.get(&Key::new("", volume.unwrap_or_default()));
        let owner = volume.as_deref().and_then(claim_of);
        if owner.is_some_and(|(key, uid)| key == new.key() && uid.as_deref() == Some(new.uid())) {
            let message = "waiting for an external controller to expand this PVC";
            context
                .events
                .normal(COMPONENT, &**new, "ExternalExpanding", message);
        }
    });
}

fn asked(claim: &PersistentVolumeClaim) -> i64 {
    let resources = claim.spec.as_ref().and_then(|s| s.resources.as_ref());
    let storage = resources.and_then(|r| r.requests.as_ref()?.get("storage"));
    storage.and_then(quantity::units).unwrap_or(0)
}

fn has(claim: &PersistentVolumeClaim) -> i64 {
    let storage = claim
        .status
        .as_ref()
        .and_then(|s| s.capacity.as_ref()?.get("storage"));
    storage.and_then(quantity::units).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "spec": {"resources": {"requests": {"storage": "2Gi"}}}, "status": {"capacity": {"storage": "1Gi"}}}))
        .unwrap();
        assert!(asked(&claim) > has(&claim));
        assert_eq!(asked(&PersistentVolumeClaim::default()), 0);
    }
}
