//! Lists: merging by key, deleting and replacing elements, and the order of what comes out.
use std::collections::{HashMap, HashSet};

use schema::Type;
use serde_json::{Map, Value};

use super::{
    BAD_ELEMENT_ORDER, DIRECTIVE, ELEMENT_ORDER, Meta, Result, bad_directive, merge_map, parallel_key,
    without_directives,
};
use crate::{error::PatchError, go};

/// Merge the lists for which the patch gives an order, and take them out of the patch.
pub(super) fn merge_ordered(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    ty: Option<Type>,
) -> Result<()> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(ELEMENT_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let order = patch.remove(&directive).unwrap_or_default();
        let Value::Array(order) = order else {
            return Err(bad_type("[]interface {}", &order));
        };
        let Some(key) = parallel_key(&directive, ELEMENT_ORDER, BAD_ELEMENT_ORDER)? else {
            continue;
        };
        let before = list_of(original, key)?;
        let change = list_of(patch, key)?;
        let meta = Meta::of(ty, key);
        check_order(change.as_deref().unwrap_or_default(), &order, meta.merge_key)?;
        let server_order = before.clone().unwrap_or_default();
        let merged = match (before.clone(), change.clone()) {
            (None, None) => continue,
            (Some(before), None) => before,
            (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
            (Some(before), Some(change)) => merge_list(before, change, meta, false)?,
        };
        let sample: Vec<&Value> = before.iter().flatten().chain(change.iter().flatten()).collect();
        let maps = element_kind(&sample)? == "map";
        let (from_patch, from_server) = partition(merged, &order, meta.merge_key)?;
        let merged = arrange(
            from_patch,
            from_server,
            &order,
            &server_order,
            meta.merge_key,
            maps,
        )?;
        original.insert(key.to_owned(), Value::Array(merged));
        patch.remove(key);
    }
    Ok(())
}

/// Merge two lists as the field's patch strategy says.
pub(super) fn merge_list(
    before: Vec<Value>,
    change: Vec<Value>,
    meta: Meta,
    deletes: bool,
) -> Result<Vec<Value>> {
    if !meta.merges && !deletes {
        return Ok(change);
    }
    if before.is_empty() && change.is_empty() {
        return Ok(before);
    }
    let kind = element_kind(&before.iter().chain(&change).collect::<Vec<_>>())?;
    let key = meta.merge_key.unwrap_or_default();
    let (merged, before, change) = if kind == "map" {
        if key.is_empty() {
            let name = meta
                .item()
                .and_then(Type::definition)
                .map_or("", |d| d.short_name());
            return Err(PatchError::Malformed(format!(
                "cannot merge lists without merge key for {name}"
            )));
        }
        let (before, change) = special_elements(before, change, key)?;
        (
            merge_elements(before.clone(), change.clone(), key, meta.item())?,
            before,
            change,
        )
    } else {
        if deletes {
            let gone: HashSet<String> = change.iter().map(Value::to_string).collect();
            return Ok(before
                .into_iter()
                .filter(|v| !gone.contains(&v.to_string()))
                .collect());
        }
        let mut seen = HashSet::new();
        let both = before.iter().chain(&change);
        let merged = both.filter(|v| seen.insert(v.to_string())).cloned().collect();
        (merged, before, change)
    };
    let (from_patch, from_server) = partition(merged, &change, meta.merge_key)?;
    arrange(
        from_patch,
        from_server,
        &change,
        &before,
        meta.merge_key,
        kind == "map",
    )
}

/// Carry out `$patch: delete` and `$patch: replace` among the elements; what remains is to be merged.
fn special_elements(
    mut before: Vec<Value>,
    change: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut plain = Vec::new();
    let mut replace = false;
    let mut gone = HashSet::new();
    for element in change {
        let Value::Object(map) = &element else {
            return Err(bad_type("map[string]interface {}", &element));
        };
        match map.get(DIRECTIVE) {
            None => plain.push(element),
            Some(directive) if directive == "delete" => {
                let value = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
                gone.insert(value.to_string());
            }
            Some(directive) if directive == "replace" => replace = true,
            Some(directive) if directive == "merge" => {
                let message = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Malformed(message.to_owned()));
            }
            Some(directive) => return Err(bad_directive(directive, map)),
        }
    }
    if !gone.is_empty() {
        before.retain(|v| v.get(key).is_none_or(|value| !gone.contains(&value.to_string())));
    }
    Ok(if replace {
        (plain, Vec::new())
    } else {
        (before, plain)
    })
}

fn merge_elements(
    mut merged: Vec<Value>,
    change: Vec<Value>,
    key: &str,
    item: Option<Type>,
) -> Result<Vec<Value>> {
    let mut places = places(&merged, Some(key));
    for element in change {
        let Value::Object(map) = element else {
            return Err(bad_type("map[string]interface {}", &element));
        };
        let value = map.get(key).ok_or_else(|| no_merge_key(&map, key))?.to_string();
        match places.get(&value) {
            Some(at) => {
                let found = &mut merged[*at];
                if let Value::Object(before) = found.take() {
                    *found = Value::Object(merge_map(before, map, item)?);
                }
            }
            None => {
                places.insert(value, merged.len());
                merged.push(Value::Object(map));
            }
        }
    }
    Ok(merged)
}

