//! Objects as protobuf bodies.

use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::IntOrString;
use serde_json::{Map, Value};

use super::{MAGIC, definition_of, formless};
use crate::{
    table::Table,
    types::{Definition, Field, Node, Scalar},
    wire::{put_bytes, put_length, put_message, put_number, put_varint},
};

/// JSON object to a Kubernetes protobuf body with the `k8s\0` magic. `None` when the kind has no protobuf form, or when a value has
/// the wrong type.
pub fn encode_protobuf(object: &Value) -> Option<Vec<u8>> {
    let kind = object.get("kind")?.as_str()?;
    // The oldest documents of discovery have no version.
    let api_version = match object.get("apiVersion") {
        None => "",
        Some(version) => version.as_str()?,
    };
    if formless(kind) {
        return None;
    }
    let raw = match (api_version.strip_prefix("meta.k8s.io/"), kind) {
        (Some(_), "PartialObjectMetadata") => metadata_alone(object)?,
        (Some(version), "PartialObjectMetadataList") => metadata_list(version, object)?,
        _ => {
            let known = if api_version.is_empty() { "v1" } else { api_version };
            encode_message(definition_of(known, kind)?, object.as_object()?)?
        }
    };
    Some(unknown(api_version, kind, &[&raw]))
}

/// What [`encode_protobuf`] makes of a list, whose items are encoded one after the other and need not all be there at a time.
pub struct ProtobufList {
    api_version: String,
    kind: String,
    item: &'static Definition,
    tag: u8,
    head: Vec<u8>,
}

impl ProtobufList {
    /// `head` is the list without its items, which are of this kind. `None` when they have no protobuf form.
    pub fn begin(head: &Value, kind: &str) -> Option<Self> {
        let (api_version, list) = (head.get("apiVersion")?.as_str()?, head.get("kind")?.as_str()?);
        if formless(kind) {
            return None;
        }
        let whole = definition_of(api_version, list)?;
        Some(Self {
            api_version: api_version.to_owned(),
            kind: list.to_owned(),
            item: definition_of(api_version, kind)?,
            tag: whole.fields.iter().find(|field| field.name == "items")?.tags[0],
            // Fields are in the order of their numbers: the metadata of every list come before its items.
            head: encode_message(whole, head.as_object()?)?,
        })
    }

    /// Add the message of an item to some of them. `None` when a value in it has the wrong type.
    pub fn put(&self, items: &mut Vec<u8>, item: &Value) -> Option<()> {
        let fields = item.as_object()?;
        put_message(items, self.tag, |out| put_fields(out, self.item, fields))
    }

    /// The body around all the items, in parts that each are messages of whole items.
    pub fn finish(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut raw = vec![&*self.head];
        raw.extend(parts.iter().map(Vec::as_slice));
        unknown(&self.api_version, &self.kind, &raw)
    }
}

/// `runtime.Unknown`, in which every object travels (apimachinery `runtime/generated.proto`), around a message in parts.
fn unknown(api_version: &str, kind: &str, raw: &[&[u8]]) -> Vec<u8> {
    let length: usize = raw.iter().map(|part| part.len()).sum();
    let mut body = Vec::with_capacity(length + api_version.len() + kind.len() + 32);
    body.extend_from_slice(MAGIC);
    put_message(&mut body, 1, |meta| {
        put_bytes(meta, 1, api_version.as_bytes());
        put_bytes(meta, 2, kind.as_bytes());
    });
    put_length(&mut body, 2, length);
    for part in raw {
        body.extend_from_slice(part);
    }
    put_bytes(&mut body, 3, b"");
    put_bytes(&mut body, 4, b"");
    body
}

/// What a watch tells: `WatchEvent { type, object }` around an encoded object, without the magic (apimachinery
/// `apis/meta/v1/generated.proto`).
pub fn protobuf_event(kind: &str, object: &[u8]) -> Vec<u8> {
    let (mut extension, mut event) = (Vec::new(), Vec::new());
    put_bytes(&mut extension, 1, object);
    put_bytes(&mut event, 1, kind.as_bytes());
    put_bytes(&mut event, 2, &extension);
    event
}

/// The metadata of an object or list, as a message of this type.
fn metadata(definition: &str, object: &Value) -> Option<Vec<u8>> {
    let definition = Table::get().find(definition)?;
    encode_message(definition, object["metadata"].as_object()?)
}

/// `PartialObjectMetadata { metadata }`, which no OpenAPI document describes.
fn metadata_alone(object: &Value) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let metadata = metadata("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", object)?;
    put_bytes(&mut message, 1, &metadata);
    Some(message)
}

/// `PartialObjectMetadataList`, whose fields the older version numbers the other way round.
fn metadata_list(version: &str, object: &Value) -> Option<Vec<u8>> {
    let (own, items) = if version == "v1" { (1, 2) } else { (2, 1) };
    let mut fields = vec![(
        own,
        metadata("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", object)?,
    )];
    for item in object["items"].as_array().into_iter().flatten() {
        fields.push((items, metadata_alone(item)?));
    }
    fields.sort_by_key(|(tag, _)| *tag);
    let mut message = Vec::new();
    for (tag, field) in fields {
        put_bytes(&mut message, tag, &field);
    }
    Some(message)
}

fn encode_message(definition: &'static Definition, map: &Map<String, Value>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put_fields(&mut out, definition, map)?;
    Some(out)
}

