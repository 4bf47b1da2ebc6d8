//! From request bodies to objects: media types, strict decoding, defaults.
use std::{collections::HashSet, sync::PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use schema::KindInfo;
use serde_json::{Map, Value};

use crate::{
    api::Call,
    convert, custom,
    json::{self, text},
    negotiate::{BodyType, body_type},
    registry::{Writer, versions},
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
        BodyType::Yaml => {
            let (value, _) = parse_yaml(&call.body)
                .map_err(|why| ApiError::bad_request(format!("error converting YAML to JSON: {why}")))?;
            Ok(value)
        }
        BodyType::Protobuf => {
            schema::decode_protobuf(&call.body).map_err(|e| ApiError::bad_request(e.message))
        }
    }
}

fn parse_json(body: &[u8]) -> Result<Value> {
    // Go reads what is no text as a sign of its own.
    let text = String::from_utf8_lossy(body);
    kube_types::parse_json(text.as_bytes())
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

/// YAML, which JSON is a part of, and which key is said twice. What is wrong is told in go-yaml's words where these are known.
pub fn parse_yaml(body: &[u8]) -> Result<(Value, Option<String>), String> {
    let text = std::str::from_utf8(body).map_err(|e| format!("yaml: {e}"))?;
    // Our parser takes it for space.
    let blank = text.len() - text.trim_start_matches([' ', '\n', '\r']).len();
    if text[blank..].starts_with('\t') {
        let line = 1 + text[..blank].matches('\n').count();
        let place = if line == 1 {
            String::new()
        } else {
            format!("line {line}: ")
        };
        return Err(format!(
            "yaml: {place}found character that cannot start any token"
        ));
    }
    let error = match serde_saphyr::from_str::<Value>(text) {
        Ok(value) => return Ok((value, None)),
        Err(error) => error,
    };
    let told = error.to_string();
    let first = told.lines().next().unwrap_or_default();
    let line = first
        .split_once("line ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok())
        .unwrap_or(1);
    if let Some((_, key)) = first.split_once("duplicate mapping key: ") {
        let key = key.split(',').next().unwrap_or_default();
        let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
        if let Ok(value) = serde_saphyr::from_str_with_options(text, options) {
            return Ok((
                value,
                Some(format!("line {line}: key {key:?} already set in map")),
            ));
        }
    }
    let known = [
        (
            "mapping values are not allowed",
            "mapping values are not allowed in this context",
        ),
        ("unclosed bracket '['", "did not find expected ',' or ']'"),
        ("unclosed bracket '{'", "did not find expected node content"),
    ];
    let known = known.iter().find(|(ours, _)| first.contains(ours));
    Err(match known {
        Some((_, theirs)) if line == 1 && theirs.starts_with("mapping") => format!("yaml: {theirs}"),
        Some((_, theirs)) => format!("yaml: line {line}: {theirs}"),
        None => format!("yaml: {told}"),
    })
}

/// A whole object of this kind from the request's body: decoded, checked, defaulted; in the request's version.
pub fn decode(call: &Call, kind: &KindInfo, definition: &str) -> Result<Value> {
    let form = body_type(&call.headers)?;
    let mut twice = None;
    let mut value = if form == BodyType::Yaml {
        let (value, said_twice) =
            parse_yaml(&call.body).map_err(|why| unrecognized(kind, &call.body, &why))?;
        twice = said_twice;
        value
    } else {
        parse(call).map_err(|e| unrecognized(kind, &call.body, &e.message))?
    };
    let kindless = value.is_null() || value.is_object() && text(&value, "/kind").is_empty();
    if custom::is(kind)
        && kindless
        && value
            .get("kind")
            .is_none_or(|kind| kind.is_string() || kind.is_null())
    {
        let shown = String::from_utf8_lossy(&call.body);
        let why = format!("Object 'Kind' is missing in '{shown}'");
        return Err(unrecognized(kind, &call.body, &why));
    }
    if let Some(why) = unreadable(&mut value).or_else(|| bad_version(&value)) {
        return Err(unrecognized(kind, &call.body, &why));
    }
    identify(kind, &mut value)?;
    if let Some(twice) = twice {
        return settle_yaml(call, kind, definition, value, twice);
    }
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

/// YAML that says a key twice: told in one with what is not known of it.
fn settle_yaml(call: &Call, kind: &KindInfo, definition: &str, value: Value, twice: String) -> Result<Value> {
    let strictness = strictness(call)?;
    let mut found = vec![match strictness {
        Strictness::Strict => format!("yaml: unmarshal errors:\n  {twice}"),
        _ => twice,
    }];
    if strictness == Strictness::Ignore {
        return finish(call, kind, definition, value);
    }
    if !custom::is(kind) {
        found.extend(schema::unknown_fields(definition, &value));
    }
    settle(call, kind, definition, value, Some(found))
}

/// The object of a PUT, which names what the path names.
pub fn named(call: &Call, kind: &KindInfo) -> Result<Value> {
    let mut object = decode(call, kind, kind.definition)?;
    place(kind, &call.route.namespace, &mut object)?;
    let (name, own) = (call.route.name.as_str(), text(&object, "/metadata/name"));
    if own.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if own != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({name})"
        )));
    }
    Ok(object)
}

