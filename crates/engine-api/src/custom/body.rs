//! What becomes of a custom object on its way in.
use http::Response;
use schema::KindInfo;
use serde_json::Value;
use validation::Cause;

use super::{Custom, embedded, of};
use crate::{
    answer::{self, Body},
    api::Call,
    discovery::rank,
    json::{list, text},
    status::ApiError,
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Prune, normalise and default an object; yields what nobody has declared, worded as strict decoding does, or why it cannot be
/// read at all.
pub fn finish(kind: &KindInfo, value: &mut Value) -> Result<Vec<String>, String> {
    let Some(custom) = of(kind) else {
        return Err("its definition is gone".to_owned());
    };
    let mut unknown = Vec::new();
    let found = match &value["metadata"] {
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        Value::Null | Value::Object(_) => "",
    };
    if !found.is_empty() {
        return Err(format!(
            "json: cannot unmarshal {found} into Go value of type v1.ObjectMeta"
        ));
    }
    if value["metadata"].is_object() {
        for found in schema::unknown_fields(META, &value["metadata"]) {
            unknown.push(found.replacen('"', "\"metadata.", 1));
        }
        schema::normalise(META, &mut value["metadata"]).map_err(|e| e.message)?;
    }
    for path in undeclared(&custom, value) {
        unknown.push(format!("unknown field {path:?}"));
    }
    unknown.extend(embedded::settle(custom.schema(), value)?);
    structural::set_defaults(custom.schema(), value);
    Ok(unknown)
}

/// Take away what the schema does not declare; yields the paths.
pub fn undeclared(custom: &Custom, value: &mut Value) -> Vec<String> {
    structural::prune(custom.schema(), value)
}

pub(super) fn cause(fault: structural::Fault) -> Cause {
    Cause {
        reason: fault.reason,
        field: fault.field,
        message: fault.message,
    }
}

/// Faults that keep rules from being asked at all (`pkg/registry/customresource/strategy.go` hasBlockingErr).
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// What the rules of the schema say.
fn ruled(call: &Call, custom: &Custom, old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    let Some(rules) = &custom.rules else { return };
    if causes.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: "<nil>".to_owned(),
            message: "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing \
                      errors to complete validation"
                .to_owned(),
        });
        return;
    }
    let verdict = rules.validate(new, old);
    causes.extend(verdict.faults.into_iter().map(cause));
    for warning in verdict.warnings {
        call.warn(warning);
    }
}

/// What is wrong with the defaults and the rules in the schemas of a definition; a schema that is as it was is not looked at. Rules
/// are looked at when the defaults are right.
pub fn rule_causes(kind: &KindInfo, old: Option<&Value>, new: &Value) -> Vec<Cause> {
    if kind.group != "apiextensions.k8s.io" {
        return Vec::new();
    }
    let schemas = |definition: &Value| -> Vec<Value> {
        let versions = list(definition, "/spec/versions").iter();
        versions
            .map(|version| version["schema"]["openAPIV3Schema"].clone())
            .collect()
    };
    let (now, before) = (schemas(new), old.map(schemas).unwrap_or_default());
    // One that all versions have is the definition's own (`pkg/apis/apiextensions/v1/conversion.go`).
    let checked = if now.windows(2).all(|pair| pair[0] == pair[1]) {
        now.first()
            .map(|schema| ("spec.validation.openAPIV3Schema".to_owned(), schema))
            .into_iter()
            .collect()
    } else {
        let path = |at| format!("spec.versions[{at}].schema.openAPIV3Schema");
        now.iter()
            .enumerate()
            .map(|(at, schema)| (path(at), schema))
            .collect::<Vec<_>>()
    };
    let changed = checked.into_iter().filter(|(_, schema)| !before.contains(schema));
    changed
        .filter(|(_, schema)| validation::is_structural(schema))
        .flat_map(|(path, schema)| {
            let mut faults = structural::check_patterns(schema, &path);
            if faults.is_empty() {
                faults = structural::check_defaults(schema, &path);
            }
            if faults.is_empty() {
                faults = structural::rules::check(schema, &path);
            }
            faults
        })
        .map(cause)
        .collect()
}

