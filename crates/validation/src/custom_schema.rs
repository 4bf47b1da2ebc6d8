//! Schemas of custom resources: that they are structural (apiextensions `pkg/apiserver/schema/{validation,complete}.go`), and have
//! nothing that Kubernetes takes no account of (`pkg/apis/apiextensions/validation/validation.go`).
use serde_json::{Value, json};

use crate::{
    custom_shown,
    field::{Errors, Node},
};

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Field,
    Item,
}

/// The whole schema of a version.
pub(crate) fn check(e: &mut Errors, schema: &Node<'_>, status: bool) {
    if !schema.present() {
        return;
    }
    if status {
        custom_shown::root(e, schema);
    }
    if schema.get("nullable").is_true() {
        e.forbidden(&schema.get("nullable"), "nullable cannot be true at the root");
    }
    let before = e.count();
    let foreign = foreign(schema);
    if foreign.is_none() {
        invariants(e, schema, Level::Root);
        complete(e, schema);
    }
    let within = Within {
        root: true,
        in_meta: false,
        no_defaults: None,
    };
    supported(e, schema, &within);
    if let Some(field) = foreign.filter(|_| e.count() == before) {
        e.invalid_text(schema, "", &format!("OpenAPIV3Schema '{field}' is not supported"));
    }
}

/// Whether a schema is structural; only then its defaults and rules are looked at.
pub fn is_structural(schema: &Value) -> bool {
    let (schema, mut found) = (Node::root(schema), Errors::default());
    if foreign(&schema).is_some() {
        return false;
    }
    invariants(&mut found, &schema, Level::Root);
    complete(&mut found, &schema);
    found.count() == 0
}

/// What is in a schema that has no place in a structural one at all (`pkg/apiserver/schema/convert.go` validateUnsupportedFields).
fn foreign(schema: &Node<'_>) -> Option<&'static str> {
    for (field, name) in [
        ("id", "id"),
        ("$schema", "schema"),
        ("$ref", "$ref"),
        ("patternProperties", "patternProperties"),
        ("dependencies", "dependencies"),
        ("additionalItems", "additionalItems"),
        ("definitions", "definitions"),
    ] {
        let own = schema.get(field);
        if own.present() && (!own.is_empty() || field == "additionalItems") {
            return Some(name);
        }
    }
    let below = ["items", "additionalProperties"].map(|field| schema.get(field));
    let below = below
        .iter()
        .filter(|inner| inner.value().is_object())
        .find_map(foreign);
    let properties = || schema.get("properties").entries();
    below
        .or_else(|| properties().iter().find_map(|(_, inner)| foreign(inner)))
        .or_else(|| nested_of(schema).iter().find_map(foreign))
}

fn is_extended(schema: &Node<'_>, extension: &str) -> bool {
    schema.get(&format!("x-kubernetes-{extension}")).is_true()
}

/// What makes a schema structural.
fn invariants(e: &mut Errors, schema: &Node<'_>, level: Level) {
    let kind = schema.get("type");
    let items = schema.get("items");
    if kind.text() == "array" && !items.present() {
        e.required(&items, "must be specified");
    }
    if items.value().is_object() {
        invariants(e, &items, Level::Item);
    }
    let properties = schema.get("properties");
    for (_, property) in properties.entries() {
        invariants(e, &property, Level::Field);
    }
    let others = schema.get("additionalProperties");
    if others.present() && level == Level::Root {
        e.forbidden(&others, "must not be used at the root");
    }
    if others.value().is_object() {
        invariants(e, &others, Level::Field);
    }
    let (either, open) = (
        is_extended(schema, "int-or-string"),
        is_extended(schema, "preserve-unknown-fields"),
    );
    let embedded = is_extended(schema, "embedded-resource");
    for (is, extension) in [(open, "preserve-unknown-fields"), (embedded, "embedded-resource")] {
        if either && is {
            let at = schema.get(&format!("x-kubernetes-{extension}"));
            e.invalid(&at, "must be false if x-kubernetes-int-or-string is true");
        }
    }
    junctors(e, schema, is_either(&schema.get("anyOf")));
    if embedded && kind.text() != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() {
            e.required(&kind, detail);
        } else {
            e.invalid(&kind, detail);
        }
    } else if kind.is_empty() && !either && !open {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        e.required(&kind, detail);
    }
    if embedded && others.present() {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        e.forbidden(&others, detail);
    }
    if level == Level::Root && !kind.is_empty() && kind.text() != "object" {
        e.invalid(&kind, "must be object at the root");
    }
    metadata(e, &properties, level == Level::Root, embedded);
    if embedded && !open && properties.is_empty() {
        let detail = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        e.required(&properties, detail);
    }
}

