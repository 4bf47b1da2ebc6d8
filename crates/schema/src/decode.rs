//! What Go's decoder and encoder make of a document: unknown fields and nulls go, wrong types are errors in Go's words, values
//! take their canonical form, and fields that Go always writes appear.
//!
//! Upstream's reader is `sigs.k8s.io/json` (a strict, case-sensitive `encoding/json`): it goes on after a wrong type and reports
//! the first one, but stops at once where a type reads itself (times, quantities, `IntOrString`).

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::{IntOrString, Quantity};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    strict::MAX_COMPLAINTS,
    table::Table,
    types::{Definition, Field, Node, Scalar},
    written::Written,
};

/// What is wrong with an object that does not decode.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct DecodeError {
    /// The message as upstream words it, such as `json: cannot unmarshal string into Go struct field …`.
    pub message: String,
}

/// Drop unknown fields and null values that Go's decoder would not keep, canonicalise quantities and times, drop zero values that
/// Go omits and add those that it writes (`status: {}`, `lastProbeTime: null`); fail where a value has the wrong JSON type.
/// Unknown definitions are left alone.
pub fn normalise(definition: &str, object: &mut Value) -> Result<(), DecodeError> {
    decode(definition, object, None)
}

/// As [`normalise`], of an object that was read from this JSON: of several wrong types the first in the text is told of, and numbers
/// are told, and become quantities, as they were written there.
pub fn normalise_text(definition: &str, object: &mut Value, json: &[u8]) -> Result<(), DecodeError> {
    let written = has_float(object).then(|| Written::read(json)).flatten();
    let result = decode(definition, object, written.as_ref());
    if result.is_err()
        && written.is_none()
        && let (Some(written), Ok(mut again)) = (Written::read(json), serde_json::from_slice(json))
    {
        decode(definition, &mut again, Some(&written))?;
    }
    result
}

/// Whether a number is there that the tree does not hold as it was written.
fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(has_float),
        Value::Object(map) => map.values().any(has_float),
        _ => false,
    }
}

fn decode(definition: &str, object: &mut Value, written: Option<&Written<'_>>) -> Result<(), DecodeError> {
    let Some(definition) = Table::get().find(definition) else {
        return Ok(());
    };
    let Value::Object(map) = object else {
        let found = kind_of(object);
        let go_type = definition.go_name;
        return Err(DecodeError {
            message: format!("json: cannot unmarshal {found} into Go value of type {go_type}"),
        });
    };
    let mut decoder = Decoder {
        path: Vec::new(),
        saved: None,
    };
    decoder.object(definition, map, written)?;
    decoder.saved.map_or(Ok(()), Err)
}

/// Unknown fields, as upstream words them: `unknown field "spec.containers[0].imagee"`, in document order.
pub fn unknown_fields(definition: &str, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(definition) = Table::get().find(definition) {
        unknown(&definition.node, object, &mut String::new(), &mut found);
    }
    found
}

