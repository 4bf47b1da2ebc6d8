//! OpenAPI v2 as protobuf: `openapi.v2.Document` of gnostic-models' `openapiv2/OpenAPIv2.proto`, of whose messages those parts
//! are written that Kubernetes' documents have. What is any value there is written as YAML, of which JSON is a form.

use bytes::BufMut;
use serde_json::{Map, Value};

use crate::wire::{put_bytes, put_number, put_varint};

/// A message while it is written.
#[derive(Default)]
pub(crate) struct Message(pub Vec<u8>);

impl Message {
    pub fn bytes(&mut self, number: u8, bytes: &[u8]) {
        put_bytes(&mut self.0, number, bytes);
    }

    pub fn text(&mut self, number: u8, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    fn message(&mut self, number: u8, message: &Self) {
        self.bytes(number, &message.0);
    }

    /// `NamedSchema`, `NamedPathItem`, …: a key of a map and its value.
    pub fn named(&mut self, number: u8, name: &str, value: &Self) {
        let mut entry = Self::default();
        entry.text(1, name);
        entry.message(2, value);
        self.message(number, &entry);
    }

    fn strings(&mut self, number: u8, value: &Value) {
        for text in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.text(number, text);
        }
    }

    fn string(&mut self, number: u8, value: &Value) {
        if let Some(text) = value.as_str() {
            self.text(number, text);
        }
    }

    fn truth(&mut self, number: u8, value: &Value) {
        if value == true {
            put_number(&mut self.0, number, 1);
        }
    }

    fn integer(&mut self, number: u8, value: &Value) {
        if let Some(integer) = value.as_i64() {
            put_number(&mut self.0, number, integer);
        }
    }

    fn double(&mut self, number: u8, value: &Value) {
        if let Some(double) = value.as_f64() {
            put_varint(&mut self.0, u64::from(number) << 3 | 1);
            self.0.put_f64_le(double);
        }
    }

    /// The extensions of an object, each of any value.
    fn extensions(&mut self, number: u8, object: &Map<String, Value>) {
        for (name, value) in object.iter().filter(|(name, _)| name.starts_with("x-")) {
            self.named(number, name, &any(value));
        }
    }
}

fn any(value: &Value) -> Message {
    let mut any = Message::default();
    any.text(2, &format!("{value}\n"));
    any
}

/// A message in another that says which of several it is.
fn one_of(number: u8, message: &Message) -> Message {
    let mut out = Message::default();
    out.message(number, message);
    out
}

/// `Schema`.
pub(crate) fn schema(schema: &Value) -> Message {
    let mut out = Message::default();
    let Some(object) = schema.as_object() else {
        return out;
    };
    for (key, value) in object {
        match key.as_str() {
            "$ref" => out.string(1, value),
            "format" => out.string(2, value),
            "title" => out.string(3, value),
            "description" => out.string(4, value),
            "multipleOf" => out.double(6, value),
            "maximum" => out.double(7, value),
            "exclusiveMaximum" => out.truth(8, value),
            "minimum" => out.double(9, value),
            "exclusiveMinimum" => out.truth(10, value),
            "maxLength" => out.integer(11, value),
            "minLength" => out.integer(12, value),
            "pattern" => out.string(13, value),
            "maxItems" => out.integer(14, value),
            "minItems" => out.integer(15, value),
            "uniqueItems" => out.truth(16, value),
            "maxProperties" => out.integer(17, value),
            "minProperties" => out.integer(18, value),
            "required" => out.strings(19, value),
            "enum" => {
                for choice in value.as_array().into_iter().flatten() {
                    out.message(20, &any(choice));
                }
            }
            "additionalProperties" => {
                let mut item = Message::default();
                match value {
                    Value::Bool(_) => item.truth(2, value),
                    other => item.message(1, &self::schema(other)),
                }
                out.message(21, &item);
            }
            "type" => {
                let mut item = Message::default();
                item.string(1, value);
                out.message(22, &item);
            }
            "items" => out.message(23, &one_of(1, &self::schema(value))),
            "properties" => {
                let mut properties = Message::default();
                for (name, field) in value.as_object().into_iter().flatten() {
                    properties.named(1, name, &self::schema(field));
                }
                out.message(25, &properties);
            }
            _ => {}
        }
    }
    out.extensions(31, object);
    out
}

/// `PathItem`.
pub(crate) fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    for (number, method) in [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (6, "options"),
        (7, "head"),
        (8, "patch"),
    ] {
        if let Some(found) = item.get(method).and_then(Value::as_object) {
            out.message(number, &operation(found));
        }
    }
    for found in item["parameters"].as_array().into_iter().flatten() {
        out.message(9, &parameters_item(found));
    }
    out
}

fn operation(operation: &Map<String, Value>) -> Message {
    let mut out = Message::default();
    for (key, value) in operation {
        match key.as_str() {
            "tags" => out.strings(1, value),
            "description" => out.string(3, value),
            "operationId" => out.string(5, value),
            "produces" => out.strings(6, value),
            "consumes" => out.strings(7, value),
            "parameters" => {
                for found in value.as_array().into_iter().flatten() {
                    out.message(8, &parameters_item(found));
                }
            }
            "responses" => {
                let mut responses = Message::default();
                for (code, answer) in value.as_object().into_iter().flatten() {
                    responses.named(1, code, &one_of(1, &response(answer)));
                }
                out.message(9, &responses);
            }
            "schemes" => out.strings(10, value),
            _ => {}
        }
    }
    out.extensions(13, operation);
    out
}

fn response(response: &Value) -> Message {
    let mut out = Message::default();
    out.string(1, &response["description"]);
    if let Some(found) = response.get("schema") {
        out.message(2, &one_of(1, &schema(found)));
    }
    out
}

/// `ParametersItem`: a parameter, or a reference to one.
fn parameters_item(item: &Value) -> Message {
    match item.get("$ref") {
        Some(reference) => {
            let mut out = Message::default();
            out.string(1, reference);
            one_of(2, &out)
        }
        None => one_of(1, &parameter(item)),
    }
}

/// `Parameter`.
pub(crate) fn parameter(parameter: &Value) -> Message {
    let mut out = Message::default();
    if parameter["in"] == "body" {
        out.string(1, &parameter["description"]);
        out.string(2, &parameter["name"]);
        out.string(3, &parameter["in"]);
        out.truth(4, &parameter["required"]);
        out.message(5, &schema(&parameter["schema"]));
        return one_of(1, &out);
    }
    let in_path = parameter["in"] == "path";
    out.truth(1, &parameter["required"]);
    out.string(2, &parameter["in"]);
    out.string(3, &parameter["description"]);
    out.string(4, &parameter["name"]);
    // Those of a query have one field more, which shifts the rest.
    let (kind, unique, which) = if in_path { (5, 19, 4) } else { (6, 20, 3) };
    out.string(kind, &parameter["type"]);
    out.truth(unique, &parameter["uniqueItems"]);
    one_of(2, &one_of(which, &out))
}

/// `SecurityDefinitions` of one API key.
pub(crate) fn security_definition(name: &str, scheme: &Value) -> Message {
    let mut key = Message::default();
    for (number, field) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        key.string(number, &scheme[field]);
    }
    let mut out = Message::default();
    out.named(1, name, &one_of(2, &key));
    out
}

/// `SecurityRequirement` of one scheme.
pub(crate) fn security_requirement(name: &str) -> Message {
    let mut out = Message::default();
    out.named(1, name, &Message::default());
    out
}
