//! `PATCH`: the four media types, and apply's create.
use std::sync::Arc;

use ::patch::PatchError;
use http::header;
use schema::KindInfo;
use serde_json::{Value, json};
use validation::Cause;

use crate::{
    api::{Api, Call},
    convert, custom,
    json::text,
    keys, pretty,
    registry::{
        Output, Writer,
        body::{self, Strictness},
        update::Tracking,
    },
    status::{ApiError, Result},
};

/// The media types of patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Strategic merge.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    /// From the Content-Type header.
    pub fn of(call: &Call) -> Result<Self> {
        let raw = call
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        match raw.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            // Answered by the router, which words it like this.
            _ => Err(ApiError {
                details: Some(json!({})),
                ..ApiError::new(415, "UnsupportedMediaType", "415: Unsupported Media Type")
            }),
        }
    }
}

/// A patch error as a Status.
pub fn patch_error(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(message) => ApiError::bad_request(message),
        PatchError::Unprocessable(message) => match message.strip_prefix("patch: ") {
            Some(rest) => ApiError::invalid(
                "",
                "",
                "",
                &[Cause {
                    reason: "FieldValueInvalid",
                    field: "patch".to_owned(),
                    message: rest.to_owned(),
                }],
            ),
            // NewGenericServerResponse of 422.
            None => ApiError {
                details: Some({
                    tracing::debug!(message, "patch does not fit");
                    json!({})
                }),
                ..ApiError::new(
                    422,
                    "Invalid",
                    "the server rejected our request due to an error in our request",
                )
            },
        },
        PatchError::Untyped(message) => ApiError::new(500, "", message),
        PatchError::Conflict(ref conflicts) => {
            let causes = conflicts
                .iter()
                .map(|c| json!({"reason": "FieldManagerConflict", "message": c.message, "field": c.field}))
                .collect::<Vec<_>>();
            ApiError {
                details: Some(json!({"causes": causes})),
                ..ApiError::new(409, "Conflict", error.to_string())
            }
        }
    }
}

/// What cannot be made of an object, or not strictly: a strategic patch shows itself, the others what they make (apiserver
/// `endpoints/handlers/patch.go` applyPatchToObject, applyPatchToCurrentObject).
fn unfit(patch_type: PatchType, definition: &str, patched: &Value, patch: &[u8], why: &str) -> ApiError {
    let shown = match (patch_type, serde_json::from_slice::<Value>(patch)) {
        (PatchType::Strategic, patch) => patch.map(|patch| go_print(&patch)).unwrap_or_default(),
        (PatchType::Json, Ok(patch)) => pretty::compact(patched, definition, &touched(&patch)),
        (_, patch) => pretty::compact(patched, definition, &patch.unwrap_or_default()),
    };
    patch_error(PatchError::Unprocessable(format!(
        "patch: Invalid value: {}: {why}",
        Value::from(shown)
    )))
}

/// Which objects the operations of a JSON patch look into, as a merge patch would say it: these are written with their keys in order.
fn touched(patch: &Value) -> Value {
    let mut all = json!({});
    for operation in patch.as_array().into_iter().flatten() {
        for path in ["path", "from"] {
            let mut at = &mut all;
            for step in text(operation, &format!("/{path}")).split('/').skip(1) {
                at = &mut at[step.replace("~1", "/").replace("~0", "~")];
                if !at.is_object() {
                    *at = json!({});
                }
            }
        }
    }
    all
}

/// What is said twice in a patch, or not known of one (kjson.UnmarshalStrict).
fn strict_errors(patch_type: PatchType, patch: &[u8]) -> Vec<String> {
    let twice = schema::duplicate_fields(patch);
    if patch_type != PatchType::Json {
        return twice;
    }
    let twice = twice.into_iter().map(|found| format!("json patch {found}"));
    let mut found = Vec::new();
    let operations = serde_json::from_slice::<Value>(patch).unwrap_or_default();
    for (n, operation) in operations.as_array().into_iter().flatten().enumerate() {
        let keys = operation.as_object().into_iter().flat_map(|map| map.keys());
        for key in keys.filter(|key| !matches!(key.as_str(), "op" | "path" | "from" | "value")) {
            found.push(format!("json patch unknown field \"[{n}].{key}\""));
        }
    }
    found.extend(twice);
    found
}

