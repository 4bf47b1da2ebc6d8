//! What calls cost (cel-go `interpreter/runtimecost.go` costCall, `k8s.io/apiserver/pkg/cel/library/cost.go` CallCost).
use crate::{
    PER_CALL,
    value::{List, Value},
};

pub const LIST: u64 = 10;
pub const MAP: u64 = 30;
pub const STRUCT: u64 = 40;
/// `common.StringTraversalCostFactor` and `common.RegexStringLengthCostFactor`, as fractions.
const TRAVERSAL: u64 = 10;
const REGEX: u64 = 4;
/// A pattern that is no literal has to be compiled, which upstream does not count.
pub const PATTERN: u64 = 2_000;

/// A tenth for each character, rounded up.
pub fn traversal(size: u64) -> u64 {
    size.div_ceil(TRAVERSAL)
}

/// Of lists in lists no more is looked at than anybody could pay for: one that was made may hold another many times.
fn traverse_value(value: &Value<'_>, most: u64) -> u64 {
    match value {
        Value::List(List::Made(items, _)) => {
            let mut cost = 1;
            for item in items.iter() {
                if cost > most {
                    break;
                }
                cost += traverse_value(item, most - cost);
            }
            cost
        }
        Value::List(list) => list.len() as u64 * 2 + 1,
        Value::Map(map) => map.len() as u64 * 2 + 1,
        Value::String(_) | Value::Bytes(_) => traversal(value.size()),
        _ => 1,
    }
}

fn pattern(text: &Value<'_>, pattern: &Value<'_>) -> u64 {
    traversal(text.size() + 1) * pattern.size().div_ceil(REGEX)
}

/// How many values are copied with it: what is below them is shared.
fn copied(value: &Value<'_>) -> u64 {
    match value {
        Value::List(list) => list.len() as u64,
        _ => 1,
    }
}

/// A call of `function` with these, before it is made.
pub fn call(function: &str, args: &[Value<'_>]) -> u64 {
    let size = |at: usize| args.get(at).map_or(0, Value::size);
    match function {
        "check" => 350_000,
        "fieldSelector" | "labelSelector" => {
            let length = size(1);
            LIST + traversal(length) + length.div_ceil(2) * 50
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
            args.first().map_or(0, |list| traverse_value(list, PER_CALL))
        }
        "url"
        | "isURL"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "startsWith"
        | "endsWith"
        | "bytes"
        | "strings.quote"
        | "jsonpatch.escapeKey"
        | "ip"
        | "charAt" => traversal(size(0)).max(1),
        "string" => match args {
            [Value::Bytes(_)] => traversal(size(0)).max(1),
            _ => 1,
        },
        "replace" | "split" | "ip.isCanonical" => (size(0) * 2).div_ceil(TRAVERSAL).max(1),
        "find" | "findAll" | "matches" => match args {
            [text, with, ..] => pattern(text, with),
            _ => 1,
        },
        "validate" => traversal(size(1) + 1) * 32,
        "containsIP" => traversal(size(0) * 2) + traversal(size(1)),
        "containsCIDR" => traversal(size(0) * 3) + 1 + traversal(size(1)),
        "contains" => (traversal(size(0)) * traversal(size(1))).max(1),
        "@in" => match args {
            [_, Value::List(list)] => list.len() as u64,
            _ => 1,
        },
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => traversal(size(0).min(size(1))),
        "_+_" => match args {
            [Value::String(_) | Value::Bytes(_), _] => traversal(size(0) + size(1)),
            // Lists are copied here and chained there.
            [a @ Value::List(_), b] => copied(a).saturating_add(copied(b)).max(1),
            _ => 1,
        },
        "sets.contains" | "sets.intersects" | "sets.equivalent" => {
            size(0).saturating_mul(size(1)).saturating_add(1)
        }
        "distinct" => {
            let size = size(0);
            size.saturating_mul(size).saturating_add(1)
        }
        "sort" | "slice" | "reverse" | "unwrapOpt" | "optional.unwrap" => {
            size(0).saturating_mul(2).saturating_add(1)
        }
        _ => 1,
    }
}
