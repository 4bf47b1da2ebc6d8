//! Lists, sets and optional values (`k8s.io/apiserver/pkg/cel/library/lists.go`, cel-go `ext/{lists,sets}.go`, `cel/library.go`).
use std::{cmp::Ordering, sync::Arc};

use super::{Done, numbers};
use crate::{
    evaluate::{Failure, Run, made, no_overload},
    value::{List, Value},
};

fn int<'a>(n: usize) -> Value<'a> {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

pub fn call<'a>(run: &mut Run<'_, '_, 'a>, name: &str, args: &[Value<'a>]) -> Done<'a> {
    match (name, args) {
        ("isSorted", [Value::List(list)]) => {
            let mut before: Option<Value<'a>> = None;
            for item in list.iter() {
                if let Some(before) = &before
                    && before.compare(&item).ok_or_else(no_overload)? == Ordering::Greater
                {
                    return Ok(Value::Bool(false));
                }
                before = Some(item);
            }
            Ok(Value::Bool(true))
        }
        ("sum", [Value::List(list)]) => {
            let mut sum = None;
            for item in list.iter() {
                // What is not known before may be texts, which to put together again and again takes long.
                if !matches!(
                    item,
                    Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)
                ) {
                    return Err(no_overload());
                }
                sum = Some(match sum {
                    None => item,
                    Some(sum) => numbers::operator("_+_", &[sum, item])?,
                });
            }
            Ok(sum.unwrap_or(Value::Int(0)))
        }
        ("min" | "max", [Value::List(list)]) => {
            let wanted = if name == "min" {
                Ordering::Less
            } else {
                Ordering::Greater
            };
            let mut items = list.iter();
            let mut best = items
                .next()
                .ok_or_else(|| format!("{name} called on empty list"))?;
            for item in items {
                if item.compare(&best).ok_or_else(no_overload)? == wanted {
                    best = item;
                }
            }
            Ok(best)
        }
        ("indexOf", [Value::List(list), item]) => place(run, list, 0..list.len(), item),
        ("lastIndexOf", [Value::List(list), item]) => place(run, list, (0..list.len()).rev(), item),
        ("slice", [Value::List(list), Value::Int(from), Value::Int(to)]) => slice(list, *from, *to),
        ("flatten", [Value::List(list)]) => flatten(run, list, 1),
        ("flatten", [Value::List(list), Value::Int(depth)]) => match u32::try_from(*depth) {
            Ok(depth) => flatten(run, list, depth),
            Err(_) => Err("level must be non-negative".into()),
        },
        ("sort", [Value::List(list)]) => sorted(list.iter().map(|item| (item.clone(), item)).collect()),
        ("lists.range", [Value::Int(n)]) => {
            let n = u64::try_from(*n).unwrap_or(0);
            run.pay(n)?;
            Ok(made((0..n).map(|at| Value::Int(at as i64)).collect()))
        }
        ("reverse", [Value::List(list)]) => {
            let mut items: Vec<_> = list.iter().collect();
            items.reverse();
            Ok(made(items))
        }
        ("distinct", [Value::List(list)]) => {
            let mut items: Vec<Value<'a>> = Vec::new();
            for item in list.iter() {
                if !has(run, items.iter().cloned(), &item)? {
                    items.push(item);
                }
            }
            Ok(made(items))
        }
        ("first", [Value::List(list)]) => Ok(Value::Optional(list.get(0).map(Arc::new))),
        ("last", [Value::List(list)]) => {
            let last = list.len().checked_sub(1).and_then(|at| list.get(at));
            Ok(Value::Optional(last.map(Arc::new)))
        }
        ("sets.contains", [Value::List(a), Value::List(b)]) => Ok(holds(run, a, b)?.into()),
        ("sets.equivalent", [Value::List(a), Value::List(b)]) => {
            Ok((holds(run, a, b)? && holds(run, b, a)?).into())
        }
        ("sets.intersects", [Value::List(a), Value::List(b)]) => {
            for item in a.iter() {
                if has(run, b.iter(), &item)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        _ => Err(no_overload()),
    }
}

/// Whether one of them is the same as `item`.
pub fn has<'a>(
    run: &mut Run<'_, '_, 'a>,
    all: impl Iterator<Item = Value<'a>>,
    item: &Value<'a>,
) -> Result<bool, Failure> {
    for other in all {
        if run.same(&other, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds<'a>(run: &mut Run<'_, '_, 'a>, a: &List<'a>, b: &List<'a>) -> Result<bool, Failure> {
    for item in b.iter() {
        if !has(run, a.iter(), &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first of these places at which `item` stands.
fn place<'a>(
    run: &mut Run<'_, '_, 'a>,
    list: &List<'a>,
    places: impl Iterator<Item = usize>,
    item: &Value<'a>,
) -> Done<'a> {
    for at in places {
        if let Some(other) = list.get(at)
            && run.same(&other, item)?
        {
            return Ok(int(at));
        }
    }
    Ok(Value::Int(-1))
}

fn slice<'a>(list: &List<'a>, from: i64, to: i64) -> Done<'a> {
    if from < 0 || to < 0 {
        return Err(format!("cannot slice({from}, {to}), negative indexes not supported").into());
    }
    if from > to {
        return Err(format!(
            "cannot slice({from}, {to}), start index must be less than or equal to end index"
        )
        .into());
    }
    let length = list.len();
    match (usize::try_from(from), usize::try_from(to)) {
        (Ok(from), Ok(to)) if to <= length => Ok(made((from..to).filter_map(|at| list.get(at)).collect())),
        _ => Err(format!("cannot slice({from}, {to}), list is length {length}").into()),
    }
}

fn flatten<'a>(run: &mut Run<'_, '_, 'a>, list: &List<'a>, depth: u32) -> Done<'a> {
    run.pay(list.len() as u64)?;
    // A level that nobody has is no reason to go deeper than values can be.
    let mut items: Vec<Value<'a>> = list.iter().collect();
    for _ in 0..depth {
        let mut flat = Vec::with_capacity(items.len());
        let mut nested = false;
        for item in items {
            match item {
                Value::List(inner) => {
                    nested = true;
                    run.pay(inner.len() as u64 + 1)?;
                    flat.extend(inner.iter());
                }
                other => flat.push(other),
            }
        }
        items = flat;
        if !nested {
            break;
        }
    }
    Ok(made(items))
}

/// Values in the order of what they are sorted by.
pub fn sorted<'a>(mut all: Vec<(Value<'a>, Value<'a>)>) -> Result<Value<'a>, Failure> {
    if let Some((first, _)) = all.first() {
        let kind = first.type_name();
        if all.iter().any(|(by, _)| by.type_name() != kind) {
            return Err("list elements must have the same type".into());
        }
        if first.compare(first).is_none() {
            return Err("list elements must be comparable".into());
        }
    }
    all.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
    Ok(made(all.into_iter().map(|(_, value)| value).collect()))
}

pub fn optional<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    match (name, args) {
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.of", [value]) => Ok(Value::Optional(Some(Arc::new(value.clone())))),
        ("optional.ofNonZeroValue", [value]) => {
            let zero = match value {
                Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Duration(0) => {
                    true
                }
                Value::Double(n) => *n == 0.0,
                Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => value.size() == 0,
                _ => false,
            };
            Ok(Value::Optional((!zero).then(|| Arc::new(value.clone()))))
        }
        ("optional.unwrap" | "unwrapOpt", [Value::List(list)]) => {
            let mut there = Vec::new();
            for item in list.iter() {
                match item {
                    Value::Optional(Some(value)) => there.push((*value).clone()),
                    Value::Optional(None) => {}
                    _ => return Err(no_overload()),
                }
            }
            Ok(made(there))
        }
        ("value", [Value::Optional(inner)]) => match inner {
            Some(value) => Ok((**value).clone()),
            None => Err("optional.none() dereference".into()),
        },
        ("hasValue", [Value::Optional(inner)]) => Ok(inner.is_some().into()),
        ("or", [Value::Optional(Some(_)), _]) => Ok(args[0].clone()),
        ("or", [Value::Optional(None), other @ Value::Optional(_)])
        | ("orValue", [Value::Optional(None), other]) => Ok(other.clone()),
        ("orValue", [Value::Optional(Some(value)), _]) => Ok((**value).clone()),
        _ => Err(no_overload()),
    }
}