fn unknown(node: &'static Node, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (node, value) {
        (Node::Object { definition, .. }, Value::Object(map)) => {
            let definition = Table::get().at(*definition);
            for (key, value) in map {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
                match definition.field(key) {
                    Some(field) => unknown(&field.node, value, path, found),
                    None if found.len() < MAX_COMPLAINTS => found.push(format!("unknown field {path:?}")),
                    None => {}
                }
                path.truncate(length);
            }
        }
        (Node::List { item, .. }, Value::Array(list)) => {
            for (i, value) in list.iter().enumerate() {
                let _ = write!(path, "[{i}]");
                unknown(item, value, path, found);
                path.truncate(length);
            }
        }
        (Node::Map { value: inner, .. }, Value::Object(map)) => {
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                unknown(inner, value, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

struct Decoder {
    /// The names of the fields around, without indices, as Go prints them.
    path: Vec<&'static str>,
    /// The first wrong type.
    saved: Option<DecodeError>,
}

impl Decoder {
    fn object(
        &mut self,
        definition: &'static Definition,
        map: &mut Map<String, Value>,
        written: Option<&Written<'_>>,
    ) -> Result<(), DecodeError> {
        map.retain(|key, value| !value.is_null() && definition.field(key).is_some());
        if let Some(Written::Object(entries)) = written {
            for (key, written) in entries {
                if let Some(field) = definition.field(key) {
                    self.field(definition, field, map, Some(written))?;
                }
            }
        }
        for field in &definition.fields {
            if !map.contains_key(field.name) {
                if let Some(zero) = zero_of_field(field) {
                    map.insert(field.name.to_owned(), zero);
                }
            } else if written.is_none_or(|w| w.get(field.name).is_none()) {
                self.field(definition, field, map, None)?;
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        definition: &'static Definition,
        field: &'static Field,
        map: &mut Map<String, Value>,
        written: Option<&Written<'_>>,
    ) -> Result<(), DecodeError> {
        let Some(value) = map.get_mut(field.name) else {
            return Ok(());
        };
        let around = self.path.len();
        self.path.extend(definition.embedding(field));
        self.path.push(field.name);
        self.value(&field.node, field.go_type, definition, value, written)?;
        self.path.truncate(around);
        if is_omitted(field, value) && !is_told_from_none(definition, field) {
            map.remove(field.name);
        }
        Ok(())
    }

    /// `owner` is the innermost struct around, which Go names in errors.
    fn value(
        &mut self,
        node: &'static Node,
        go_type: &'static str,
        owner: &Definition,
        value: &mut Value,
        written: Option<&Written<'_>>,
    ) -> Result<(), DecodeError> {
        match node {
            Node::Scalar(scalar) => self.scalar(*scalar, go_type, owner, value, written),
            Node::Object { definition, .. } => {
                let definition = Table::get().at(*definition);
                match value {
                    Value::Object(map) => self.object(definition, map, written),
                    _ => {
                        self.mismatch(kind_of(value), definition.go_name, owner);
                        Ok(())
                    }
                }
            }
            Node::List { item, .. } => {
                let Value::Array(list) = value else {
                    self.mismatch(kind_of(value), go_type, owner);
                    return Ok(());
                };
                let inner = item_type(item, go_type.strip_prefix("[]"));
                for (i, element) in list.iter_mut().enumerate() {
                    if element.is_null() {
                        *element = zero_of_node(item);
                    } else {
                        self.value(item, inner, owner, element, written.and_then(|w| w.at(i)))?;
                    }
                }
                Ok(())
            }
            Node::Map { value: inner, .. } => {
                let Value::Object(map) = value else {
                    self.mismatch(kind_of(value), go_type, owner);
                    return Ok(());
                };
                let declared = go_type
                    .strip_prefix("map[")
                    .and_then(|t| t.split_once(']'))
                    .map(|t| t.1);
                let go_type = item_type(inner, declared);
                for (key, element) in map.iter_mut() {
                    if !element.is_null() {
                        let written = written.and_then(|w| w.get(key));
                        self.value(inner, go_type, owner, element, written)?;
                    } else if matches!(**inner, Node::Scalar(Scalar::Bytes)) {
                        *element = Value::from("");
                    } else {
                        *element = zero_of_node(inner);
                    }
                }
                Ok(())
            }
        }
    }

    fn scalar(
        &mut self,
        scalar: Scalar,
        go_type: &str,
        owner: &Definition,
        value: &mut Value,
        written: Option<&Written<'_>>,
    ) -> Result<(), DecodeError> {
        let literal = written.and_then(Written::number);
        match (scalar, &*value) {
            // An integer in Go, a float in `serde_json`.
            (Scalar::Int32 | Scalar::Int64, Value::Number(_)) if literal == Some("-0") => *value = 0.into(),
            (Scalar::Bytes, Value::Array(list)) => {
                if let Some(bytes) = self.bytes(list, owner) {
                    *value = STANDARD.encode(bytes).into();
                }
                return Ok(());
            }
            _ => {}
        }
        let fits = match scalar {
            Scalar::String | Scalar::Bytes => value.is_string(),
            Scalar::Bool => value.is_boolean(),
            Scalar::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Scalar::Int64 => value.is_i64(),
            Scalar::Float => value.is_number(),
            Scalar::FieldsV1 => value.is_object(),
            _ => return self.reads_itself(scalar, owner, value, literal),
        };
        match value {
            // Go quotes a number that does not fit a number.
            Value::Number(number) if !fits && matches!(scalar, Scalar::Int32 | Scalar::Int64) => {
                let found = number_text(number, literal);
                self.mismatch(&found, go_type, owner);
            }
            _ if !fits => self.mismatch(kind_of(value), go_type, owner),
            Value::String(text) if scalar == Scalar::Bytes => {
                if let Some(offset) = base64_fault(text.as_bytes()) {
                    // Like a wrong type: reading goes on.
                    let message = format!("illegal base64 data at input byte {offset}");
                    self.saved.get_or_insert(DecodeError { message });
                    return Ok(());
                }
                text.retain(|c| c != '\r' && c != '\n');
                canonical_base64(text);
            }
            _ => {}
        }
        Ok(())
    }

    /// The list of numbers that bytes may be, too.
    fn bytes(&mut self, list: &[Value], owner: &Definition) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(list.len());
        for element in list {
            let byte = element.as_u64().and_then(|n| u8::try_from(n).ok());
            match (byte, element) {
                (Some(byte), _) => bytes.push(byte),
                (None, Value::Null) => bytes.push(0),
                (None, Value::Number(number)) => {
                    self.mismatch(&number_text(number, None), "uint8", owner);
                    return None;
                }
                (None, other) => {
                    self.mismatch(kind_of(other), "uint8", owner);
                    return None;
                }
            }
        }
        Some(bytes)
    }

    fn reads_itself(
        &self,
        scalar: Scalar,
        owner: &Definition,
        value: &mut Value,
        literal: Option<&str>,
    ) -> Result<(), DecodeError> {
        match (scalar, &mut *value) {
            (Scalar::Time, Value::String(text)) => match kube_types::parse_seconds(text) {
                Ok(time) if kube_types::is_zero_time(time) => *value = Value::Null,
                Ok(time) => *text = kube_types::format_seconds(time),
                Err(error) => return fail(error.to_string()),
            },
            (Scalar::MicroTime, Value::String(text)) => match kube_types::parse_micros(text) {
                Ok(time) if kube_types::is_zero_time(time) => *value = Value::Null,
                Ok(time) => *text = kube_types::format_micros(time),
                Err(error) => return fail(error.to_string()),
            },
            (Scalar::Duration, Value::String(text)) => match kube_types::parse_duration(text) {
                Ok(nanos) => *text = kube_types::format_duration(nanos),
                Err(error) => return fail(error.to_string()),
            },
            (Scalar::Time | Scalar::MicroTime | Scalar::Duration, other) => {
                return self.own_mismatch(other, "string", owner, literal);
            }
            (Scalar::IntOrString, other) if IntOrString::from_value(other).is_none() => {
                return self.own_mismatch(other, "int32", owner, literal);
            }
            (Scalar::Quantity, other) => {
                let text = match (&*other, literal) {
                    (Value::String(text), _) => text.clone(),
                    (Value::Number(_), Some(literal)) => literal.to_owned(),
                    (other, _) => other.to_string(),
                };
                match text.trim().parse::<Quantity>() {
                    Ok(quantity) => *value = Value::String(quantity.to_string()),
                    Err(error) => return fail(error.to_string()),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A wrong type: remembered, and reading goes on.
    fn mismatch(&mut self, found: &str, go_type: &str, owner: &Definition) {
        let error = self.error(found, go_type, owner);
        self.saved.get_or_insert(error);
    }

    /// A wrong type met by a type that reads itself: the end.
    fn own_mismatch(
        &self,
        value: &Value,
        go_type: &str,
        owner: &Definition,
        literal: Option<&str>,
    ) -> Result<(), DecodeError> {
        let found = match value {
            Value::Number(number) if go_type == "int32" => number_text(number, literal),
            other => kind_of(other).to_owned(),
        };
        Err(self.error(&found, go_type, owner))
    }

    fn error(&self, found: &str, go_type: &str, owner: &Definition) -> DecodeError {
        let field = self.path.join(".");
        let owner = owner.short_name();
        // Reflection knows no alias, and names every package.
        let go_type = go_type
            .replace("[]byte", "[]uint8")
            .replace("map[QualifiedName]", "map[v1.QualifiedName]");
        DecodeError {
            message: format!(
                "json: cannot unmarshal {found} into Go struct field {owner}.{field} of type {go_type}"
            ),
        }
    }
}

/// The Go type of elements: what is left of the declared one, or that of the node where an alias hides it.
fn item_type(node: &Node, declared: Option<&'static str>) -> &'static str {
    if let Some(declared) = declared {
        return declared;
    }
    match node {
        Node::Object { definition, .. } => Table::get().at(*definition).go_name,
        Node::Scalar(Scalar::Int32) => "int32",
        Node::Scalar(Scalar::Int64) => "int64",
        Node::Scalar(Scalar::Bool) => "bool",
        Node::List { .. } => "[]string",
        _ => "string",
    }
}

fn fail(message: String) -> Result<(), DecodeError> {
    Err(DecodeError { message })
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A number that does not fit, as Go shows it: with the text of the document.
fn number_text(number: &serde_json::Number, literal: Option<&str>) -> String {
    match literal {
        Some(literal) => format!("number {literal}"),
        None => format!("number {number}"),
    }
}

/// What Go's encoder makes of the bytes: bits of the last character that mean nothing are zero.
fn canonical_base64(text: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let characters = text.trim_end_matches('=').len();
    let unused = match text.len() - characters {
        1 => 2,
        2 => 4,
        _ => return,
    };
    let last = text.as_bytes()[..characters]
        .last()
        .and_then(|last| ALPHABET.iter().position(|c| c == last));
    if let Some(value) = last {
        let clean = char::from(ALPHABET[value >> unused << unused]);
        text.replace_range(characters - 1..characters, clean.encode_utf8(&mut [0; 4]));
    }
}

/// Where Go's decoder stops (`encoding/base64` decodeQuantum), if it does.
fn base64_fault(text: &[u8]) -> Option<usize> {
    let mut bytes = text
        .iter()
        .enumerate()
        .filter(|(_, b)| !matches!(b, b'\r' | b'\n'));
    // How many characters of a group of four there are.
    let mut filled = 0;
    while let Some((at, byte)) = bytes.next() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') {
            filled = (filled + 1) % 4;
            continue;
        }
        if *byte != b'=' || filled < 2 {
            return Some(at);
        }
        if filled == 2 {
            match bytes.next() {
                None => return Some(text.len()),
                Some((_, b'=')) => {}
                Some((at, _)) => return Some(at - 1),
            }
        }
        return bytes.next().map(|(at, _)| at);
    }
    (filled > 0).then(|| text.len() - filled)
}

/// Where an empty list is not filled in, so that validation refuses it (`pkg/apis/autoscaling/v2/defaults.go` copyHPAScalingRules).
fn is_told_from_none(definition: &Definition, field: &Field) -> bool {
    field.name == "policies" && definition.name == "io.k8s.api.autoscaling.v2.HPAScalingRules"
}

/// Whether Go's encoder leaves the value out.
fn is_omitted(field: &Field, value: &Value) -> bool {
    if field.pointer {
        return false;
    }
    // Go's zero time, which shows where it is pointed at.
    if field.omit_zero && value.is_null() {
        return true;
    }
    if !field.omit_empty {
        return false;
    }
    match (&field.node, value) {
        (Node::Object { .. }, _) => false,
        (Node::Scalar(s), _) if is_struct(*s) => false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Bool(value)) => !value,
        (_, Value::Array(list)) => list.is_empty(),
        (_, Value::Object(map)) => map.is_empty(),
        (_, Value::Null) => true,
    }
}

/// Whether Go has a struct here, which `omitempty` never omits.
fn is_struct(scalar: Scalar) -> bool {
    matches!(
        scalar,
        Scalar::Time
            | Scalar::MicroTime
            | Scalar::Duration
            | Scalar::Quantity
            | Scalar::IntOrString
            | Scalar::FieldsV1
            | Scalar::Raw
    )
}

/// What Go's encoder writes for a field that was not set, if anything.
fn zero_of_field(field: &Field) -> Option<Value> {
    let omits = field.omit_empty || field.omit_zero;
    match &field.node {
        _ if field.pointer => (!omits).then_some(Value::Null),
        _ if field.omit_zero => None,
        node @ Node::Object { .. } => Some(zero_of_node(node)),
        node @ Node::Scalar(s) if is_struct(*s) => Some(zero_of_node(node)),
        node => (!omits).then(|| zero_of_node(node)),
    }
}

pub(crate) fn zero_of_node(node: &Node) -> Value {
    match node {
        Node::Scalar(Scalar::String) => Value::from(""),
        Node::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float | Scalar::IntOrString) => Value::from(0),
        Node::Scalar(Scalar::Bool) => Value::from(false),
        Node::Scalar(Scalar::Quantity) => Value::from("0"),
        Node::Scalar(Scalar::Duration) => Value::from("0s"),
        Node::Scalar(_) | Node::List { .. } | Node::Map { .. } => Value::Null,
        Node::Object { definition, .. } => {
            let definition = Table::get().at(*definition);
            let fields = definition.fields.iter();
            Value::Object(
                fields
                    .filter_map(|f| Some((f.name.to_owned(), zero_of_field(f)?)))
                    .collect(),
            )
        }
    }
}
