//! DefaultIngressClass (kubernetes `plugin/pkg/admission/network/defaultingressclass/admission.go`).
use serde_json::Value;

use super::storage::newest_default;
use crate::{
    api::Api,
    json::{set, text},
};

/// The annotation of before there were classes: an Ingress that has it names one.
const CLASS: &str = "/metadata/annotations/kubernetes.io~1ingress.class";

/// An Ingress that names no class gets the default one, if there is any.
pub fn default_class(api: &Api, ingress: &mut Value) {
    let named = ingress
        .pointer("/spec/ingressClassName")
        .is_some_and(|c| !c.is_null());
    if named || ingress.pointer(CLASS).is_some() {
        return;
    }
    let classes = api.store.list("ingressclasses.networking.k8s.io/").items;
    let default = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class";
    if let Some(class) = newest_default(&classes, |class| text(class, default) == "true") {
        set(ingress, &["spec", "ingressClassName"], class);
    }
}