fn list_of(map: &Map<String, Value>, key: &str) -> Result<Option<Vec<Value>>> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(bad_type("[]interface {}", other)),
    }
}

/// The elements of the patch must come in the order that it demands.
fn check_order(change: &[Value], order: &[Value], key: Option<&str>) -> Result<()> {
    if change.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut order_left = order.iter();
    for element in change.iter().filter(|e| e.get(DIRECTIVE).is_none()) {
        let identity = identity(element, key)?;
        loop {
            match order_left.next() {
                None => {
                    return Err(PatchError::Malformed(format!(
                        "The order in patch list:\n{}\n doesn't match {ELEMENT_ORDER} list:\n{}\n",
                        go::print(&Value::from(change)),
                        go::print(&Value::from(order))
                    )));
                }
                Some(ordered) if self::identity(ordered, key)? == identity => break,
                Some(_) => {}
            }
        }
    }
    Ok(())
}

/// The merge key's value of a map, or a primitive itself.
fn identity<'a>(element: &'a Value, key: Option<&str>) -> Result<&'a Value> {
    match key {
        None => Ok(element),
        Some(key) => {
            let Value::Object(map) = element else {
                return Err(bad_type("map[string]interface {}", element));
            };
            map.get(key).ok_or_else(|| no_merge_key(map, key))
        }
    }
}

/// What tells elements apart, as text: a merge key's value, empty where there is none, or the element itself. Looked for one by one, a long
/// list would cost the square of its length.
fn mark(element: &Value, key: Option<&str>) -> String {
    match key {
        None => element.to_string(),
        Some(key) => element.get(key).map_or_else(String::new, Value::to_string),
    }
}

/// Where each is first.
fn places(list: &[Value], key: Option<&str>) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    for (at, element) in list.iter().enumerate() {
        places.entry(mark(element, key)).or_insert(at);
    }
    places
}

/// Split into what is in the list `by` and what is not.
fn partition(merged: Vec<Value>, by: &[Value], key: Option<&str>) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut inside = Vec::new();
    let mut outside = Vec::new();
    let known = places(by, key);
    for element in merged {
        identity(&element, key)?;
        if known.contains_key(&mark(&element, key)) {
            inside.push(element);
        } else {
            outside.push(element);
        }
    }
    Ok((inside, outside))
}

/// Sort both halves by their own order and interleave them: an element of the server comes first where the server had it first.
fn arrange(
    from_patch: Vec<Value>,
    from_server: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: Option<&str>,
    maps: bool,
) -> Result<Vec<Value>> {
    let by_key = key.filter(|_| maps);
    let (in_patch, on_server) = (places(patch_order, by_key), places(server_order, by_key));
    let place =
        |places: &HashMap<String, usize>, element: &Value| places.get(&mark(element, by_key)).copied();
    let sorted = |mut elements: Vec<Value>, order: &[Value], places| -> Result<Vec<Value>> {
        if maps {
            for element in elements.iter().chain(order) {
                identity(element, key)?;
            }
        }
        elements.sort_by_cached_key(|e| place(places, e).unwrap_or(usize::MAX));
        Ok(elements)
    };
    let mut left = sorted(from_server, server_order, &on_server)?
        .into_iter()
        .peekable();
    let mut right = sorted(from_patch, patch_order, &in_patch)?.into_iter().peekable();
    let mut all = Vec::new();
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return Ok(all),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => match (place(&on_server, l), place(&on_server, r)) {
                (Some(l), Some(r)) => l < r,
                _ => false,
            },
        };
        all.extend(if take_left { left.next() } else { right.next() });
    }
}

/// The common kind of all elements.
fn element_kind(elements: &[&Value]) -> Result<&'static str> {
    let Some(first) = elements.first() else {
        return Err(PatchError::Malformed(
            "no elements in any of the given slices".to_owned(),
        ));
    };
    let kind = go::kind(first);
    if kind == "slice" {
        return Err(PatchError::Unprocessable(
            "lists of lists are not supported".to_owned(),
        ));
    }
    if elements.iter().any(|e| go::kind(e) != kind) {
        let all: Vec<_> = elements.iter().map(|e| go::print(e)).collect();
        let message = format!("list element types are not identical: [[{}]]", all.join(" "));
        return Err(PatchError::Malformed(message));
    }
    Ok(kind)
}

fn no_merge_key(map: &Map<String, Value>, key: &str) -> PatchError {
    PatchError::Malformed(format!(
        "map: {} does not contain declared merge key: {key}",
        go::print_map(map)
    ))
}

fn bad_type(expected: &str, found: &Value) -> PatchError {
    PatchError::Malformed(format!(
        "expected a {expected}, but received a {}",
        go::type_name(found)
    ))
}