/// As Go's `%v` prints what it decodes JSON to.
fn go_print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(k, v)| format!("{k}:{}", go_print(v)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

/// Apply one of the three plain patches.
pub fn apply_plain(
    kind: PatchType,
    definition: &str,
    object: &Value,
    patch: &[u8],
) -> Result<Value, PatchError> {
    match kind {
        PatchType::Json => ::patch::json_patch(object, patch),
        PatchType::Merge => ::patch::merge_patch(object, patch),
        PatchType::Strategic => ::patch::strategic_merge_patch(definition, object, patch),
        PatchType::Apply => Err(PatchError::Malformed("apply is not a plain patch".to_owned())),
    }
}

/// Custom resources know no strategic patches.
pub fn not_strategic(kind: &KindInfo, patch_type: PatchType) -> Result<()> {
    if patch_type != PatchType::Strategic || !custom::is(kind) {
        return Ok(());
    }
    Err(ApiError::new(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
         application/merge-patch+json, application/apply-patch+yaml",
    ))
}

/// What one of the plain patches makes of an object, in the version of the request.
pub fn patched(call: &Call, kind: &KindInfo, patch_type: PatchType, current: &Value) -> Result<Value> {
    let definition = kind.definition;
    let strictness = body::strictness(call)?;
    let patched = apply_plain(patch_type, definition, current, &call.body).map_err(patch_error)?;
    let mut patched = patched;
    if patch_type == PatchType::Strategic {
        // Go's struct has been told already what it is.
        crate::json::restore(&mut patched, current, &["apiVersion"]);
        crate::json::restore(&mut patched, current, &["kind"]);
    }
    let patched = patched;
    // Go decodes such a document into nothing (apiserver `endpoints/handlers/patch.go`).
    if patch_type != PatchType::Strategic && text(&patched, "/apiVersion").is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            call.route.name
        )));
    }
    let unfit = |why: &str| unfit(patch_type, definition, &patched, &call.body, why);
    if !custom::is(kind) {
        let name = text(&patched, "/kind");
        let other = body::unconvertible(kind, text(&patched, "/apiVersion"), name);
        if let Some(why) = other.filter(|_| !name.is_empty()) {
            return Err(unfit(&why));
        }
        schema::normalise(definition, &mut patched.clone()).map_err(|e| unfit(&e.message))?;
    }
    let mut found = Vec::new();
    if strictness != Strictness::Ignore {
        found.extend(strict_errors(patch_type, &call.body));
        found.extend(if custom::is(kind) {
            custom::finish(kind, &mut patched.clone()).unwrap_or_default()
        } else {
            schema::unknown_fields(definition, &patched)
        });
    }
    if !found.is_empty() && strictness == Strictness::Strict {
        return Err(unfit(&format!("strict decoding error: {}", found.join(", "))));
    }
    for warning in found {
        call.warn(warning);
    }
    let version = kind.api_version();
    if custom::is(kind) && text(&patched, "/apiVersion") != version {
        let cause = Cause {
            reason: "FieldValueInvalid",
            field: "apiVersion".to_owned(),
            message: format!("Invalid value: {}: must be {version}", patched["apiVersion"]),
        };
        return Err(ApiError::invalid_kind(kind, &call.route.name, &[cause]));
    }
    let mut patched = body::finish(call, kind, definition, patched)?;
    body::identify(kind, &mut patched)?;
    keep_identity(kind, current, &mut patched)?;
    Ok(patched)
}

impl Api {
    /// `PATCH` of an object or of its status; whether it was created.
    pub async fn patch(
        self: &Arc<Self>,
        call: &Call,
        kind: &'static KindInfo,
        subresource: &str,
    ) -> Result<(Output, bool)> {
        let patch_type = PatchType::of(call)?;
        if patch_type == PatchType::Apply {
            return self.apply(call, kind, subresource).await;
        }
        not_strategic(kind, patch_type)?;
        let change = |current: &Value| patched(call, kind, patch_type, current);
        let output = self
            .change(call, kind, subresource, Tracking::Update, change)
            .await?;
        Ok((output, false))
    }

    async fn apply(
        self: &Arc<Self>,
        call: &Call,
        kind: &'static KindInfo,
        subresource: &str,
    ) -> Result<(Output, bool)> {
        let applied = applied(call, kind)?;
        let force = call.query.truth("force");
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        let writer = Writer::of(call, kind, subresource);
        let merge = |live: Option<&Value>| {
            custom::with_typing(kind, |typing| {
                ::patch::apply(typing, live, &applied, &writer.manager(), force)
            })
            .map_err(patch_error)
        };
        if self
            .store
            .get(&keys::key(convert::stored(kind), namespace, name))
            .is_none()
        {
            if !subresource.is_empty() {
                return Err(ApiError::not_found(kind, name));
            }
            let uid = text(&applied, "/metadata/uid");
            if !uid.is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                );
                return Err(ApiError::conflict(kind, name, &why));
            }
            let merged = merge(None)?;
            let object = body::finish(call, kind, kind.definition, merged)?;
            match self.create(call, kind, object).await {
                Err(raced) if raced.reason == "AlreadyExists" => {}
                done => return done.map(|output| (output, true)),
            }
        }
        let change = |current: &Value| body::finish(call, kind, kind.definition, merge(Some(current))?);
        let output = self
            .change(call, kind, subresource, Tracking::Done, change)
            .await?;
        Ok((output, false))
    }
}

