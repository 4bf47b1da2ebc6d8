//! Conversions (`ConvertToType` of cel-go `common/types`).
use std::sync::Arc;

use jiff::Timestamp;

use super::{Done, opaque::Opaque, strings::number, time};
use crate::{
    evaluate::{Failure, no_overload},
    value::{Text, Value},
};

/// Beyond these a double is no whole number of 64 bits.
const TWO_63: f64 = 9_223_372_036_854_775_808.0;

fn or<T>(value: Option<T>, why: &str) -> Result<T, Failure> {
    value.ok_or_else(|| why.into())
}

fn conversion(to: &str) -> Failure {
    format!("type conversion error from 'string' to '{to}'").into()
}

pub fn call<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let [value] = args else {
        return Err(no_overload());
    };
    match name {
        "bool" => bool(value),
        "int" => int(value).map(Value::Int),
        "uint" => uint(value).map(Value::Uint),
        "double" => double(value).map(Value::Double),
        "string" => string(value),
        "bytes" => match value {
            Value::Bytes(_) => Ok(value.clone()),
            Value::String(text) => Ok(Value::Bytes(Arc::from(text.as_bytes()))),
            _ => Err(no_overload()),
        },
        "timestamp" => match value {
            Value::Timestamp(_) => Ok(value.clone()),
            Value::Int(seconds) => {
                or(Timestamp::from_second(*seconds).ok(), "timestamp overflow").map(Value::Timestamp)
            }
            Value::String(text) => time::timestamp(text)
                .map(Value::Timestamp)
                .ok_or_else(|| conversion("google.protobuf.Timestamp")),
            _ => Err(no_overload()),
        },
        _ => match value {
            Value::Duration(_) => Ok(value.clone()),
            Value::Int(seconds) => {
                or(seconds.checked_mul(1_000_000_000), "duration overflow").map(Value::Duration)
            }
            Value::String(text) => time::duration(text)
                .map(Value::Duration)
                .ok_or_else(|| conversion("google.protobuf.Duration")),
            _ => Err(no_overload()),
        },
    }
}

fn bool<'a>(value: &Value<'a>) -> Done<'a> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(conversion("bool")),
        },
        _ => Err(no_overload()),
    }
}

fn int(value: &Value<'_>) -> Result<i64, Failure> {
    match value {
        Value::Int(n) => Ok(*n),
        Value::Uint(n) => or(i64::try_from(*n).ok(), "integer overflow"),
        Value::Double(n) if *n > -TWO_63 && *n < TWO_63 => Ok(*n as i64),
        Value::Double(_) => Err("integer overflow".into()),
        Value::String(text) => text.parse().map_err(|_| conversion("int")),
        Value::Timestamp(time) => Ok(time.as_second()),
        Value::Duration(nanos) => Ok(*nanos),
        _ => Err(no_overload()),
    }
}

fn uint(value: &Value<'_>) -> Result<u64, Failure> {
    match value {
        Value::Uint(n) => Ok(*n),
        Value::Int(n) => or(u64::try_from(*n).ok(), "unsigned integer overflow"),
        Value::Double(n) if *n >= 0.0 && *n < TWO_63 * 2.0 => Ok(*n as u64),
        Value::Double(_) => Err("unsigned integer overflow".into()),
        // Go's ParseUint takes no sign.
        Value::String(text) if text.starts_with('+') => Err(conversion("uint")),
        Value::String(text) => text.parse().map_err(|_| conversion("uint")),
        _ => Err(no_overload()),
    }
}

fn double(value: &Value<'_>) -> Result<f64, Failure> {
    match value {
        Value::Double(n) => Ok(*n),
        Value::Int(n) => Ok(*n as f64),
        Value::Uint(n) => Ok(*n as f64),
        Value::String(text) => text.parse().map_err(|_| conversion("double")),
        _ => Err(no_overload()),
    }
}

fn string<'a>(value: &Value<'a>) -> Done<'a> {
    Ok(match value {
        Value::String(_) => value.clone(),
        Value::Bool(is) => is.to_string().into(),
        Value::Int(n) => n.to_string().into(),
        Value::Uint(n) => n.to_string().into(),
        Value::Double(n) => number(*n).into(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(Text::Made(text.into())),
            Err(_) => return Err("invalid UTF-8 in bytes, cannot convert to string".into()),
        },
        Value::Timestamp(time) => time.to_string().into(),
        Value::Duration(nanos) => seconds(*nanos).into(),
        Value::Opaque(Opaque::Ip(ip)) => ip.to_string().into(),
        Value::Opaque(Opaque::Cidr(cidr)) => cidr.to_string().into(),
        _ => return Err(no_overload()),
    })
}

/// A duration as seconds: `90s`, `0.5s`.
pub fn seconds(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if part == 0 {
        return format!("{sign}{whole}s");
    }
    let part = format!("{part:09}");
    format!("{sign}{whole}.{}s", part.trim_end_matches('0'))
}
