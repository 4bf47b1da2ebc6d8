//! Functions and operators by name. Which overload is meant is seen by the values.
use std::cmp::Ordering;

use regex::Regex;

use crate::{
    evaluate::{Failure, Run, no_overload},
    value::{Key, List, Value},
};

mod authorizer;
mod convert;
mod formats;
mod lists;
mod network;
mod numbers;
mod opaque;
mod quantities;
mod strings;
pub mod time;
mod versions;

pub use lists::sorted;
pub use opaque::{Opaque, authorizer, resource_check};

type Done<'a> = Result<Value<'a>, Failure>;

/// Calls a function. `compiled` is its pattern, when that is a literal.
pub fn call<'a>(
    run: &mut Run<'_, '_, 'a>,
    name: &str,
    args: &[Value<'a>],
    compiled: Option<&Regex>,
) -> Done<'a> {
    match name {
        "!_" | "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => relation(run, name, args),
        "-_" | "_+_" | "_-_" | "_*_" | "_/_" | "_%_" => numbers::operator(name, args),
        "@in" | "_[_]" | "_[?_]" | "size" | "type" | "dyn" => container(run, name, args),
        "bool" | "int" | "uint" | "double" | "string" | "bytes" | "timestamp" | "duration" => {
            convert::call(name, args)
        }
        "getFullYear" | "getMonth" | "getDayOfYear" | "getDayOfMonth" | "getDate" | "getDayOfWeek"
        | "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds" => time::part(name, args),
        "contains"
        | "startsWith"
        | "endsWith"
        | "matches"
        | "charAt"
        | "lowerAscii"
        | "upperAscii"
        | "replace"
        | "split"
        | "substring"
        | "trim"
        | "join"
        | "format"
        | "strings.quote"
        | "jsonpatch.escapeKey"
        | "find"
        | "findAll" => strings::call(run, name, args, compiled),
        "indexOf" | "lastIndexOf" => match args.first() {
            Some(Value::String(_)) => strings::call(run, name, args, compiled),
            _ => lists::call(run, name, args),
        },
        "isSorted" | "sum" | "min" | "max" | "slice" | "flatten" | "sort" | "lists.range" | "reverse"
        | "distinct" | "first" | "last" | "sets.contains" | "sets.equivalent" | "sets.intersects" => {
            lists::call(run, name, args)
        }
        "optional.of"
        | "optional.ofNonZeroValue"
        | "optional.none"
        | "optional.unwrap"
        | "unwrapOpt"
        | "value"
        | "hasValue"
        | "or"
        | "orValue" => lists::optional(name, args),
        "url" | "isURL" | "getScheme" | "getHost" | "getHostname" | "getPort" | "getEscapedPath"
        | "getQuery" => network::url(name, args),
        "ip"
        | "isIP"
        | "ip.isCanonical"
        | "family"
        | "isUnspecified"
        | "isLoopback"
        | "isLinkLocalMulticast"
        | "isLinkLocalUnicast"
        | "isGlobalUnicast" => network::ip(name, args),
        "cidr" | "isCIDR" | "containsIP" | "containsCIDR" | "masked" | "prefixLength" => {
            network::cidr(name, args)
        }
        "quantity" | "isQuantity" | "sign" | "isInteger" | "asInteger" | "asApproximateFloat" | "add"
        | "sub" => quantities::call(name, args),
        "isGreaterThan" | "isLessThan" | "compareTo" => compared(name, args),
        "semver" | "isSemver" | "major" | "minor" | "patch" => versions::call(name, args),
        "validate" => formats::validate(args),
        format if format.starts_with("format.") => formats::named(format, args),
        "path" | "group" | "serviceAccount" | "resource" | "subresource" | "namespace" | "name"
        | "fieldSelector" | "labelSelector" | "check" | "allowed" | "reason" | "errored" | "error" => {
            authorizer::call(run, name, args)
        }
        _ => Err(no_overload()),
    }
}

fn relation<'a>(run: &mut Run<'_, '_, 'a>, name: &str, args: &[Value<'a>]) -> Done<'a> {
    let (a, b) = match args {
        [Value::Bool(is)] if name == "!_" => return Ok(Value::Bool(!is)),
        [a, b] => (a, b),
        _ => return Err(no_overload()),
    };
    let is = match name {
        "_==_" => run.same(a, b)?,
        "_!=_" => !run.same(a, b)?,
        _ => {
            let not_a_number = |v: &Value<'_>| matches!(v, Value::Double(n) if n.is_nan());
            if not_a_number(a) || not_a_number(b) {
                return Err("NaN values cannot be ordered".into());
            }
            let order = match (a, b) {
                (Value::Opaque(_), _) | (_, Value::Opaque(_)) => None,
                _ => a.compare(b),
            };
            let order = order.ok_or_else(no_overload)?;
            match name {
                "_<_" => order == Ordering::Less,
                "_<=_" => order != Ordering::Greater,
                "_>_" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }
        }
    };
    Ok(Value::Bool(is))
}

fn compared<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let [Value::Opaque(a), Value::Opaque(b)] = args else {
        return Err(no_overload());
    };
    let order = a.compare(b).ok_or_else(no_overload)?;
    Ok(match name {
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        "isLessThan" => Value::Bool(order == Ordering::Less),
        _ => Value::Int(order as i64),
    })
}

fn container<'a>(run: &mut Run<'_, '_, 'a>, name: &str, args: &[Value<'a>]) -> Done<'a> {
    match (name, args) {
        ("@in", [item, Value::List(list)]) => Ok(lists::has(run, list.iter(), item)?.into()),
        ("@in", [key, Value::Map(map)]) => Ok(map.get(key).is_some().into()),
        ("_[_]" | "_[?_]", [Value::Optional(None), _]) => Ok(Value::Optional(None)),
        ("_[_]" | "_[?_]", [Value::Optional(Some(inner)), key]) => {
            container(run, "_[?_]", &[(**inner).clone(), key.clone()])
        }
        ("_[_]", [Value::List(list), at]) => index(list, at),
        ("_[_]", [Value::Map(map), key]) => map.get(key).ok_or_else(|| no_such_key(key)),
        ("_[?_]", [Value::List(list), at]) => Ok(Value::Optional(index(list, at).ok().map(Into::into))),
        ("_[?_]", [Value::Map(map), key]) => Ok(Value::Optional(map.get(key).map(Into::into))),
        ("size", [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))]) => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        ("type", [Value::Map(_)]) => Ok(Value::Type("map")),
        ("type", [value]) => Ok(Value::Type(value.type_name())),
        ("dyn", [value]) => Ok(value.clone()),
        _ => Err(no_overload()),
    }
}

fn no_such_key(key: &Value<'_>) -> Failure {
    let shown = Key::of(key).map_or_else(|| key.type_name().to_owned(), |key| key.text());
    format!("no such key: {shown}").into()
}

fn index<'a>(list: &List<'a>, at: &Value<'_>) -> Done<'a> {
    let place = match at {
        Value::Int(n) => *n,
        Value::Uint(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        Value::Double(n) if n.fract() == 0.0 => *n as i64,
        _ => return Err(no_overload()),
    };
    let found = usize::try_from(place).ok().and_then(|place| list.get(place));
    found.ok_or_else(|| format!("index out of bounds: {place}").into())
}
