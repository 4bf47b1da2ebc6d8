//! Kubernetes protobuf bodies: `k8s\0`, then `runtime.Unknown { typeMeta, raw }`, `raw` being the object's message. Driven by the
//! field numbers in the table; types that read themselves have their own messages (`generated.proto` of apimachinery).

mod encode;

use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::{format_duration, format_micros, format_seconds};
use serde_json::{Map, Value, json};

use crate::{
    decode::{DecodeError, normalise},
    table::Table,
    types::{Definition, Field, Node, Scalar},
    wire::{Reader, Wire, packed},
};

pub use encode::{ProtobufList, encode_protobuf, protobuf_event};

const MAGIC: &[u8] = b"k8s\0";

/// Messages do not nest deeper than this; a hostile body might.
const MAX_DEPTH: usize = 64;

/// A Kubernetes protobuf body (with the `k8s\0` magic) to the JSON object it stands for, apiVersion and kind included. The object
/// is normal (see [`normalise`](crate::normalise)).
pub fn decode_protobuf(bytes: &[u8]) -> Result<Value, DecodeError> {
    decode_at(bytes, 0)
}

/// A body inside of so many messages: free-form fields may hold whole objects.
fn decode_at(bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Err(error("empty data"));
    }
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    })?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(body) {
        match field.ok_or_else(cut_short)? {
            (1, Wire::Bytes(meta)) => {
                for field in Reader::new(meta) {
                    match field.ok_or_else(cut_short)? {
                        (1, Wire::Bytes(text)) => utf8(text)?.clone_into(&mut api_version),
                        (2, Wire::Bytes(text)) => utf8(text)?.clone_into(&mut kind),
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    if formless(&kind) {
        return Err(error(&format!("{kind} has no protobuf form here; send JSON")));
    }
    let definition = definition_of(&api_version, &kind).ok_or_else(|| {
        error(&format!(
            "no kind {kind:?} is registered for version {api_version:?}"
        ))
    })?;
    let mut object = Value::Object(message(definition, raw, depth)?);
    normalise(definition.name, &mut object)?;
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".to_owned(), api_version.into());
        map.insert("kind".to_owned(), kind.into());
    }
    Ok(object)
}

/// Kinds that have no protobuf form here: they embed structs in embedded structs, or hold JSON of several shapes (`JSONSchemaPropsOrBool`).
fn formless(kind: &str) -> bool {
    kind.contains("AdmissionPolicy") || kind.starts_with("CustomResourceDefinition")
}

/// Whether upstream knows a kind of this name, served or only sent (lists, options, scales).
pub fn is_registered(group: &str, version: &str, kind: &str) -> bool {
    let mut gvks = Table::get().definitions.iter().flat_map(Definition::gvks);
    gvks.any(|gvk| gvk == (group, version, kind))
}

fn definition_of(api_version: &str, kind: &str) -> Option<&'static Definition> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Table::get()
        .definitions
        .iter()
        .find(|d| d.gvks().any(|gvk| gvk == (group, version, kind)))
}

fn message(
    definition: &'static Definition,
    bytes: &[u8],
    depth: usize,
) -> Result<Map<String, Value>, DecodeError> {
    let mut map = Map::new();
    if depth > MAX_DEPTH {
        return Err(error("the message is nested too deeply"));
    }
    for field in Reader::new(bytes) {
        let (tag, wire) = field.ok_or_else(cut_short)?;
        let plain = definition
            .fields
            .iter()
            .find(|f| u64::from(f.tags[0]) == tag && f.tags[1] == 0);
        if let Some(field) = plain {
            add_field(&mut map, field, wire, depth)?;
        } else if let Wire::Bytes(inner) = wire {
            // An embedded struct is a message of its own, and flat in JSON.
            for field in Reader::new(inner) {
                let (inner_tag, wire) = field.ok_or_else(cut_short)?;
                let found = definition
                    .fields
                    .iter()
                    .find(|f| f.tags.map(u64::from) == [tag, inner_tag]);
                if let Some(field) = found {
                    add_field(&mut map, field, wire, depth)?;
                }
            }
        }
    }
    Ok(map)
}

fn add_field(
    map: &mut Map<String, Value>,
    field: &'static Field,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(), DecodeError> {
    match &field.node {
        Node::List { item, .. } => {
            let entry = map.entry(field.name).or_insert_with(|| json!([]));
            let Value::Array(list) = entry else { return Ok(()) };
            match (&**item, wire) {
                (Node::Scalar(Scalar::Int32 | Scalar::Int64), Wire::Bytes(bytes)) => {
                    list.extend(
                        packed(bytes)
                            .ok_or_else(cut_short)?
                            .into_iter()
                            .map(|n| Value::from(n as i64)),
                    );
                }
                (item, wire) => list.push(value(item, wire, depth)?),
            }
        }
        Node::Map { value: inner, .. } => {
            let Wire::Bytes(bytes) = wire else {
                return Err(wrong_type(field));
            };
            let mut key = String::new();
            let mut element = None;
            for entry in Reader::new(bytes) {
                match entry.ok_or_else(cut_short)? {
                    (1, Wire::Bytes(text)) => utf8(text)?.clone_into(&mut key),
                    (2, wire) => element = Some(map_element(inner, wire, depth)?),
                    _ => {}
                }
            }
            let element = element.unwrap_or_else(|| crate::decode::zero_of_node(inner));
            if let Value::Object(entries) = map.entry(field.name).or_insert_with(|| json!({})) {
                entries.insert(key, element);
            }
        }
        node => {
            let value = value(node, wire, depth).map_err(|e| error(&format!("{}: {e}", field.name)))?;
            map.insert(field.name.to_owned(), value);
        }
    }
    Ok(())
}

/// A list cannot be a map's value in protobuf, so it is wrapped (`ExtraValue { items = 1 }`).
fn map_element(node: &'static Node, wire: Wire<'_>, depth: usize) -> Result<Value, DecodeError> {
    let Node::List { item, .. } = node else {
        return value(node, wire, depth);
    };
    let Wire::Bytes(bytes) = wire else {
        return Err(error("wrong wire type"));
    };
    let mut list = Vec::new();
    for field in Reader::new(bytes) {
        if let (1, wire) = field.ok_or_else(cut_short)? {
            list.push(value(item, wire, depth)?);
        }
    }
    Ok(Value::Array(list))
}

fn value(node: &'static Node, wire: Wire<'_>, depth: usize) -> Result<Value, DecodeError> {
    Ok(match (node, wire) {
        (Node::Scalar(Scalar::Int32), Wire::Varint(n)) => Value::from(n as i32),
        (Node::Scalar(Scalar::Int64), Wire::Varint(n)) => Value::from(n as i64),
        (Node::Scalar(Scalar::Bool), Wire::Varint(n)) => Value::from(n != 0),
        (Node::Scalar(Scalar::Float), Wire::Fixed64(n)) => Value::from(f64::from_bits(n)),
        (Node::Scalar(Scalar::String), Wire::Bytes(bytes)) => Value::from(utf8(bytes)?),
        (Node::Scalar(Scalar::Bytes), Wire::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        (Node::Scalar(scalar), Wire::Bytes(bytes)) => special(*scalar, bytes, depth)?,
        (Node::Object { definition, .. }, Wire::Bytes(bytes)) => {
            Value::Object(message(Table::get().at(*definition), bytes, depth + 1)?)
        }
        _ => return Err(error("wrong wire type")),
    })
}

/// The messages of types that read themselves.
fn special(scalar: Scalar, bytes: &[u8], depth: usize) -> Result<Value, DecodeError> {
    let mut numbers = [0i64; 4];
    let mut texts: [&[u8]; 4] = [&[]; 4];
    for field in Reader::new(bytes) {
        match field.ok_or_else(cut_short)? {
            (tag @ 1..=3, Wire::Varint(n)) => numbers[tag as usize] = n as i64,
            (tag @ 1..=3, Wire::Bytes(text)) => texts[tag as usize] = text,
            _ => {}
        }
    }
    Ok(match scalar {
        // An empty message is Go's zero time, which JSON shows as null.
        Scalar::Time | Scalar::MicroTime if bytes.is_empty() => Value::Null,
        Scalar::Time | Scalar::MicroTime => {
            let time =
                jiff::Timestamp::new(numbers[1], numbers[2] as i32).map_err(|e| error(&e.to_string()))?;
            Value::from(if scalar == Scalar::Time {
                format_seconds(time)
            } else {
                format_micros(time)
            })
        }
        Scalar::Duration => Value::from(format_duration(numbers[1])),
        Scalar::Quantity => match utf8(texts[1])? {
            "" => Value::from("0"),
            text => Value::from(text),
        },
        Scalar::IntOrString if numbers[1] == 0 => Value::from(numbers[2] as i32),
        Scalar::IntOrString => Value::from(utf8(texts[3])?),
        _ if texts[1].is_empty() => Value::Null,
        _ if texts[1].starts_with(MAGIC) => decode_at(texts[1], depth + 1)?,
        _ => serde_json::from_slice(texts[1]).map_err(|e| error(&e.to_string()))?,
    })
}

fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| error("string field contains invalid UTF-8"))
}

fn cut_short() -> DecodeError {
    error("unexpected EOF")
}

fn wrong_type(field: &Field) -> DecodeError {
    error(&format!("wrong wire type for field {}", field.name))
}

fn error(message: &str) -> DecodeError {
    DecodeError {
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    #[test]
    fn special_types_round_trip() {
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {},
            "eventTime": "2026-11-22T19:00:00.000001Z", "firstTimestamp": "1969-01-01T00:00:00Z", "lastTimestamp": null, "source": {},
            "reportingComponent": "", "reportingInstance": "", "count": -1});
        assert_eq!(decode_protobuf(&encode_protobuf(&event).unwrap()).unwrap(), event);
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": {"extra": {"a": ["x", "y"]}},
            "status": {"allowed": false}});
        assert_eq!(
            decode_protobuf(&encode_protobuf(&review).unwrap()).unwrap(),
            review
        );
        let revision = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {}, "revision": 7, "data": {"spec": [1, null]}});
        assert_eq!(
            decode_protobuf(&encode_protobuf(&revision).unwrap()).unwrap(),
            revision
        );
    }

    #[test]
    fn a_list_made_piece_by_piece_is_the_same() {
        let pods = [
            json!({"metadata": {"name": "a"}, "spec": {"containers": []}}),
            json!({"metadata": {"name": "b"}, "status": {"phase": "Running"}}),
        ];
        let mut list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": "x"}});
        let pieces = ProtobufList::begin(&list, "Pod").unwrap();
        let parts = pods.each_ref().map(|pod| {
            let mut part = Vec::new();
            pieces.put(&mut part, pod).unwrap();
            part
        });
        assert_eq!(
            pieces.put(&mut Vec::new(), &json!({"metadata": {"name": 1}})),
            None
        );
        list["items"] = pods.into();
        assert_eq!(pieces.finish(&parts), encode_protobuf(&list).unwrap());
        let definitions = json!({"kind": "CustomResourceDefinitionList", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {}});
        assert!(ProtobufList::begin(&definitions, "CustomResourceDefinition").is_none());
    }

    #[test]
    fn the_verbs_of_a_resource_are_a_message() {
        let list = json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "a", "singularName": "", "namespaced": true,
            "kind": "A", "verbs": ["get", "list"]}]});
        // Without a version, as `/api/v1` is answered.
        let bytes = encode_protobuf(&list).unwrap();
        let verbs = b"\x22\x0b\x0a\x03get\x0a\x04list";
        assert!(
            bytes.windows(verbs.len()).any(|found| found == verbs),
            "{bytes:?}"
        );
        assert_eq!(&bytes[..6], b"k8s\0\x0a\x13");
    }

    #[test]
    fn metadata_alone_and_events() {
        let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "a"}});
        // What is empty is written, too, as gogo's marshallers do.
        let one = b"\n\x11\n\x01a\x12\0\x1a\0\"\0*\x002\x008\0B\0";
        let raw = |bytes: Vec<u8>| {
            let body = bytes.strip_prefix(MAGIC).unwrap().to_vec();
            let raw = Reader::new(&body).find_map(|field| match field {
                Some((2, Wire::Bytes(raw))) => Some(raw.to_vec()),
                _ => None,
            });
            raw.unwrap()
        };
        assert_eq!(raw(encode_protobuf(&object).unwrap()), one);
        for (version, wanted) in [
            ("v1", [&b"\n\x07\n\0\x12\x017\x1a\0\x12\x13"[..], one].concat()),
            (
                "v1beta1",
                [&b"\n\x13"[..], one, b"\x12\x07\n\0\x12\x017\x1a\0"].concat(),
            ),
        ] {
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": {"resourceVersion": "7"}, "items": [object]});
            assert_eq!(raw(encode_protobuf(&list).unwrap()), wanted, "{version}");
        }
        assert_eq!(protobuf_event("ADDED", b"x"), b"\n\x05ADDED\x12\x03\n\x01x");
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "m", "reason": "NotFound",
            "details": {"name": "a", "causes": [{"reason": "r", "message": "m", "field": "f"}]}, "code": 404});
        assert_eq!(
            decode_protobuf(&encode_protobuf(&status).unwrap()).unwrap(),
            status
        );
    }

    #[test]
    fn zero_values_of_values_go_and_those_of_pointers_stay() {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0, "minReadySeconds": 0}});
        let decoded = decode_protobuf(&encode_protobuf(&deployment).unwrap()).unwrap();
        assert_eq!(decoded["spec"]["replicas"], json!(0));
        assert_eq!(decoded["spec"].get("minReadySeconds"), None);
    }

    /// Each level costs a sender some twenty bytes, and a recursion without bounds the whole process.
    #[test]
    fn objects_inside_of_objects_end_somewhere() {
        let mut meta = Vec::new();
        put_bytes(&mut meta, 1, b"apps/v1");
        put_bytes(&mut meta, 2, b"ControllerRevision");
        let nested = |levels: usize| {
            let mut object = Vec::new();
            for _ in 0..levels {
                let (mut data, mut revision) = (Vec::new(), Vec::new());
                if !object.is_empty() {
                    put_bytes(&mut data, 1, &object);
                }
                put_bytes(&mut revision, 2, &data);
                object = MAGIC.to_vec();
                put_bytes(&mut object, 1, &meta);
                put_bytes(&mut object, 2, &revision);
            }
            object
        };
        assert_eq!(
            decode_protobuf(&nested(3)).unwrap()["data"]["data"]["kind"],
            "ControllerRevision"
        );
        let error = decode_protobuf(&nested(5000)).unwrap_err();
        assert!(
            error.message.ends_with("the message is nested too deeply"),
            "{error}"
        );
    }

    #[test]
    fn unknown_kinds_have_no_form() {
        assert_eq!(
            encode_protobuf(&json!({"apiVersion": "example.com/v1", "kind": "Thing"})),
            None
        );
        assert!(decode_protobuf(b"{}").is_err());
        assert!(decode_protobuf(b"k8s\0\x0a\xff").is_err());
    }
}