/// Everything wrong with a new or changed object.
pub fn causes(call: &Call, custom: &Custom, old: Option<&Value>, new: &Value) -> Vec<Cause> {
    let mut causes = match old {
        None => validation::validate_custom(new, custom.kind.namespaced),
        Some(old) => validation::validate_custom_update(old, new, custom.kind.namespaced),
    };
    // Metadata is everybody's.
    let bare = |object: &Value| {
        let mut body = object.clone();
        if let Some(map) = body.as_object_mut() {
            map.remove("metadata");
        }
        body
    };
    let before = old.map(bare);
    let faults = structural::validate_update(custom.schema(), before.as_ref(), &bare(new)).into_iter();
    let of_status = call.route.subresource == "status";
    let faults = faults.filter(|f| f.field != "metadata").map(cause);
    if of_status {
        // Only the status is looked at, by its own schema: what is said of a value begins below it.
        let within = |field: &str| {
            field
                .strip_prefix("status")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        // What upstream does not say the place of is somewhere in the status.
        let placed = faults.map(|mut cause| {
            if cause.field == "<nil>" && cause.message.contains(" in status.") {
                "status".clone_into(&mut cause.field);
                cause.message = cause.message.replace(" in status.", " in ");
            }
            cause
        });
        causes.extend(placed.filter(|cause| within(&cause.field)).map(|mut cause| {
            cause.message = cause.message.replace(": status.", ": ");
            cause
        }));
    } else {
        causes.extend(faults);
        causes.extend(embedded::causes(custom.schema(), new));
    }
    scaled(custom, new, of_status, &mut causes);
    ruled(call, custom, old, new, &mut causes);
    causes
}

/// What every request for a deprecated version is told.
pub fn deprecation(custom: &Custom) -> Option<String> {
    if custom.version["deprecated"] != true {
        return None;
    }
    let own = text(&custom.version, "/deprecationWarning");
    if !own.is_empty() {
        return Some(own.to_owned());
    }
    let KindInfo { group, kind, .. } = custom.kind;
    let mut told = format!("{} {kind} is deprecated", custom.kind.api_version());
    if let Some(version) = &custom.instead {
        told = format!("{told}; use {group}/{version} {kind}");
    }
    Some(told)
}

/// The newest version that is newer than this one, served, and not deprecated (apiextensions `customresource_handler.go`
/// defaultDeprecationWarning).
pub fn instead(spec: &Value, version: &str) -> Option<String> {
    let others = list(spec, "/versions").iter();
    let others = others
        .filter(|v| v["served"] == true && v["deprecated"] != true)
        .map(|v| text(v, "/name"));
    others
        .filter(|other| rank(other) > rank(version))
        .max_by_key(|other| rank(other))
        .map(str::to_owned)
}

/// What upstream's server of custom resources, which has no routes, says of requests that its other server has no route for
/// (apiextensions `customresource_handler.go` ServeHTTP).
pub fn oddly_asked(call: &Call, kind: &KindInfo) -> Option<Result<Response<Body>, ApiError>> {
    let route = &call.route;
    let across = matches!(route.verb, "list" | "watch");
    let nowhere = kind.namespaced && route.namespace.is_empty() && !across
        || !kind.namespaced && !route.namespace.is_empty();
    if nowhere {
        return Some(Ok(answer::page_not_found()));
    }
    if !route.subresource.is_empty() {
        let known = kind.subresources.contains(&route.subresource.as_str());
        return (!known).then(|| Err(ApiError::not_found(kind, &route.name)));
    }
    match route.verb {
        "update" | "patch" if route.name.is_empty() => {
            Some(Err(ApiError::bad_request("name must be provided")))
        }
        "options" => Some(Err(ApiError::unsupported_verb("", kind))),
        _ => None,
    }
}

/// What `scale` reads has to be there as such, or not at all (`pkg/registry/customresource/validator.go` ValidateScaleSpec,
/// ValidateScaleStatus).
fn scaled(custom: &Custom, new: &Value, status_only: bool, causes: &mut Vec<Cause>) {
    let [wanted, there, selected] = custom.scale();
    let paths = [(&wanted, true), (&there, true), (&selected, false)];
    for (path, is_number) in paths.into_iter().skip(usize::from(status_only)) {
        let Some(found) = new.pointer(path).filter(|_| !path.is_empty()) else {
            continue;
        };
        let field = path.replace('/', ".");
        let (right, expected, zero) = if is_number {
            (found.is_i64(), "int64", "0")
        } else {
            (found.is_string(), "string", "\"\"")
        };
        let told = match found.as_i64() {
            _ if !right => {
                let shown = match found {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                format!(
                    "Invalid value: {zero}: {field} accessor error: {shown} is of the type {}, expected {expected}",
                    go_kind(found)
                )
            }
            Some(replicas) if replicas < 0 => {
                format!("Invalid value: {replicas}: should be a non-negative integer")
            }
            Some(replicas) if replicas > i64::from(i32::MAX) => {
                format!(
                    "Invalid value: {replicas}: should be less than or equal to {}",
                    i32::MAX
                )
            }
            _ => continue,
        };
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field,
            message: told,
        });
    }
}

/// As Go names what it has read from JSON.
fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