/// What is sent to a subresource that has a kind of its own, and none of its own in discovery.
pub fn kind_of_subresource(kind: &KindInfo, name: &str) -> KindInfo {
    let own = kind.subresource(name);
    let [group, version, kind_name] = own.map_or(["", "", ""], |own| [own.group, own.version, own.kind]);
    KindInfo {
        group,
        version,
        kind: kind_name,
        namespaced: kind.namespaced,
        definition: match kind_name {
            "Binding" => "io.k8s.api.core.v1.Binding",
            "Eviction" => "io.k8s.api.policy.v1.Eviction",
            "TokenRequest" => "io.k8s.api.authentication.v1.TokenRequest",
            "Scale" => "io.k8s.api.autoscaling.v1.Scale",
            _ => "",
        },
        ..schema::kinds()[0].clone()
    }
}

/// The body of such a subresource (`Binding`, `Eviction`, `TokenRequest`), in the namespace of the request.
pub fn of_subresource(call: &Call, kind: &KindInfo, name: &str) -> Result<Value> {
    let own = kind_of_subresource(kind, name);
    let mut object = decode(call, &own, own.definition)?;
    place(kind, &call.route.namespace, &mut object)?;
    Ok(object)
}

/// Note whose fields those of an object are that is answered and not stored (apiserver `endpoints/handlers/create.go`).
pub fn owned(call: &Call, kind: &KindInfo, subresource: &str, object: &mut Value) {
    json::remove(object, &["metadata", "managedFields"]);
    let writer = Writer::of(call, kind, subresource);
    custom::with_typing(kind, |typing| {
        ::patch::track_update(typing, None, object, &writer.manager());
    });
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
    *call.empties.lock().unwrap_or_else(PoisonError::into_inner) = schema::empties(definition, &value);
    let resets = resets_managers(&value);
    schema::normalise_text(definition, &mut value, &call.body)
        .map_err(|e| cannot_handle(kind, &e.message))?;
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
pub fn complain(call: &Call, kind: &KindInfo, found: Vec<String>) -> Result<()> {
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
    let (_, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match unconvertible(kind, api_version, name) {
        None => Ok(()),
        Some(why) => Err(ApiError::bad_request(format!(
            "{name} in version {version:?} cannot be handled as a {}: {why}",
            kind.kind
        ))),
    }
}

/// Why a body of this version and kind cannot be read as one of ours.
pub fn unconvertible(kind: &KindInfo, api_version: &str, name: &str) -> Option<String> {
    let (_, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let known = versions::internal_group(api_version, name);
    // Both groups of events are one.
    let internal = |group: &str| if group == "events.k8s.io" { "" } else { group }.to_owned();
    let ours = takes_version(kind, api_version)
        || known.is_some_and(|group| internal(group) == internal(kind.group));
    if name == kind.kind && ours {
        return None;
    }
    Some(if known.is_some() {
        format!(
            "converting ({version}.{name}) to ({}): unknown conversion",
            go_type(kind, "").trim_start_matches('*')
        )
    } else {
        // Definitions have a server of their own.
        let scheme = if kind.group == "apiextensions.k8s.io" {
            "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55"
        } else {
            "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
        };
        format!("no kind {name:?} is registered for version {api_version:?} in scheme {scheme:?}")
    })
}

/// Whether a body may be of this version: the one of the path, or an older one of evictions (`pkg/registry/core/pod/storage/eviction.go`
/// AcceptsGroupVersion).
fn takes_version(kind: &KindInfo, version: &str) -> bool {
    version == kind.api_version() || kind.kind == "Eviction" && version == "policy/v1beta1"
}

/// As Go names the type of these objects, or of what they are a part of, that upstream works on: that of its internal version.
pub fn go_type(kind: &KindInfo, suffix: &str) -> String {
    if custom::is(kind) {
        return format!("*unstructured.Unstructured{suffix}");
    }
    let package = match kind.group {
        "" | "events.k8s.io" => "core",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        group => group.split('.').next().unwrap_or_default(),
    };
    format!("*{package}.{}{suffix}", kind.kind)
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
    let said_version = if version.is_empty() {
        &api_version
    } else {
        &version
    };
    if custom::is(kind) && *said_version != api_version {
        return Err(other_version(said_version, &api_version));
    }
    if !name.is_empty() && name != kind.kind && custom::is(kind) {
        let object = text(&Value::Object(map.clone()), "/metadata/name").to_owned();
        let cause = validation::Cause {
            reason: "FieldValueInvalid",
            field: "kind".to_owned(),
            message: format!("Invalid value: {name:?}: must be {}", kind.kind),
        };
        return Err(ApiError::invalid(kind.group, &name, &object, &[cause]));
    }
    if !name.is_empty() && !custom::is(kind) {
        check_kind(kind, said_version, &name)?;
    }
    if !takes_version(kind, said_version) {
        return Err(other_version(said_version, &api_version));
    }
    map.insert("apiVersion".to_owned(), api_version.into());
    map.insert("kind".to_owned(), kind.kind.into());
    Ok(())
}

fn other_version(said: &str, wanted: &str) -> ApiError {
    ApiError::bad_request(format!(
        "the API version in the data ({said}) does not match the expected API version ({wanted})"
    ))
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
