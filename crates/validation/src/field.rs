//! Where something is in an object, and what is said of it (apimachinery `util/validation/field`).
use std::fmt::Write;

use kube_types::Quantity;
use serde_json::Value;

use crate::Cause;

static NULL: Value = Value::Null;

/// A value, possibly absent, and its path.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// The same value under another path.
    pub(crate) fn renamed(&self, path: impl Into<String>) -> Self {
        Self {
            value: self.value,
            path: path.into(),
        }
    }

    /// Another value at this path.
    pub(crate) fn holding<'b>(&self, value: &'b Value) -> Node<'b> {
        Node {
            value,
            path: self.path.clone(),
        }
    }

    /// A field.
    pub(crate) fn get(&self, name: &str) -> Self {
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Self {
            value: self.value.get(name).unwrap_or(&NULL),
            path,
        }
    }

    /// A field of a field, and so on.
    pub(crate) fn at(&self, names: &[&str]) -> Self {
        names.iter().fold(self.clone(), |node, name| node.get(name))
    }

    /// A map's entry, shown as `path[key]`.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self {
            value: self.value.get(key).unwrap_or(&NULL),
            path: format!("{}[{key}]", self.path),
        }
    }

    /// A list's element.
    pub(crate) fn index(&self, at: usize) -> Self {
        Self {
            value: self.value.get(at).unwrap_or(&NULL),
            path: format!("{}[{at}]", self.path),
        }
    }

    /// A list's elements; none if it is no list.
    pub(crate) fn items(&self) -> Vec<Self> {
        (0..self.len()).map(|at| self.index(at)).collect()
    }

    /// A map's entries, sorted by key; none if it is no map.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Self)> {
        let mut entries: Vec<_> = self
            .value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                (
                    key.as_str(),
                    Self {
                        value,
                        path: format!("{}[{key}]", self.path),
                    },
                )
            })
            .collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is there at all.
    pub(crate) fn present(&self) -> bool {
        !self.value.is_null()
    }

    /// The string, empty when absent.
    pub(crate) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    pub(crate) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is `true`.
    pub(crate) fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    /// Elements, entries or bytes.
    pub(crate) fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            Value::String(text) => text.len(),
            _ => 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn quantity(&self) -> Option<Quantity> {
        match self.value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.to_string().parse().ok(),
            _ => None,
        }
    }
}

/// The causes found so far.
#[derive(Default)]
pub(crate) struct Errors(Vec<Cause>);

impl Errors {
    pub(crate) fn finish(self) -> Vec<Cause> {
        self.0
    }

