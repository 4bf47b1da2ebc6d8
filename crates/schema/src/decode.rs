//! What Go's decoder and encoder make of a document: unknown fields and nulls go, wrong types are errors in Go's words, values
//! take their canonical form, and fields that Go always writes appear.
//!
//! Upstream's reader is `sigs.k8s.io/json` (a strict, case-sensitive `encoding/json`): it goes on after a wrong type and reports
//! the first one, but stops at once where a type reads itself (times, quantities, `IntOrString`).

use base64::{Engine, engine::general_purpose::STANDARD};
use kube_types::{IntOrString, Quantity};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    table::Table,
    types::{Definition, Field, Node, Scalar},
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
    decoder.object(definition, map)?;
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
                    None => found.push(format!("unknown field {path:?}")),
                }
                path.truncate(length);
            }
        }
        (Node::List { item, .. }, Value::Array(list)) => {
            for (i, value) in list.iter().enumerate() {
                path.push_str(&format!("[{i}]"));
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
    ) -> Result<(), DecodeError> {
        map.retain(|key, value| !value.is_null() && definition.field(key).is_some());
        for field in &definition.fields {
            if let Some(value) = map.get_mut(field.name) {
                self.path.push(field.name);
                self.value(&field.node, field.go_type, definition, value)?;
                self.path.pop();
                if is_omitted(field, value) {
                    map.remove(field.name);
                }
            } else if let Some(zero) = zero_of_field(field) {
                map.insert(field.name.to_owned(), zero);
            }
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
    ) -> Result<(), DecodeError> {
        match node {
            Node::Scalar(scalar) => self.scalar(*scalar, go_type, owner, value),
            Node::Object { definition, .. } => {
                let definition = Table::get().at(*definition);
                match value {
                    Value::Object(map) => self.object(definition, map),
                    _ => self.mismatch(value, definition.go_name, owner),
                }
            }
            Node::List { item, .. } => {
                let Value::Array(list) = value else {
                    return self.mismatch(value, go_type, owner);
                };
                let inner = item_type(item, go_type.strip_prefix("[]"));
                for element in list {
                    if element.is_null() {
                        *element = zero_of_node(item);
                    } else {
                        self.value(item, inner, owner, element)?;
                    }
                }
                Ok(())
            }
            Node::Map { value: inner, .. } => {
                let Value::Object(map) = value else {
                    return self.mismatch(value, go_type, owner);
                };
                let declared = go_type
                    .strip_prefix("map[")
                    .and_then(|t| t.split_once(']'))
                    .map(|t| t.1);
                let go_type = item_type(inner, declared);
                for element in map.values_mut() {
                    if element.is_null() {
                        *element = zero_of_node(inner);
                    } else {
                        self.value(inner, go_type, owner, element)?;
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
    ) -> Result<(), DecodeError> {
        let fail = |message: String| Err(DecodeError { message });
        match scalar {
            Scalar::String if !value.is_string() => self.mismatch(value, go_type, owner),
            Scalar::Bool if !value.is_boolean() => self.mismatch(value, go_type, owner),
            Scalar::Int32 | Scalar::Int64 => {
                let number = value
                    .as_i64()
                    .filter(|n| scalar == Scalar::Int64 || i32::try_from(*n).is_ok());
                if number.is_none() {
                    self.mismatch_number(value, go_type, owner)
                } else {
                    Ok(())
                }
            }
            Scalar::Float if !value.is_number() => self.mismatch(value, go_type, owner),
            Scalar::FieldsV1 if !value.is_object() => self.mismatch(value, go_type, owner),
            Scalar::Bytes => {
                let Value::String(text) = value else {
                    return self.mismatch(value, go_type, owner);
                };
                if text.contains(['\r', '\n']) {
                    text.retain(|c| c != '\r' && c != '\n');
                }
                match STANDARD.decode(text.as_bytes()) {
                    Ok(_) => Ok(()),
                    Err(error) => fail(format!(
                        "illegal base64 data at input byte {}",
                        base64_offset(text, &error)
                    )),
                }
            }
            Scalar::Time | Scalar::MicroTime => {
                let Value::String(text) = value else {
                    return self.own_mismatch(value, "string", owner);
                };
                let micro = scalar == Scalar::MicroTime;
                let parsed = if micro {
                    kube_types::parse_micros(text)
                } else {
                    kube_types::parse_seconds(text)
                };
                match parsed {
                    Ok(time) if micro => *text = kube_types::format_micros(time),
                    Ok(time) => *text = kube_types::format_seconds(time),
                    Err(error) => return fail(error.to_string()),
                }
                Ok(())
            }
            Scalar::Duration => {
                let Value::String(text) = value else {
                    return self.own_mismatch(value, "string", owner);
                };
                match kube_types::parse_duration(text) {
                    Ok(nanos) => *text = kube_types::format_duration(nanos),
                    Err(error) => return fail(error.to_string()),
                }
                Ok(())
            }
            Scalar::Quantity => {
                let text = match &*value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                match text.trim().parse::<Quantity>() {
                    Ok(quantity) => *value = Value::String(quantity.to_string()),
                    Err(error) => return fail(error.to_string()),
                }
                Ok(())
            }
            Scalar::IntOrString => {
                if IntOrString::from_value(value).is_none() {
                    self.own_mismatch(value, "int32", owner)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// A wrong type: remembered, and reading goes on.
    fn mismatch(&mut self, value: &Value, go_type: &str, owner: &Definition) -> Result<(), DecodeError> {
        let error = self.error(kind_of(value), go_type, owner);
        self.saved.get_or_insert(error);
        Ok(())
    }

    /// A number that does not fit is quoted.
    fn mismatch_number(
        &mut self,
        value: &Value,
        go_type: &str,
        owner: &Definition,
    ) -> Result<(), DecodeError> {
        let Value::Number(number) = value else {
            return self.mismatch(value, go_type, owner);
        };
        let error = self.error(&format!("number {number}"), go_type, owner);
        self.saved.get_or_insert(error);
        Ok(())
    }

    /// A wrong type met by a type that reads itself: the end.
    fn own_mismatch(&mut self, value: &Value, go_type: &str, owner: &Definition) -> Result<(), DecodeError> {
        let found = match value {
            Value::Number(number) if go_type == "int32" => format!("number {number}"),
            other => kind_of(other).to_owned(),
        };
        Err(self.error(&found, go_type, owner))
    }

    fn error(&self, found: &str, go_type: &str, owner: &Definition) -> DecodeError {
        let field = self.path.join(".");
        let owner = owner.short_name();
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

/// Where Go's decoder stops; it reports the offset of the first byte that does not fit.
fn base64_offset(text: &str, error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(offset, _) | base64::DecodeError::InvalidLastSymbol(offset, _) => {
            *offset
        }
        base64::DecodeError::InvalidLength(_) => text.len() / 4 * 4,
        base64::DecodeError::InvalidPadding => text.len(),
    }
}

/// Whether Go's encoder leaves the value out.
fn is_omitted(field: &Field, value: &Value) -> bool {
    if field.pointer || !field.omit_empty {
        return false;
    }
    match (&field.node, value) {
        (Node::Object { .. }, _) => false,
        (Node::Scalar(s), _) if reads_itself(*s) => false,
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::Bool(value)) => !value,
        (_, Value::Array(list)) => list.is_empty(),
        (_, Value::Object(map)) => map.is_empty(),
        (_, Value::Null) => true,
    }
}

fn reads_itself(scalar: Scalar) -> bool {
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
        node @ Node::Scalar(s) if reads_itself(*s) => Some(zero_of_node(node)),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POD: &str = "io.k8s.api.core.v1.Pod";
    const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";

    fn error(definition: &str, mut object: Value) -> String {
        normalise(definition, &mut object).unwrap_err().message
    }

    #[test]
    fn wrong_types_are_worded_as_go_does() {
        assert_eq!(
            error(
                "io.k8s.api.core.v1.ConfigMap",
                json!({"metadata": {"annotations": {"a": true}}})
            ),
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.annotations of type string"
        );
        assert_eq!(
            error(DEPLOYMENT, json!({"spec": {"replicas": "3"}})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            error(DEPLOYMENT, json!({"spec": {"replicas": 1.5}})),
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            error(POD, json!({"spec": {"containers": {"name": "c"}}})),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"
        );
        assert_eq!(
            error(
                POD,
                json!({"spec": {"containers": [{"imagePullPolicy": 1}, {"image": 2}]}})
            ),
            "json: cannot unmarshal number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy"
        );
        assert_eq!(
            error(POD, json!({"spec": {"volumes": [{"emptyDir": "x"}]}})),
            "json: cannot unmarshal string into Go struct field Volume.spec.volumes.emptyDir of type v1.EmptyDirVolumeSource"
        );
        assert_eq!(
            error(
                DEPLOYMENT,
                json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": true}}}})
            ),
            "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"
        );
        assert_eq!(
            error(POD, json!("x")),
            "json: cannot unmarshal string into Go value of type v1.Pod"
        );
        assert_eq!(
            error(
                POD,
                json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}})
            ),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        );
        assert_eq!(
            error("io.k8s.api.core.v1.Secret", json!({"data": {"a": "b*"}})),
            "illegal base64 data at input byte 1"
        );
        assert_eq!(
            error(POD, json!({"metadata": {"creationTimestamp": "x"}})),
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#
        );
    }

    #[test]
    fn go_round_trip() {
        let mut pod = json!({
            "metadata": {"name": "p", "labels": null, "annotations": {}, "creationTimestamp": null},
            "spec": {
                "hostNetwork": false, "shareProcessNamespace": false, "unknown": 1,
                "containers": [{"name": "c", "image": "", "env": [], "tty": false, "resources": {"limits": {"cpu": "1000m", "memory": 1024}},
                    "securityContext": {"privileged": false}, "livenessProbe": {"httpGet": {"port": 80}}}]
            },
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}
        });
        normalise(POD, &mut pod).unwrap();
        assert_eq!(
            pod,
            json!({
                "metadata": {"name": "p"},
                "spec": {
                    "shareProcessNamespace": false,
                    "containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1024"}},
                        "securityContext": {"privileged": false}, "livenessProbe": {"httpGet": {"port": 80}}}]
                },
                "status": {"conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": null}]}
            })
        );
        let before = pod.clone();
        normalise(POD, &mut pod).unwrap();
        assert_eq!(pod, before);
    }

    #[test]
    fn what_go_always_writes() {
        let mut deployment = json!({"metadata": {"name": "d"}});
        normalise(DEPLOYMENT, &mut deployment).unwrap();
        assert_eq!(
            deployment,
            json!({"metadata": {"name": "d"}, "status": {}, "spec": {"selector": null, "strategy": {},
                "template": {"metadata": {}, "spec": {"containers": null}}}})
        );
    }

    #[test]
    fn unknown_fields_with_paths() {
        let pod = json!({"kinda": 1, "metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "c"}, {"imagee": "x", "ports": [{"p": 1}]}]}});
        assert_eq!(
            unknown_fields(POD, &pod),
            [
                r#"unknown field "kinda""#,
                r#"unknown field "spec.containers[1].imagee""#,
                r#"unknown field "spec.containers[1].ports[0].p""#
            ]
        );
    }
}