/// The type and the metadata of an object are not for its schema to say.
fn metadata(e: &mut Errors, properties: &Node<'_>, root: bool, embedded: bool) {
    if root || embedded {
        for (field, wanted) in [
            ("kind", "string"),
            ("apiVersion", "string"),
            ("metadata", "object"),
        ] {
            let own = properties.key(field);
            let kind = own.get("type");
            if own.present() && kind.text() != wanted {
                e.invalid_text(&kind, kind.text(), &format!("must be {wanted}"));
            }
        }
    }
    let metadata = properties.key("metadata");
    if !root || !metadata.present() {
        return;
    }
    let says_more = metadata
        .value()
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, value)| {
            let is_empty = matches!(value, Value::Null | Value::Bool(false))
                || value.as_str().is_some_and(str::is_empty)
                || value.as_array().is_some_and(Vec::is_empty);
            match key.as_str() {
                "type" | "default" => false,
                "properties" => value
                    .as_object()
                    .is_some_and(|names| names.keys().any(|n| n != "name" && n != "generateName")),
                _ => !is_empty,
            }
        });
    if says_more {
        e.forbidden(
            &metadata,
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        );
    }
}

/// `anyOf` of the two types of `x-kubernetes-int-or-string`.
fn is_either(choices: &Node<'_>) -> bool {
    *choices.value() == json!([{"type": "integer"}, {"type": "string"}])
}

const JUNCTORS: [&str; 3] = ["anyOf", "allOf", "oneOf"];

/// What stands under the junctors of a schema.
fn nested_of<'a>(schema: &Node<'a>) -> Vec<Node<'a>> {
    let lists = JUNCTORS
        .into_iter()
        .flat_map(|junctor| schema.get(junctor).items());
    let not = schema.get("not");
    lists.chain(not.present().then_some(not)).collect()
}

fn junctors(e: &mut Errors, schema: &Node<'_>, skip_any: bool) {
    for junctor in JUNCTORS {
        for (at, choice) in schema.get(junctor).items().into_iter().enumerate() {
            match junctor {
                "anyOf" if skip_any => {}
                "allOf" if at == 0 && is_either(&choice.get("anyOf")) => nested(e, &choice, true),
                _ => nested(e, &choice, false),
            }
        }
    }
    let not = schema.get("not");
    if not.present() {
        nested(e, &not, false);
    }
}

/// A schema below a junctor says nothing of structure.
fn nested(e: &mut Errors, schema: &Node<'_>, skip_any: bool) {
    junctors(e, schema, skip_any);
    let items = schema.get("items");
    if items.value().is_object() {
        nested(e, &items, false);
    }
    let properties = schema.get("properties");
    for (_, property) in properties.entries() {
        nested(e, &property, false);
    }
    for (field, state) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ] {
        let own = schema.get(field);
        let says = match state {
            "undefined" => own.present(),
            "false" => own.is_true(),
            _ => !own.is_empty(),
        };
        if says {
            e.forbidden(&own, &format!("must be {state} to be structural"));
        }
    }
    let metadata = properties.key("metadata");
    if metadata.present() {
        e.forbidden(&metadata, "must not be specified in a nested context");
    }
}

/// What the junctors of the root speak of is there outside of them; upstream does not look at those further down.
fn complete(e: &mut Errors, schema: &Node<'_>) {
    for inner in nested_of(schema) {
        complete_nested(e, schema, &inner);
    }
}

fn complete_nested(e: &mut Errors, schema: &Node<'_>, nested: &Node<'_>) {
    if !schema.present() {
        return e.required(schema, &format!("because it is defined in {}", nested.path()));
    }
    for inner in nested_of(nested) {
        complete_nested(e, schema, &inner);
    }
    let items = nested.get("items");
    if items.present() {
        complete_nested(e, &schema.get("items"), &items);
    }
    let known = schema.get("properties");
    for (name, property) in nested.get("properties").entries() {
        complete_nested(e, &known.key(name), &property);
    }
}

/// What a part of a schema is in.
struct Within<'r> {
    root: bool,
    /// The type or metadata of an object.
    in_meta: bool,
    /// Why nothing here may have a default.
    no_defaults: Option<&'r str>,
}

