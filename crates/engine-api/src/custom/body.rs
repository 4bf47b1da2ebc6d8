//! What becomes of a custom object on its way in.
use schema::KindInfo;
use serde_json::Value;
use validation::Cause;

use super::{Custom, of};
use crate::{
    api::Call,
    json::{list, number, text},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Prune, normalise and default an object; yields what nobody has declared, worded as strict decoding does, or why it cannot be
/// read at all.
pub fn finish(kind: &KindInfo, value: &mut Value) -> Result<Vec<String>, String> {
    let Some(custom) = of(kind) else {
        return Err("its definition is gone".to_owned());
    };
    let mut unknown = Vec::new();
    if value["metadata"].is_object() {
        for found in schema::unknown_fields(META, &value["metadata"]) {
            unknown.push(found.replacen('"', "\"metadata.", 1));
        }
        schema::normalise(META, &mut value["metadata"]).map_err(|e| e.message)?;
    }
    for path in undeclared(&custom, value) {
        unknown.push(format!("unknown field {path:?}"));
    }
    structural::set_defaults(custom.schema(), value);
    Ok(unknown)
}

/// Take away what the schema does not declare; yields the paths.
pub fn undeclared(custom: &Custom, value: &mut Value) -> Vec<String> {
    structural::prune(custom.schema(), value)
}

fn cause(fault: structural::Fault) -> Cause {
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
        .flat_map(|(path, schema)| {
            let mut faults = structural::check_defaults(schema, &path);
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
    causes.extend(faults.filter(|f| f.field != "metadata").map(cause));
    let [wanted, ..] = custom.scale();
    if number(new, &wanted).is_some_and(|replicas| replicas < 0) && !wanted.is_empty() {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: wanted.replace('/', "."),
            message: format!(
                "Invalid value: {}: should be a non-negative integer",
                number(new, &wanted).unwrap_or_default()
            ),
        });
    }
    ruled(call, custom, old, new, &mut causes);
    causes
}

/// What every request for a deprecated version is told.
pub fn deprecation(custom: &Custom) -> Option<String> {
    if custom.version["deprecated"] != true {
        return None;
    }
    Some(match text(&custom.version, "/deprecationWarning") {
        "" => format!("{} {} is deprecated", custom.kind.api_version(), custom.kind.kind),
        own => own.to_owned(),
    })
}
