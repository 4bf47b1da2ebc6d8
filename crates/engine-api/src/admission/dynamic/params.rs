//! Parameters of policies (apiserver `pkg/admission/plugin/policy/generic/policy_dispatcher.go` CollectParams).
use kube_types::LabelSelector;
use schema::KindInfo;
use serde_json::Value;

use crate::{api::Api, convert, json::text, keys};

/// The objects that a binding refers to; nothing at all when it need not be there, and `null` when the policy knows no parameters.
pub fn collect(api: &Api, kind: &Value, reference: &Value, namespace: &str) -> Result<Vec<Value>, String> {
    if !kind.is_object() || !reference.is_object() {
        return Ok(vec![Value::Null]);
    }
    let known = find(api, kind).ok_or_else(|| {
        let (version, name) = (text(kind, "/apiVersion"), text(kind, "/kind"));
        format!("paramKind kind `&ParamKind{{APIVersion:{version},Kind:{name},}}` not known")
    })?;
    let wanted = text(reference, "/namespace");
    let place = match (known.namespaced, wanted) {
        (true, "") if namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .to_owned(),
            );
        }
        (true, "") => namespace,
        (true, own) => own,
        (false, "") => "",
        (false, _) => {
            return Err(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned(),
            );
        }
    };
    let name = text(reference, "/name");
    let shown = |value: &Value| {
        let mut object = convert::from_stored(known, value).into_owned();
        object["apiVersion"] = known.api_version().into();
        object["kind"] = known.kind.into();
        object
    };
    let stored = convert::stored(known);
    let found: Vec<Value> = if name.is_empty() {
        // One that does not parse selects nothing.
        let selector =
            LabelSelector::from_object(&reference["selector"]).unwrap_or_else(|_| LabelSelector::nothing());
        let all = api.store.list(&keys::prefix(stored, place)).items;
        let chosen = all
            .iter()
            .filter(|object| selector.matches_object(&object.value()));
        chosen.map(|object| shown(&object.value())).collect()
    } else {
        let one = api.store.get(&keys::key(stored, place, name));
        one.iter().map(|object| shown(&object.value())).collect()
    };
    if found.is_empty() && text(reference, "/parameterNotFoundAction") == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(found)
}

/// The resource of a kind.
fn find(api: &Api, kind: &Value) -> Option<&'static KindInfo> {
    let version = text(kind, "/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let name = text(kind, "/kind");
    schema::by_kind(group, version, name).or_else(|| {
        let customs = api.customs.all();
        let found = customs
            .iter()
            .find(|c| c.kind.group == group && c.kind.version == version && c.kind.kind == name)?;
        Some(found.kind)
    })
}