/// What is known to OpenAPI and not to Kubernetes, and what excludes each other.
fn supported(e: &mut Errors, schema: &Node<'_>, within: &Within<'_>) {
    const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    let kind = schema.get("type");
    if !kind.is_empty() && !TYPES.contains(&kind.text()) {
        e.unsupported(&kind, &TYPES);
    }
    if let (true, Some(why)) = (schema.get("default").present(), within.no_defaults) {
        e.forbidden(&schema.get("default"), &format!("must not be set {why}"));
    }
    for field in [
        "id",
        "additionalItems",
        "patternProperties",
        "definitions",
        "dependencies",
        "$ref",
    ] {
        if schema.get(field).present() {
            e.forbidden(&schema.get(field), &format!("{field} is not supported"));
        }
    }
    if kind.text() == "null" {
        e.forbidden(
            &kind,
            "type cannot be set to null, use nullable as an alternative",
        );
    }
    if schema.get("items").value().is_array() {
        e.forbidden(
            &schema.get("items"),
            "items must be a schema object and not an array",
        );
    }
    let embedded = is_extended(schema, "embedded-resource");
    if within.in_meta && embedded {
        let at = schema.get("x-kubernetes-embedded-resource");
        e.forbidden(&at, "must not be used inside of resource meta");
    }
    let unique = schema.get("uniqueItems");
    if unique.is_true() {
        e.forbidden(
            &unique,
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    let (properties, others) = (schema.get("properties"), schema.get("additionalProperties"));
    if others.present() && !others.is_true() && !properties.is_empty() {
        e.forbidden(
            &others,
            "additionalProperties and properties are mutual exclusive",
        );
    }
    if others.value().is_object() {
        let no_defaults = if within.in_meta {
            Some("inside additionalProperties applying to object metadata")
        } else {
            within.no_defaults
        };
        let below = Within {
            root: false,
            no_defaults,
            ..*within
        };
        supported(e, &others, &below);
    }
    for (name, property) in properties.entries() {
        let is_meta = (within.root || embedded) && matches!(name, "metadata" | "kind" | "apiVersion");
        let top_level = format!("in top-level {name}");
        let below = Within {
            root: false,
            in_meta: within.in_meta || is_meta,
            no_defaults: if is_meta && within.root {
                Some(&top_level)
            } else {
                within.no_defaults
            },
        };
        supported(e, &property, &below);
    }
    let below = Within {
        root: false,
        ..*within
    };
    let items = schema.get("items");
    for inner in nested_of(schema)
        .iter()
        .chain(items.value().is_object().then_some(&items))
    {
        supported(e, inner, &below);
    }
    let open = schema.get("x-kubernetes-preserve-unknown-fields");
    if open.present() && !open.is_true() {
        e.invalid(&open, "must be true or undefined");
    }
    collections(e, schema);
}

/// How lists and maps are merged.
fn collections(e: &mut Errors, schema: &Node<'_>) {
    let kind = schema.get("type");
    let (map, list) = (
        schema.get("x-kubernetes-map-type"),
        schema.get("x-kubernetes-list-type"),
    );
    for (extension, name, wanted) in [
        (&map, "x-kubernetes-map-type", "object"),
        (&list, "x-kubernetes-list-type", "array"),
    ] {
        let detail = format!("must be {wanted} if {name} is specified");
        match kind.text() {
            _ if !extension.present() => {}
            "" => e.required(&kind, &detail),
            other if other != wanted => e.invalid(&kind, &detail),
            _ => {}
        }
        if wanted == "object" {
            e.maybe_one_of(&map, &["atomic", "granular"]);
        }
    }
    let items = schema.get("items");
    if list.text() == "set" && kind.text() == "array" && items.value().is_object() {
        let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let inner = items.get("x-kubernetes-list-type");
        match items.get("type").text() {
            "array" if inner.present() && inner.text() != "atomic" => e.invalid(&inner, detail),
            "object" if items.get("x-kubernetes-map-type").text() != "atomic" => {
                // Upstream shows the type of the list.
                e.invalid_value(&items.get("x-kubernetes-map-type"), inner.value(), detail);
            }
            _ => {}
        }
    }
    e.maybe_one_of(&list, &["atomic", "set", "map"]);
    let keys = schema.get("x-kubernetes-list-map-keys");
    if !keys.is_empty() && list.text() != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        if list.present() {
            e.invalid(&list, detail);
        } else {
            e.required(&list, detail);
        }
    }
    if list.text() == "map" {
        map_keys(e, &keys, &items);
    }
    if !matches!(list.text(), "set" | "map") || !items.value().is_object() {
        return;
    }
    let nullable = items.get("nullable");
    if nullable.is_true() {
        let detail = format!(
            "cannot be nullable when x-kubernetes-list-type is {}",
            list.text()
        );
        e.forbidden(&nullable, &detail);
    }
    let required = items.get("required").items();
    for key in keys.items().iter().filter(|_| list.text() == "map") {
        let property = items.get("properties").key(key.text());
        let is_required = required.iter().any(|name| name.text() == key.text());
        if property.present() && !is_required && !property.get("default").present() {
            let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            e.required(&property.get("default"), detail);
        }
    }
}

/// The fields by which the items of a list are told apart.
fn map_keys(e: &mut Errors, keys: &Node<'_>, items: &Node<'_>) {
    if keys.is_empty() {
        e.required(keys, "must not be empty if x-kubernetes-list-type is map");
    }
    if !items.present() {
        return e.required(items, "must have a schema if x-kubernetes-list-type is map");
    }
    let kind = items.get("type");
    if kind.text() != "object" {
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        return e.invalid_text(&kind, kind.text(), detail);
    }
    let all = keys.items();
    for (at, key) in all.iter().enumerate() {
        let property = items.get("properties").key(key.text());
        if !property.present() {
            e.invalid(keys, "entries must all be names of item properties");
        } else if matches!(property.get("type").text(), "array" | "object") {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            e.invalid_text(&property.get("type"), "object", detail);
        }
        if all[..at].iter().any(|other| other.text() == key.text()) {
            e.invalid(keys, "must not contain duplicate entries");
        }
    }
}
