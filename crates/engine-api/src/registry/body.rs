//! From request bodies to objects: media types, strict decoding, defaults.
use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use schema::KindInfo;
use serde_json::{Map, Value};

use crate::{
    api::Call,
    convert, custom,
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
            call.options_kind(),
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
    kube_types::parse_json(body)
        .map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}")))
}

/// What Go reads version and kind into.
const META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// A body of which not even the kind can be read (apiserver `endpoints/handlers/rest.go` transformDecodeError).
fn unrecognized(kind: &KindInfo, body: &[u8], why: &str) -> ApiError {
    const SHOWN: usize = 30;
    let cut = &body[..body.len().min(SHOWN)];
    let mut summary = match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(cut).into_owned(),
        Some(_) => hex::encode(cut),
    };
    if body.len() > SHOWN {
        summary += " ...";
    }
    ApiError::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): {why} ({summary})",
        kind.kind
    ))
}

/// Why version and kind cannot be read: the document is no object, or says them as something other than strings. Nothing is an
/// empty object.
pub fn unreadable(value: &mut Value) -> Option<String> {
    let name = |value: &Value| match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::Object(_) | Value::Null => "object",
    };
    let why = |found: &str, what: &str| {
        Some(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go {what}"
        ))
    };
    match value {
        Value::Null => {
            *value = Value::Object(Map::new());
            None
        }
        Value::Object(map) => {
            let (field, wrong) = ["apiVersion", "kind"].into_iter().find_map(|field| {
                Some((field, map.get(field).filter(|v| !v.is_string() && !v.is_null())?))
            })?;
            why(name(wrong), &format!("struct field .{field} of type string"))
        }
        other => why(name(other), &format!("value of type {META}")),
    }
}

/// Why a version is none: it has more than a group and a name.
pub fn bad_version(value: &Value) -> Option<String> {
    let version = text(value, "/apiVersion");
    (version.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {version}"))
}

/// YAML, which JSON is a part of.
pub fn parse_yaml(body: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(body).map_err(|e| ApiError::bad_request(format!("yaml: {e}")))?;
    serde_saphyr::from_str(text)
        .map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {e}")))
}

/// A whole object of this kind from the request's body: decoded, checked, defaulted; in the request's version.
pub fn decode(call: &Call, kind: &KindInfo, definition: &str) -> Result<Value> {
    let form = body_type(&call.headers)?;
    let mut value = match form {
        BodyType::Yaml => parse(call)?,
        BodyType::Json | BodyType::Protobuf => {
            parse(call).map_err(|e| unrecognized(kind, &call.body, &e.message))?
        }
    };
    if let Some(why) = unreadable(&mut value).or_else(|| bad_version(&value)) {
        return Err(unrecognized(kind, &call.body, &why));
    }
    identify(kind, &mut value)?;
    if call.body.first() != Some(&b'{') || strictness(call)? == Strictness::Ignore {
        return finish(call, kind, definition, value);
    }
    let found = if custom::is(kind) {
        schema::duplicate_fields(&call.body)
    } else {
        schema::strict_errors(definition, &call.body)
    };
    settle(call, kind, definition, value, Some(found))
}

/// Check unknown fields and types, then fill in defaults.
pub fn finish(call: &Call, kind: &KindInfo, definition: &str, value: Value) -> Result<Value> {
    settle(call, kind, definition, value, None)
}

/// As `finish`, with what a look at the text has found already. What cannot be read at all is told first.
fn settle(
    call: &Call,
    kind: &KindInfo,
    definition: &str,
    mut value: Value,
    found: Option<Vec<String>>,
) -> Result<Value> {
    if custom::is(kind) {
        let resets = resets_managers(&value);
        let unknown = custom::finish(kind, &mut value).map_err(|why| cannot_handle(kind, &why))?;
        complain(call, kind, found.into_iter().flatten().chain(unknown).collect())?;
        if resets {
            value["metadata"]["managedFields"] = Value::Array(Vec::new());
        }
        single_owners(call, &mut value);
        return Ok(value);
    }
    let found = match found {
        Some(found) => found,
        None if strictness(call)? == Strictness::Ignore => Vec::new(),
        None => schema::unknown_fields(definition, &value),
    };
    let resets = resets_managers(&value);
    schema::normalise(definition, &mut value).map_err(|e| cannot_handle(kind, &e.message))?;
    complain(call, kind, found)?;
    if resets {
        // Unlike other empty lists this one says something: nobody owns anything.
        value["metadata"]["managedFields"] = Value::Array(Vec::new());
    }
    single_owners(call, &mut value);
    merge_string_data(kind, &mut value);
    schema::set_defaults(definition, &mut value);
    Ok(value)
}

/// What admission made of an object, read as a client's body would be: unknown fields go, defaults come.
pub fn redecode(kind: &KindInfo, mut value: Value) -> Result<Value, String> {
    if custom::is(kind) {
        custom::finish(kind, &mut value)?;
        return Ok(value);
    }
    schema::normalise(kind.definition, &mut value).map_err(|e| e.message)?;
    merge_string_data(kind, &mut value);
    schema::set_defaults(kind.definition, &mut value);
    Ok(value)
}

/// Whether the client says that nobody manages any field.
fn resets_managers(value: &Value) -> bool {
    value["metadata"]["managedFields"]
        .as_array()
        .is_some_and(Vec::is_empty)
}

/// The same owner twice is one (apiserver `endpoints/handlers/create.go` dedupOwnerReferences).
fn single_owners(call: &Call, value: &mut Value) {
    let Some(owners) = value
        .pointer_mut("/metadata/ownerReferences")
        .and_then(Value::as_array_mut)
    else {
        return;
    };
    let mut twice: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    owners.retain(|owner| {
        let first = seen.insert(owner.to_string());
        if !first {
            twice.push(text(owner, "/uid").to_owned());
        }
        first
    });
    if !twice.is_empty() {
        call.warn(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject \
             such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        ));
    }
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

/// Whether a body of this kind can be read as one of ours (apimachinery `runtime/scheme.go`, `conversion/converter.go`).
fn check_kind(kind: &KindInfo, api_version: &str, name: &str) -> Result<()> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if group == kind.group && name == kind.kind && schema::by_kind(group, version, name).is_some() {
        return Ok(());
    }
    let why = if schema::by_kind(group, version, name).is_some() {
        let internal = if kind.group.is_empty() { "core" } else { kind.group };
        let internal = internal.split('.').next().unwrap_or_default();
        format!(
            "converting ({version}.{name}) to ({internal}.{}): unknown conversion",
            kind.kind
        )
    } else {
        // Definitions have a server of their own.
        let scheme = if kind.group == "apiextensions.k8s.io" {
            "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55"
        } else {
            "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
        };
        format!("no kind {name:?} is registered for version {api_version:?} in scheme {scheme:?}")
    };
    Err(ApiError::bad_request(format!(
        "{name} in version {version:?} cannot be handled as a {}: {why}",
        kind.kind
    )))
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
    if !name.is_empty() && name != kind.kind && custom::is(kind) {
        let object = text(&Value::Object(map.clone()), "/metadata/name").to_owned();
        let cause = validation::Cause {
            reason: "FieldValueInvalid",
            field: "kind".to_owned(),
            message: format!("Invalid value: {name:?}: must be {}", kind.kind),
        };
        return Err(ApiError::invalid(kind.group, &name, &object, &[cause]));
    }
    let said_version = if version.is_empty() {
        &api_version
    } else {
        &version
    };
    if !name.is_empty() && !custom::is(kind) {
        check_kind(kind, said_version, &name)?;
    }
    if *said_version != api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({api_version})"
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
