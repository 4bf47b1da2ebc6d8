//! From request bodies to objects: media types, strict decoding, defaults.
use base64::{Engine, engine::general_purpose::STANDARD};
use schema::KindInfo;
use serde_json::{Map, Value};

use crate::{
    api::Call,
    convert,
    json::{self, text},
    negotiate::{BodyType, body_type},
    status::{ApiError, Result},
};

/// What `fieldValidation` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Unknown and duplicate fields fail.
    Strict,
    /// They are warned about.
    Warn,
    /// They are dropped.
    Ignore,
}

/// The `fieldValidation` parameter.
pub fn strictness(call: &Call) -> Result<Strictness> {
    match call.query.get("fieldValidation") {
        None | Some("Warn") => Ok(Strictness::Warn),
        Some("Strict") => Ok(Strictness::Strict),
        Some("Ignore") => Ok(Strictness::Ignore),
        Some(other) => Err(ApiError::invalid(
            "meta.k8s.io",
            "CreateOptions",
            "",
            &[validation::Cause {
                reason: "FieldValueNotSupported",
                field: "fieldValidation".to_owned(),
                message: format!(
                    "Unsupported value: \"{other}\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                ),
            }],
        )),
    }
}

/// A body as a JSON value, without looking at what it is. Yields the duplicate fields too.
pub fn parse(call: &Call) -> Result<Value> {
    match body_type(&call.headers)? {
        BodyType::Json => parse_json(&call.body),
        BodyType::Yaml => parse_yaml(&call.body),
        BodyType::Protobuf => {
            schema::decode_protobuf(&call.body).map_err(|e| ApiError::bad_request(e.message))
        }
    }
}

fn parse_json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|e| {
        ApiError::bad_request(if body.is_empty() {
            "unexpected end of JSON input".to_owned()
        } else if e.is_eof() {
            "couldn't get version/kind; json parse error: unexpected end of JSON input".to_owned()
        } else {
            format!("couldn't get version/kind; json parse error: {e}")
        })
    })
}

/// YAML, which JSON is a part of.
pub fn parse_yaml(body: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(body).map_err(|e| ApiError::bad_request(format!("yaml: {e}")))?;
    serde_saphyr::from_str(text)
        .map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {e}")))
}

/// A whole object of this kind from the request's body: decoded, checked, defaulted; in the request's version.
pub fn decode(call: &Call, kind: &KindInfo, definition: &str) -> Result<Value> {
    let mut value = parse(call)?;
    if call.body.first() == Some(&b'{') {
        complain(call, kind, schema::duplicate_fields(&call.body))?;
    }
    identify(kind, &mut value)?;
    finish(call, kind, definition, value)
}

/// Check unknown fields and types, then fill in defaults.
pub fn finish(call: &Call, kind: &KindInfo, definition: &str, mut value: Value) -> Result<Value> {
    if strictness(call)? != Strictness::Ignore {
        complain(call, kind, schema::unknown_fields(definition, &value))?;
    }
    schema::normalise(definition, &mut value).map_err(|e| cannot_handle(kind, &e.message))?;
    merge_string_data(kind, &mut value);
    schema::set_defaults(definition, &mut value);
    Ok(value)
}

fn cannot_handle(kind: &KindInfo, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{0} in version \"{1}\" cannot be handled as a {0}: {why}",
        kind.kind, kind.version
    ))
}

/// Fail or warn about what strict decoding found.
fn complain(call: &Call, kind: &KindInfo, found: Vec<String>) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    match strictness(call)? {
        Strictness::Strict => Err(cannot_handle(
            kind,
            &format!("strict decoding error: {}", found.join(", ")),
        )),
        Strictness::Warn => {
            for warning in found {
                call.warn(warning);
            }
            Ok(())
        }
        Strictness::Ignore => Ok(()),
    }
}

/// Make sure that the body is of the kind that this path serves; what it leaves out is filled in.
pub fn identify(kind: &KindInfo, value: &mut Value) -> Result<()> {
    let Value::Object(map) = value else {
        return Err(cannot_handle(
            kind,
            "json: cannot unmarshal into Go value of type struct",
        ));
    };
    let api_version = kind.api_version();
    let said = |map: &Map<String, Value>, key: &str| {
        map.get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (version, name) = (said(map, "apiVersion"), said(map, "kind"));
    if !version.is_empty() && version != api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({api_version})"
        )));
    }
    if !name.is_empty() && name != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{name} in version \"{}\" cannot be handled as a {}: no kind \"{name}\" is registered for this resource",
            kind.version, kind.kind
        )));
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.kind.into());
    Ok(())
}

/// `stringData` of a Secret overwrites `data` and is never stored.
fn merge_string_data(kind: &KindInfo, value: &mut Value) {
    if kind.kind != "Secret" {
        return;
    }
    if let Some(Value::Object(plain)) = json::remove(value, &["stringData"]) {
        for (key, text) in plain {
            let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
            json::set(value, &["data", &key], encoded);
        }
    }
}

/// The namespace of an object must be the request's.
pub fn place(kind: &KindInfo, namespace: &str, value: &mut Value) -> Result<()> {
    let own = text(value, "/metadata/namespace").to_owned();
    if !kind.namespaced {
        json::remove(value, &["metadata", "namespace"]);
        return Ok(());
    }
    if own.is_empty() {
        json::set(value, &["metadata", "namespace"], namespace);
        return Ok(());
    }
    if own != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// To the stored version.
pub fn to_stored(kind: &'static KindInfo, mut value: Value) -> (&'static KindInfo, Value) {
    let stored = convert::stored(kind);
    if convert::needed(kind) {
        convert::to_stored(kind, &mut value);
        schema::set_defaults(stored.definition, &mut value);
    }
    (stored, value)
}
