//! Every kind: what fits its types is defaulted, validated as new, as a change and as a change of its status, warned of and printed.
#![no_main]
use fuzz::{Choices, mutate, typed};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn decoded(definition: &str, mut object: Value) -> Option<Value> {
    let _ = schema::unknown_fields(definition, &object);
    schema::normalise(definition, &mut object).ok()?;
    schema::set_defaults(definition, &mut object);
    Some(object)
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let kinds = schema::kinds();
    let kind = &kinds[(choices.below(256) << 8 | choices.below(256)) % kinds.len()];
    let definition = kind.definition;
    let Some(ty) = schema::type_of(definition) else { return };
    let mut made = typed(&mut choices, ty, 8);
    if !made.is_object() {
        return;
    }
    if !made["metadata"].is_object() {
        made["metadata"] = serde_json::json!({});
    }
    made["apiVersion"] = kind.api_version().into();
    made["kind"] = kind.kind.into();
    made["metadata"]["name"] = "a".into();
    if kind.namespaced {
        made["metadata"]["namespace"] = "default".into();
    }
    let mut changed = made.clone();
    let Some(old) = decoded(definition, made) else { return };
    let mut twice = old.clone();
    schema::set_defaults(definition, &mut twice);
    assert_eq!(twice, old, "defaults of what has them");
    let causes = validation::validate_create(definition, &old);
    assert_eq!(validation::validate_create(definition, &old), causes);
    let _ = validation::warnings(definition, None, &old);
    let _ = printers::cells(definition, &old, 1_800_000_000);
    mutate(&mut choices, &mut changed);
    if !changed.is_object() {
        return;
    }
    let Some(new) = decoded(definition, changed) else { return };
    for subresource in [""].iter().chain(kind.subresources) {
        let _ = validation::validate_update(definition, subresource, &old, &new);
    }
    let _ = validation::warnings(definition, Some(&old), &new);
    let _ = printers::cells(definition, &new, 1_800_000_000);
});