    /// Other words in what was found after the first so many.
    pub(crate) fn reworded(&mut self, after: usize, from: &str, to: &str) {
        for cause in self.0.iter_mut().skip(after) {
            cause.message = cause.message.replace(from, to);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, reason: &'static str, node: &Node<'_>, message: String) {
        let field = if node.path.is_empty() {
            "<nil>".to_owned()
        } else {
            node.path.clone()
        };
        self.0.push(Cause {
            reason,
            field,
            message,
        });
    }

    /// A required value is missing; `detail` may be empty.
    pub(crate) fn required(&mut self, node: &Node<'_>, detail: &str) {
        self.add("FieldValueRequired", node, with("Required value", detail));
    }

    /// The node's own value is invalid.
    pub(crate) fn invalid(&mut self, node: &Node<'_>, detail: &str) {
        self.invalid_value(node, node.value, detail);
    }

    /// Another value is shown.
    pub(crate) fn invalid_value(&mut self, node: &Node<'_>, value: &Value, detail: &str) {
        self.add(
            "FieldValueInvalid",
            node,
            with(&format!("Invalid value: {}", show(value)), detail),
        );
    }

    /// Nothing of the value is shown.
    pub(crate) fn invalid_bare(&mut self, node: &Node<'_>, detail: &str) {
        self.add("FieldValueInvalid", node, with("Invalid value", detail));
    }

    /// The value is already in the form in which it is shown.
    pub(crate) fn invalid_raw(&mut self, node: &Node<'_>, shown: &str, detail: &str) {
        self.add(
            "FieldValueInvalid",
            node,
            with(&format!("Invalid value: {shown}"), detail),
        );
    }

    pub(crate) fn invalid_text(&mut self, node: &Node<'_>, value: &str, detail: &str) {
        self.invalid_value(node, &Value::from(value), detail);
    }

    /// Every complaint about the node's string.
    pub(crate) fn complaints(&mut self, node: &Node<'_>, complaints: Vec<String>) {
        for complaint in complaints {
            if node.present() {
                self.invalid(node, &complaint);
            } else {
                self.invalid_text(node, "", &complaint);
            }
        }
    }

    pub(crate) fn forbidden(&mut self, node: &Node<'_>, detail: &str) {
        self.add("FieldValueForbidden", node, with("Forbidden", detail));
    }

    /// With a reason.
    pub(crate) fn duplicate_because(&mut self, node: &Node<'_>, shown: &str, detail: &str) {
        self.duplicate_raw(node, &format!("{shown}: {detail}"));
    }

    pub(crate) fn duplicate(&mut self, node: &Node<'_>) {
        self.duplicate_value(node, node.value);
    }

    pub(crate) fn duplicate_value(&mut self, node: &Node<'_>, value: &Value) {
        self.duplicate_raw(node, &show(value));
    }

    /// The value is already in the form in which it is shown.
    pub(crate) fn duplicate_raw(&mut self, node: &Node<'_>, shown: &str) {
        self.add("FieldValueDuplicate", node, format!("Duplicate value: {shown}"));
    }

    pub(crate) fn not_found(&mut self, node: &Node<'_>) {
        self.add(
            "FieldValueNotFound",
            node,
            format!("Not found: {}", show(node.value)),
        );
    }

    /// With a reason; the value is already in the form in which it is shown.
    pub(crate) fn not_found_because(&mut self, node: &Node<'_>, shown: &str, detail: &str) {
        self.add(
            "FieldValueNotFound",
            node,
            with(&format!("Not found: {shown}"), detail),
        );
    }

    pub(crate) fn unsupported(&mut self, node: &Node<'_>, supported: &[&str]) {
        self.unsupported_value(node, node.value, supported);
    }

    pub(crate) fn unsupported_value(&mut self, node: &Node<'_>, value: &Value, supported: &[&str]) {
        let value = if value.is_null() {
            &Value::String(String::new())
        } else {
            value
        };
        // Most are of a type of their own, which Go shows as JSON.
        self.unsupported_raw(node, &show_json(value), supported);
    }

    /// The value is already in the form in which it is shown.
    pub(crate) fn unsupported_raw(&mut self, node: &Node<'_>, shown: &str, supported: &[&str]) {
        let values: Vec<_> = supported.iter().map(|s| show(&Value::from(*s))).collect();
        let message = format!(
            "Unsupported value: {shown}: supported values: {}",
            values.join(", ")
        );
        self.add("FieldValueNotSupported", node, message);
    }

    pub(crate) fn too_long(&mut self, node: &Node<'_>, limit: usize) {
        self.add(
            "FieldValueTooLong",
            node,
            format!("Too long: may not be more than {limit} bytes"),
        );
    }

    pub(crate) fn too_many(&mut self, node: &Node<'_>, limit: usize) {
        self.too_many_of(node, node.len(), limit);
    }

    /// Another number is shown.
    pub(crate) fn too_many_of(&mut self, node: &Node<'_>, count: usize, limit: usize) {
        let message = format!("Too many: {count}: must have at most {limit} items");
        self.add("FieldValueTooMany", node, message);
    }

    // Rules that many kinds share.

    pub(crate) fn non_negative(&mut self, node: &Node<'_>) {
        if node.int().is_some_and(|n| n < 0) {
            self.invalid(node, "must be greater than or equal to 0");
        }
    }

    pub(crate) fn immutable(&mut self, new: &Node<'_>, old: &Node<'_>) {
        if !same(new.value, old.value) {
            self.invalid(new, "field is immutable");
        }
    }

    /// One of these strings, and present.
    pub(crate) fn one_of(&mut self, node: &Node<'_>, supported: &[&str]) {
        if node.text().is_empty() {
            self.required(node, "");
        } else if !supported.contains(&node.text()) {
            self.unsupported(node, supported);
        }
    }

    /// One of these strings, if present.
    pub(crate) fn maybe_one_of(&mut self, node: &Node<'_>, supported: &[&str]) {
        if node.present() && !supported.contains(&node.text()) {
            self.unsupported(node, supported);
        }
    }
}

/// Equal, as Go's semantic equality sees it: absent and empty lists are the same. Empty maps are not there at all in what has been
/// normalised, so that an object without fields is a struct, which a pointer can lack.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    let empty = |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty);
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter()
                .all(|(key, value)| same(value, y.get(key).unwrap_or(&NULL)))
                && y.iter().all(|(key, value)| x.contains_key(key) || empty(value))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        _ => a == b || empty(a) && empty(b),
    }
}

/// The same where an empty map or struct is as good as none.
pub(crate) fn alike(a: &Value, b: &Value) -> bool {
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            x.iter()
                .all(|(key, value)| alike(value, y.get(key).unwrap_or(&NULL)))
                && y.iter().all(|(key, value)| x.contains_key(key) || empty(value))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| alike(x, y)),
        _ => a == b || empty(a) && empty(b),
    }
}

/// A value as a message shows it: strings quoted, everything else as JSON with sorted keys.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => kube_types::quote(text),
        other => show_json(other),
    }
}

/// A value as JSON, inside of what is shown as JSON.
pub(crate) fn show_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            // The one struct of the API that messages show whole has its fields the other way round: a label selector.
            entries.sort_unstable_by_key(|(key, _)| (*key != "matchLabels", *key));
            let mut out = "{".to_owned();
            for (n, (key, value)) in entries.into_iter().enumerate() {
                let separator = if n > 0 { "," } else { "" };
                // Writing to a string cannot fail.
                let _ = write!(
                    out,
                    "{separator}{}:{}",
                    Value::from(key.as_str()),
                    show_json(value)
                );
            }
            out.push('}');
            out
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(show_json).collect();
            format!("[{}]", items.join(","))
        }
        other => kube_types::json_text(other),
    }
}

/// A struct without tags as Go's JSON shows it: these names, in this order.
pub(crate) fn go_struct(node: &Node<'_>, fields: &[(&str, &str)]) -> String {
    let shown: Vec<_> = fields
        .iter()
        .map(|(name, field)| format!("{name:?}:{}", show_json(node.get(field).value())))
        .collect();
    format!("{{{}}}", shown.join(","))
}

fn with(message: &str, detail: &str) -> String {
    if detail.is_empty() {
        message.to_owned()
    } else {
        format!("{message}: {detail}")
    }
}
