//! Walks over typed values: what fields a value has, how two values differ, their merge, and removal of fields
//! (structured-merge-diff `typed/{tofieldset,compare,merge,remove}.go`).
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    element::{Element, equal},
    set::Set,
    typed::{Atom, Names, Ty, element_of, entries, items},
};

/// The fields of a value, as its owner owns them.
pub(crate) fn field_set(ty: Ty<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    collect(ty, value, &mut Vec::new(), &mut set);
    set
}

fn collect(ty: Ty<'_>, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    let atom = Atom::of(ty, [Some(value), None]);
    match atom {
        Atom::Leaf => set.insert(path),
        Atom::List(item, names) => {
            let named = group(item, names, items(Some(value)));
            for (element, values) in named {
                path.push(element);
                // Elements with the same name are owned together.
                if let [value] = values[..] {
                    collect(item, value, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
        Atom::Map(ty) => {
            for (key, value) in entries(Some(value)).into_iter().flatten() {
                path.push(Element::field(key));
                collect(ty.child(key), value, path, set);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || !ty.declares(key) {
                    set.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// List elements by name; those without a name are left out (the object was validated, or has no owner for them).
fn group<'a>(item: Ty<'_>, names: Names<'_>, values: &'a [Value]) -> BTreeMap<Element, Vec<&'a Value>> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for value in values {
        if let Ok(element) = element_of(item, names, value) {
            named.entry(element).or_default().push(value);
        }
    }
    named
}

/// How two values differ. No path is in more than one set.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) removed: Set,
    pub(crate) modified: Set,
    pub(crate) added: Set,
}

impl Comparison {
    pub(crate) fn of(ty: Ty<'_>, old: &Value, new: &Value) -> Self {
        let mut out = Self::default();
        out.compare(ty, Some(old), Some(new), &mut Vec::new());
        out
    }

    /// Without some fields and what is below them.
    pub(crate) fn without(self, fields: &Set) -> Self {
        Self {
            removed: self.removed.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            added: self.added.recursive_difference(fields),
        }
    }

    /// Upstream compares without looking whether anything differs; equal subtrees have nothing to say, so they are skipped.
    fn compare(&mut self, ty: Ty<'_>, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<Element>) {
        if let (Some(old), Some(new)) = (old, new)
            && old == new
        {
            return;
        }
        let atom = Atom::of(ty, [old, new]);
        let both_empty = |empty: fn(&Value) -> bool| old.is_none_or(empty) && new.is_none_or(empty);
        let leaf = match atom {
            Atom::Leaf => true,
            // Keeps the difference between empty and absent.
            Atom::List(..) => both_empty(|v| v.as_array().is_none_or(Vec::is_empty)),
            Atom::Map(_) => both_empty(|v| v.as_object().is_none_or(Map::is_empty)),
        };
        match (old, new) {
            (Some(old), Some(new)) => {
                if leaf {
                    if !equal(old, new) {
                        self.modified.insert(path);
                    }
                    return;
                }
            }
            (None, _) => self.added.insert(path),
            (_, None) => self.removed.insert(path),
        }
        if leaf {
            return;
        }
        match atom {
            Atom::Leaf => {}
            Atom::List(item, names) => self.compare_lists(item, names, items(old), items(new), path),
            Atom::Map(ty) => {
                let (old, new) = (entries(old), entries(new));
                let get =
                    |map: Option<&'_ Map<String, Value>>, key: &str| map.is_some_and(|m| m.contains_key(key));
                for (key, value) in old.into_iter().flatten() {
                    path.push(Element::field(key));
                    self.compare(ty.child(key), Some(value), new.and_then(|m| m.get(key)), path);
                    path.pop();
                }
                for (key, value) in new.into_iter().flatten().filter(|(key, _)| !get(old, key)) {
                    path.push(Element::field(key));
                    self.compare(ty.child(key), None, Some(value), path);
                    path.pop();
                }
            }
        }
    }

    fn compare_lists(
        &mut self,
        item: Ty<'_>,
        names: Names<'_>,
        old: &[Value],
        new: &[Value],
        path: &mut Vec<Element>,
    ) {
        let mut olds = group(item, names, old);
        let mut news = group(item, names, new);
        let names: Vec<Element> = olds.keys().chain(news.keys()).cloned().collect();
        for name in names {
            let (old, new) = (
                olds.remove(&name).unwrap_or_default(),
                news.remove(&name).unwrap_or_default(),
            );
            path.push(name);
            // Elements with the same name are one value.
            match (&old[..], &new[..]) {
                // Met before: the name is in both lists.
                ([], []) => {}
                ([] | [_], [] | [_]) => self.compare(item, old.first().copied(), new.first().copied(), path),
                ([_, _, ..], [_, _, ..]) => {
                    if old.len() != new.len() || old.iter().zip(&new).any(|(a, b)| !equal(a, b)) {
                        self.modified.insert(path);
                    }
                }
                ([_, _, ..], _) => {
                    if let Some(new) = new.first() {
                        self.compare(item, None, Some(new), path);
                    }
                    self.removed.insert(path);
                }
                (_, [_, _, ..]) => {
                    if let Some(old) = old.first() {
                        self.compare(item, Some(old), None, path);
                    }
                    self.added.insert(path);
                }
            }
            path.pop();
        }
    }
}

/// Merge an applied value into a live one; the applied one wins.
pub(crate) fn merge(ty: Ty<'_>, live: Option<&Value>, applied: Option<&Value>) -> Option<Value> {
    let (Some(_), Some(right)) = (live, applied) else {
        return applied.or(live).cloned();
    };
    let atom = Atom::of(ty, [live, applied]);
    match atom {
        Atom::Leaf => Some(right.clone()),
        Atom::List(item, names) => {
            let (left_items, right_items) = (items(live), items(applied));
            if left_items.is_empty() && right_items.is_empty() {
                return Some(right.clone());
            }
            let merged = merge_lists(item, names, left_items, right_items);
            (!merged.is_empty()).then_some(Value::Array(merged))
        }
        Atom::Map(ty) => {
            let (left, right_map) = (entries(live), entries(applied));
            if left.is_none_or(Map::is_empty) && right_map.is_none_or(Map::is_empty) {
                return Some(right.clone());
            }
            let mut out = Map::new();
            for (key, value) in left.into_iter().flatten() {
                let applied = right_map.and_then(|m| m.get(key));
                if let Some(merged) = merge(ty.child(key), Some(value), applied) {
                    out.insert(key.clone(), merged);
                }
            }
            for (key, value) in right_map.into_iter().flatten() {
                if left.is_none_or(|m| !m.contains_key(key)) {
                    out.insert(key.clone(), value.clone());
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
    }
}

/// Elements that only the live list has keep their places; those of the applied list come in its order.
fn merge_lists(item: Ty<'_>, names: Names<'_>, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let name = |value: &Value| element_of(item, names, value).ok();
    let left: Vec<(Element, &Value)> = live.iter().filter_map(|v| Some((name(v)?, v))).collect();
    let right: Vec<(Element, &Value)> = applied.iter().filter_map(|v| Some((name(v)?, v))).collect();
    let in_right: BTreeMap<&Element, &Value> = right.iter().map(|(name, v)| (name, *v)).collect();
    // A name that the live list has twice is replaced, not merged.
    let mut in_left: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (name, value) in &left {
        in_left
            .entry(name)
            .and_modify(|found| *found = None)
            .or_insert(Some(*value));
    }
    let mut shared = right
        .iter()
        .map(|(name, _)| name)
        .filter(|name| in_left.contains_key(*name));
    let mut next_shared = shared.next();
    let mut out = Vec::new();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if let (Some((left_name, _)), Some((right_name, right_value))) = (left.get(l), right.get(r)) {
            if left_name == right_name {
                done.insert(left_name);
                out.extend(merge(
                    item,
                    in_left.get(left_name).copied().flatten(),
                    Some(right_value),
                ));
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if in_right.contains_key(left_name) && next_shared.is_some_and(|next| next != left_name) {
                // Shared, but not the one whose turn it is.
                l += 1;
                continue;
            }
        }
        if let Some((left_name, left_value)) = left.get(l) {
            if !in_right.contains_key(left_name) {
                out.extend(merge(item, Some(left_value), None));
                l += 1;
                continue;
            }
            if done.contains(&left_name) {
                l += 1;
            }
        }
        if let Some((right_name, right_value)) = right.get(r) {
            done.insert(right_name);
            out.extend(merge(
                item,
                in_left.get(right_name).copied().flatten(),
                Some(right_value),
            ));
            r += 1;
            if next_shared == Some(right_name) {
                next_shared = shared.next();
            }
        }
    }
    out
}

/// A value without some of its fields. `None` when nothing is left of it, or when it is owned as one value.
pub(crate) fn remove(ty: Ty<'_>, value: &Value, fields: &Set) -> Option<Value> {
    let atom = Atom::of(ty, [Some(value), None]);
    match (atom, value) {
        (Atom::Leaf, Value::Object(_) | Value::Array(_)) => None,
        (Atom::Leaf, scalar) => Some(scalar.clone()),
        (Atom::List(item, names), Value::Array(values)) => {
            let mut matched = false;
            let mut out = Vec::new();
            for value in values {
                match element_of(item, names, value) {
                    Ok(name) if fields.has_member(&name) => {}
                    Ok(name) => out.push(below(item, value, fields.below(&name), &mut matched)),
                    Err(_) => out.push(value.clone()),
                }
            }
            (matched || !out.is_empty()).then_some(Value::Array(out))
        }
        (Atom::Map(ty), Value::Object(map)) => {
            let mut matched = false;
            let mut out = Map::new();
            for (key, value) in map {
                let name = Element::field(key);
                if !fields.has_member(&name) {
                    let kept = below(ty.child(key), value, fields.below(&name), &mut matched);
                    out.insert(key.clone(), kept);
                }
            }
            (matched || !out.is_empty()).then_some(Value::Object(out))
        }
        _ => None,
    }
}

/// A child of which something is removed; its container stays, even empty.
fn below(ty: Ty<'_>, value: &Value, fields: Option<&Set>, matched: &mut bool) -> Value {
    let Some(fields) = fields else {
        return value.clone();
    };
    *matched = true;
    remove(ty, value, fields).unwrap_or_else(|| match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    })
}
