//! Custom resources: what schemas of any form do to objects of any form, and definitions themselves.
#![no_main]
use fuzz::{Choices, json};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

const NAMES: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status", "name", "data", "a", "b", "ports", "replicas", ""];

fn number(choices: &mut Choices<'_>) -> Value {
    choices.one(&[0, 1, 2, 10, -1, i64::MAX]).into()
}

/// A schema, mostly a structural one.
fn schema(choices: &mut Choices<'_>, depth: usize) -> Value {
    let mut made = Map::new();
    let kind = choices.one(&["object", "object", "array", "string", "integer", "number", "boolean", "", "no"]);
    if !kind.is_empty() {
        made.insert("type".to_owned(), kind.into());
    }
    let below = |choices: &mut Choices<'_>| if depth == 0 { json!({}) } else { schema(choices, depth - 1) };
    for _ in 0..choices.below(4) {
        let (field, value) = match choices.below(20) {
            0..=3 => {
                let fields = (0..choices.below(4)).map(|_| (choices.one(NAMES).to_owned(), below(choices)));
                ("properties", Value::Object(fields.collect()))
            }
            4 | 5 => ("items", below(choices)),
            6 => ("additionalProperties", if choices.byte() & 1 == 1 { true.into() } else { below(choices) }),
            7 | 8 => ("default", json(choices, 3)),
            9 => ("nullable", true.into()),
            10 => ("x-kubernetes-preserve-unknown-fields", true.into()),
            11 => ("x-kubernetes-embedded-resource", true.into()),
            12 => ("x-kubernetes-int-or-string", true.into()),
            13 => (
                choices.one(&["minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"]),
                number(choices),
            ),
            14 => ("pattern", choices.one(&["^a+$", "(", "^\\d+$", ".*", "(a|b)*c"]).into()),
            15 => ("format", choices.one(&["date-time", "date", "ipv4", "ipv6", "byte", "email", "uuid", "int32", "int64", "x"]).into()),
            16 => ("enum", (0..choices.below(3)).map(|_| json(choices, 1)).collect()),
            17 => ("required", (0..choices.below(3)).map(|_| Value::from(choices.one(NAMES))).collect()),
            18 => {
                let all: Value = (0..choices.below(3)).map(|_| below(choices)).collect();
                match choices.one(&["anyOf", "oneOf", "allOf", "not"]) {
                    "not" => ("not", below(choices)),
                    field => (field, all),
                }
            }
            _ => match choices.below(3) {
                0 => ("x-kubernetes-list-type", choices.one(&["set", "map", "atomic", "no"]).into()),
                1 => ("x-kubernetes-list-map-keys", json!([choices.one(NAMES)])),
                _ => ("uniqueItems", true.into()),
            },
        };
        made.insert(field.to_owned(), value);
    }
    Value::Object(made)
}

fn path(choices: &mut Choices<'_>) -> String {
    const PARTS: &[&str] = &[".", "spec", "[", "]", "0", "*", "?(@.a==\"b\")", "'a.b'", "\\.", "metadata", "é", "[-1]", "$", "@", "=="];
    (0..choices.below(8)).map(|_| choices.one(PARTS)).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    let schema = schema(&mut choices, 5);
    let mut object = json(&mut choices, 6);
    let columns: Value = (0..choices.below(4))
        .map(|_| {
            let kind = choices.one(&["string", "integer", "number", "boolean", "date", "no"]);
            json!({"name": "c", "type": kind, "jsonPath": path(&mut choices)})
        })
        .collect();
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns, "selectableFields": [{"jsonPath": path(&mut choices)}],
        "subresources": {"scale": {"specReplicasPath": path(&mut choices), "statusReplicasPath": path(&mut choices)}}});

    // On its way in, and again, when it comes back from the store.
    structural::prune(&schema, &mut object);
    let pruned = object.clone();
    assert!(structural::prune(&schema, &mut object).is_empty(), "{schema} {pruned}");
    assert_eq!(object, pruned);
    structural::set_defaults(&schema, &mut object);
    let defaulted = object.clone();
    structural::set_defaults(&schema, &mut object);
    assert_eq!(object, defaulted, "{schema}");
    let faults = structural::validate(&schema, &object);
    assert_eq!(structural::validate(&schema, &object), faults);
    for fault in &faults {
        assert!(!fault.field.is_empty() && !fault.message.is_empty(), "{fault:?}");
    }
    let _ = structural::cells(&structural::columns(&version), &object, 1_800_000_000);
    let _ = validation::validate_custom(&object, true);
    let _ = validation::validate_custom_update(&defaulted, &object, true);

    let definition = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";
    let mut defines = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "as.e.x"},
        "spec": {"group": "e.x", "scope": "Namespaced", "names": {"plural": "as", "kind": "A", "listKind": "AList", "singular": "a"},
            "versions": [version]}});
    if schema::normalise(definition, &mut defines).is_ok() {
        schema::set_defaults(definition, &mut defines);
        let _ = validation::validate_create(definition, &defines);
        let _ = validation::validate_update(definition, "", &defines, &defines);
    }
});
