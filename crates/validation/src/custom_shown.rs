//! What may stand at the root of a custom resource's schema, and how a message shows a schema: as Go's internal struct
//! (apiextensions `pkg/apis/apiextensions/types_jsonschema.go`).
use serde_json::Value;

use crate::field::{Errors, Node, show_json};

/// The fields, in the struct's order; whether its zero is false, an empty text or nothing; and whether it may be at the root of a schema
/// of which a status is taken out.
const FIELDS: [(&str, &str, &str, bool); 43] = [
    ("ID", "id", "\"\"", false),
    ("Schema", "$schema", "\"\"", false),
    ("Ref", "$ref", "null", false),
    ("Description", "description", "\"\"", true),
    ("Type", "type", "\"\"", true),
    ("Nullable", "nullable", "false", false),
    ("Format", "format", "\"\"", true),
    ("Title", "title", "\"\"", true),
    ("Default", "default", "null", false),
    ("Maximum", "maximum", "null", true),
    ("ExclusiveMaximum", "exclusiveMaximum", "false", true),
    ("Minimum", "minimum", "null", true),
    ("ExclusiveMinimum", "exclusiveMinimum", "false", true),
    ("MaxLength", "maxLength", "null", true),
    ("MinLength", "minLength", "null", true),
    ("Pattern", "pattern", "\"\"", true),
    ("MaxItems", "maxItems", "null", true),
    ("MinItems", "minItems", "null", true),
    ("UniqueItems", "uniqueItems", "false", true),
    ("MultipleOf", "multipleOf", "null", true),
    ("Enum", "enum", "null", false),
    ("MaxProperties", "maxProperties", "null", false),
    ("MinProperties", "minProperties", "null", false),
    ("Required", "required", "null", true),
    ("Items", "items", "null", true),
    ("AllOf", "allOf", "null", false),
    ("OneOf", "oneOf", "null", false),
    ("AnyOf", "anyOf", "null", false),
    ("Not", "not", "null", false),
    ("Properties", "properties", "null", true),
    ("AdditionalProperties", "additionalProperties", "null", false),
    ("PatternProperties", "patternProperties", "null", false),
    ("Dependencies", "dependencies", "null", false),
    ("AdditionalItems", "additionalItems", "null", false),
    ("Definitions", "definitions", "null", false),
    ("ExternalDocs", "externalDocs", "null", true),
    ("Example", "example", "null", true),
    (
        "XPreserveUnknownFields",
        "x-kubernetes-preserve-unknown-fields",
        "null",
        true,
    ),
    (
        "XEmbeddedResource",
        "x-kubernetes-embedded-resource",
        "false",
        false,
    ),
    ("XIntOrString", "x-kubernetes-int-or-string", "false", false),
    ("XListMapKeys", "x-kubernetes-list-map-keys", "null", false),
    ("XListType", "x-kubernetes-list-type", "null", false),
    ("XMapType", "x-kubernetes-map-type", "null", false),
];
const RULES: &str = "x-kubernetes-validations";

const ALLOWED: &str = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern \
                       MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields \
                       XValidations] fields are allowed at the root of the schema if the status subresource is enabled";

/// The first that may not be there is told of.
pub(crate) fn root(e: &mut Errors, schema: &Node<'_>) {
    for (_, field, zero, allowed) in FIELDS {
        let value = schema.get(field);
        if !value.present() || show_json(value.value()) == zero {
            continue;
        }
        if field == "type" && value.text() != "object" {
            let detail = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            return e.invalid(&value, detail);
        }
        if !allowed {
            return e.invalid_raw(schema, &shown(schema.value()), ALLOWED);
        }
    }
}

fn listed<'a>(parts: impl Iterator<Item = String> + 'a) -> String {
    parts.collect::<Vec<_>>().join(",")
}

fn shown(schema: &Value) -> String {
    let fields = FIELDS.map(|(name, field, zero, _)| {
        let value = match (field, &schema[field]) {
            (_, Value::Null) => zero.to_owned(),
            ("not", value) => shown(value),
            ("items", value) => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", shown(value)),
            ("additionalProperties" | "additionalItems", Value::Bool(allows)) => {
                format!("{{\"Allows\":{allows},\"Schema\":null}}")
            }
            ("additionalProperties" | "additionalItems", value) => {
                format!("{{\"Allows\":true,\"Schema\":{}}}", shown(value))
            }
            ("allOf" | "oneOf" | "anyOf", Value::Array(list)) => {
                format!("[{}]", listed(list.iter().map(shown)))
            }
            ("properties" | "patternProperties" | "definitions", Value::Object(map)) => {
                let entries = map
                    .iter()
                    .map(|(key, value)| format!("{}:{}", show_json(&key.as_str().into()), shown(value)));
                format!("{{{}}}", listed(entries))
            }
            (_, value) => show_json(value),
        };
        format!("{name:?}:{value}")
    });
    let rules = match &schema[RULES] {
        Value::Array(rules) => format!("[{}]", listed(rules.iter().map(rule))),
        _ => "null".to_owned(),
    };
    format!("{{{},\"XValidations\":{rules}}}", fields.join(","))
}

fn rule(rule: &Value) -> String {
    let text = |field: &str| show_json(&rule[field].as_str().unwrap_or_default().into());
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        show_json(&rule["reason"]),
        text("fieldPath"),
        show_json(&rule["optionalOldSelf"])
    )
}
