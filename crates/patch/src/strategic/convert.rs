//! Whether a patched object still fits its Go type, with the messages of apimachinery's `runtime/converter.go`.
use schema::{Scalar, Shape, Type};
use serde_json::Value;

use crate::go;

/// The first misfit, if any.
pub(super) fn check(ty: Type, value: &Value) -> Result<(), String> {
    check_named(ty, value, None)
}

/// `go_type` is the declared type of a field, such as `v1.RestartPolicy`.
fn check_named(ty: Type, value: &Value, go_type: Option<&str>) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    match ty.shape() {
        Shape::Object { definition, .. } => {
            let Value::Object(map) = value else {
                return Err(format!("cannot restore struct from: {}", go::kind(value)));
            };
            for field in definition.fields() {
                if let Some(value) = map.get(field.name()) {
                    check_named(field.ty(), value, Some(field.go_type()))?;
                }
            }
            Ok(())
        }
        Shape::Map { value: inner, .. } => {
            let Value::Object(map) = value else {
                return Err(format!("cannot restore map from {}", go::kind(value)));
            };
            map.values().try_for_each(|value| check_named(inner, value, None))
        }
        Shape::List { item, .. } => {
            let Value::Array(items) = value else {
                return Err(format!("cannot restore slice from {}", go::kind(value)));
            };
            items.iter().try_for_each(|value| check_named(item, value, None))
        }
        Shape::Scalar(scalar) => check_scalar(scalar, value, go_type),
    }
}

fn check_scalar(scalar: Scalar, value: &Value, go_type: Option<&str>) -> Result<(), String> {
    let (kind, found) = match scalar {
        Scalar::String => ("string", value.is_string()),
        Scalar::Int32 => ("int32", value.is_i64() || value.is_u64() || whole(value)),
        Scalar::Int64 => ("int64", value.is_i64() || value.is_u64() || whole(value)),
        Scalar::Float => ("float64", value.is_number()),
        Scalar::Bool => ("bool", value.is_boolean()),
        Scalar::Bytes if !value.is_string() => {
            return Err(format!("cannot restore slice from {}", go::kind(value)));
        }
        // These have decoders of their own; the caller decodes the object after the patch.
        _ => return Ok(()),
    };
    if found {
        return Ok(());
    }
    // Go converts between numbers, and from an integer to a string (a rune); the converter then refuses by name.
    let convertible = value.is_number() && matches!(scalar, Scalar::Int32 | Scalar::Int64)
        || go::kind(value) == "int64" && scalar == Scalar::String;
    Err(if convertible {
        format!(
            "cannot convert {} to {}",
            go::type_name(value),
            go_type.unwrap_or(kind)
        )
    } else {
        format!("unrecognized type: {kind}")
    })
}

fn whole(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number.fract() == 0.0)
}