/// The object that is applied.
pub fn applied(call: &Call, kind: &KindInfo) -> Result<Value> {
    let mut applied = match serde_json::from_slice::<Value>(&call.body) {
        Ok(value) => value,
        Err(_) => {
            let (value, twice) = body::parse_yaml(&call.body).map_err(|why| {
                ApiError::bad_request(format!(
                    "error decoding YAML: error converting YAML to JSON: {why}"
                ))
            })?;
            match (twice, body::strictness(call)?) {
                (Some(twice), Strictness::Strict) => {
                    return Err(ApiError::bad_request(format!(
                        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {twice}"
                    )));
                }
                (Some(twice), Strictness::Warn) => call.warn(twice),
                _ => {}
            }
            value
        }
    };
    check_applied(call, kind, &mut applied)?;
    Ok(applied)
}

/// What an applied object may not say.
fn check_applied(call: &Call, kind: &KindInfo, applied: &mut Value) -> Result<()> {
    let found = match applied {
        Value::Object(_) => "",
        Value::Null => {
            *applied = json!({});
            ""
        }
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
    };
    if !found.is_empty() {
        return Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {found} into Go value of type \
             map[string]interface {{}}"
        )));
    }
    let (version, name) = (text(applied, "/apiVersion"), text(applied, "/kind"));
    if version != kind.api_version() || name != kind.kind {
        let group = if version.contains('/') { "" } else { "/" };
        return Err(ApiError::bad_request(format!(
            "invalid object type: {group}{version}, Kind={name}"
        )));
    }
    if let Some(custom) = custom::of(kind)
        && let Some(first) = custom::undeclared(&custom, &mut applied.clone()).first()
    {
        let field = first.trim_start_matches("unknown field ").trim_matches('"');
        return Err(ApiError::new(
            500,
            "",
            format!(
                "failed to create typed patch object ({}): .{field}: field not declared in schema",
                ::patch::identity(applied)
            ),
        ));
    }
    custom::with_typing(kind, |typing| ::patch::check_applied(typing, &*applied)).map_err(patch_error)?;
    // Checked only: what decoding adds would become the applier's.
    schema::normalise(kind.definition, &mut applied.clone()).map_err(|e| {
        let who = ::patch::identity(applied);
        let kind = who.split_once("; ").map_or("", |(_, kind)| kind);
        ApiError::new(
            500,
            "",
            format!("failed to convert new object ({who}) to proper version: unable to convert unstructured object to {kind}: {}", e.message),
        )
    })?;
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null())
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let own = text(applied, "/metadata/name").to_owned();
    if own.is_empty() {
        crate::json::set(applied, &["metadata", "name"], call.route.name.as_str());
    } else if own != call.route.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({own}) does not match the name on the URL ({})",
            call.route.name
        )));
    }
    // Only checked: errors name the object as it was sent.
    body::place(kind, &call.route.namespace, &mut applied.clone())
}

/// A patch changes neither name nor namespace.
fn keep_identity(kind: &KindInfo, old: &Value, new: &mut Value) -> Result<()> {
    for field in ["name", "namespace"] {
        let (was, is) = (old["metadata"].get(field), new["metadata"].get(field));
        if was != is {
            let (was, is) = (
                was.and_then(Value::as_str).unwrap_or_default(),
                is.and_then(Value::as_str).unwrap_or_default(),
            );
            return Err(ApiError::bad_request(if field == "name" && is.is_empty() {
                format!(
                    "the name of the object ({was} based on URL) was undeterminable: name must be provided"
                )
            } else if field == "name" {
                format!("the name of the object ({is}) does not match the name on the URL ({was})")
            } else {
                format!(
                    "the namespace of the provided {} does not match the namespace sent on the request",
                    if kind.namespaced {
                        "object"
                    } else {
                        "cluster-scoped object"
                    }
                )
            }));
        }
    }
    Ok(())
}
