//! What becomes of a custom object on its way in.
use schema::KindInfo;
use serde_json::Value;
use validation::Cause;

use super::{Custom, of};
use crate::json::{number, text};

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

/// Everything wrong with a new or changed object.
pub fn causes(custom: &Custom, old: Option<&Value>, new: &Value) -> Vec<Cause> {
    let mut causes = match old {
        None => validation::validate_custom(new, custom.kind.namespaced),
        Some(old) => validation::validate_custom_update(old, new, custom.kind.namespaced),
    };
    let mut body = new.clone();
    if let Some(map) = body.as_object_mut() {
        map.remove("metadata");
    }
    let faults = structural::validate(custom.schema(), &body).into_iter();
    causes.extend(faults.filter(|f| f.field != "metadata").map(|fault| Cause {
        reason: fault.reason,
        field: fault.field,
        message: fault.message,
    }));
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