fn put_fields(out: &mut Vec<u8>, definition: &'static Definition, map: &Map<String, Value>) -> Option<()> {
    let put = |out: &mut Vec<u8>, tag: u8, field: &'static Field| match map.get(field.name) {
        // A list of a type of its own is a message (apimachinery `apis/meta/v1/generated.proto`, Verbs).
        Some(value) if !value.is_null() && field.go_type == "v1.Verbs" => {
            put_message(out, tag, |out| encode_field(out, 1, &field.node, value))
        }
        Some(value) if !value.is_null() => encode_field(out, tag, &field.node, value),
        _ if field.pointer => Some(()),
        _ => encode_zero(out, tag, &field.node),
    };
    let fields = || {
        definition
            .by_tag
            .iter()
            .map(|index| &definition.fields[usize::from(*index)])
    };
    let mut embedded = 0;
    for field in fields() {
        match field.tags {
            [tag, 0] => put(out, tag, field)?,
            // The fields of an embedded struct are a message of its own, written at the first of them.
            [outer, _] if outer == embedded => {}
            [outer, _] => {
                embedded = outer;
                put_message(out, outer, |out| {
                    fields()
                        .filter(|field| field.tags[0] == outer)
                        .try_for_each(|field| put(out, field.tags[1], field))
                })?;
            }
        }
    }
    Some(())
}

/// A field that was not set and is no pointer, which gogo's marshallers write all the same.
fn encode_zero(out: &mut Vec<u8>, tag: u8, node: &'static Node) -> Option<()> {
    match node {
        Node::Scalar(Scalar::Bytes) | Node::List { .. } | Node::Map { .. } => Some(()),
        Node::Object { definition, .. } => {
            let definition = Table::get().at(*definition);
            put_message(out, tag, |out| put_fields(out, definition, &Map::new()))
        }
        Node::Scalar(Scalar::Quantity) => {
            put_bytes(out, tag, b"\x0a\x00");
            Some(())
        }
        Node::Scalar(Scalar::Time | Scalar::MicroTime | Scalar::FieldsV1 | Scalar::Raw) => {
            put_bytes(out, tag, b"");
            Some(())
        }
        node @ Node::Scalar(_) => encode_value(out, tag, node, &crate::decode::zero_of_node(node)),
    }
}

fn encode_field(out: &mut Vec<u8>, tag: u8, node: &'static Node, value: &Value) -> Option<()> {
    match (node, value) {
        (_, Value::Null) => {}
        (Node::List { item, .. }, Value::Array(list)) => {
            for element in list {
                encode_value(out, tag, item, element)?;
            }
        }
        (Node::Map { value: inner, .. }, Value::Object(map)) => {
            for (key, value) in map {
                put_message(out, tag, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    match (&**inner, value) {
                        (Node::List { item, .. }, Value::Array(list)) => put_message(out, 2, |out| {
                            list.iter()
                                .try_for_each(|element| encode_value(out, 1, item, element))
                        }),
                        // Go's zero time, an empty message.
                        (_, Value::Null) => {
                            put_bytes(out, 2, b"");
                            Some(())
                        }
                        _ => encode_value(out, 2, inner, value),
                    }
                })?;
            }
        }
        _ => encode_value(out, tag, node, value)?,
    }
    Some(())
}

fn encode_value(out: &mut Vec<u8>, tag: u8, node: &'static Node, value: &Value) -> Option<()> {
    match node {
        Node::Object { definition, .. } => {
            let (definition, fields) = (Table::get().at(*definition), value.as_object()?);
            put_message(out, tag, |out| put_fields(out, definition, fields))?;
        }
        Node::Scalar(Scalar::Int32 | Scalar::Int64) => put_number(out, tag, value.as_i64()?),
        Node::Scalar(Scalar::Bool) => put_number(out, tag, i64::from(value.as_bool()?)),
        Node::Scalar(Scalar::Float) => {
            put_varint(out, u64::from(tag) << 3 | 1);
            out.extend_from_slice(&value.as_f64()?.to_le_bytes());
        }
        Node::Scalar(Scalar::String) => put_bytes(out, tag, value.as_str()?.as_bytes()),
        Node::Scalar(Scalar::Bytes) => put_bytes(out, tag, &STANDARD.decode(value.as_str()?).ok()?),
        Node::Scalar(scalar) => put_bytes(out, tag, &encode_special(*scalar, value)?),
        Node::List { .. } | Node::Map { .. } => return None,
    }
    Some(())
}

fn encode_special(scalar: Scalar, value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match scalar {
        Scalar::Time | Scalar::MicroTime => {
            let time = kube_types::parse_seconds(value.as_str()?).ok()?;
            put_number(&mut out, 1, time.as_second());
            put_number(&mut out, 2, i64::from(time.subsec_nanosecond()));
        }
        Scalar::Duration => put_number(&mut out, 1, kube_types::parse_duration(value.as_str()?).ok()?),
        Scalar::Quantity => put_bytes(&mut out, 1, value.as_str()?.as_bytes()),
        Scalar::IntOrString => match IntOrString::from_value(value)? {
            IntOrString::Int(number) => {
                put_number(&mut out, 1, 0);
                put_number(&mut out, 2, number.into());
                put_bytes(&mut out, 3, b"");
            }
            IntOrString::String(text) => {
                put_number(&mut out, 1, 1);
                put_number(&mut out, 2, 0);
                put_bytes(&mut out, 3, text.as_bytes());
            }
        },
        _ => put_bytes(&mut out, 1, &serde_json::to_vec(value).ok()?),
    }
    Some(out)
}
