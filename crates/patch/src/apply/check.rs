//! What of an applied configuration does not fit its type, or cannot be merged (structured-merge-diff `typed/validate.go`).
use std::collections::BTreeSet;

use schema::{Scalar, Shape};
use serde_json::Value;

use super::{
    element::{Element, show},
    typed::{Atom, Ty, element_of, entries, items},
    updater::MAX_TEXT,
};
use crate::go;

/// Whether the configuration fits; else everything that is wrong, in one text.
pub(crate) fn fits(ty: Ty<'_>, value: &Value) -> Result<(), String> {
    match check(ty, value, MAX_TEXT).as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        several => Err(format!("errors:\n  {}", several.join("\n  "))),
    }
}

/// What is wrong, each with its path, in the order of the keys; no more than there is room for, in bytes: a path may be as long as
/// the object.
pub(crate) fn check(ty: Ty<'_>, value: &Value, room: usize) -> Vec<String> {
    let mut check = Check {
        path: Vec::new(),
        wrong: Vec::new(),
        room,
    };
    check.value(ty, value);
    check.wrong
}

struct Check {
    path: Vec<Element>,
    wrong: Vec<String>,
    room: usize,
}

impl Check {
    fn complain(&mut self, why: &str) {
        if self.room > 0 {
            let told = format!("{}: {why}", show(&self.path));
            self.room = self.room.saturating_sub(told.len());
            self.wrong.push(told);
        }
    }

    fn below(&mut self, element: Element, ty: Ty<'_>, value: &Value) {
        self.path.push(element);
        self.value(ty, value);
        self.path.pop();
    }

    fn value(&mut self, ty: Ty<'_>, value: &Value) {
        if value.is_null() {
            return;
        }
        if let Some(why) = misfit(ty, value) {
            return self.complain(&why);
        }
        match Atom::of(ty, [Some(value), None]) {
            Atom::Leaf => self.leaf(ty, value),
            Atom::List(item, names) => {
                let mut seen = BTreeSet::new();
                for (n, value) in items(Some(value)).iter().enumerate() {
                    let name = match element_of(item, names, value) {
                        Ok(name) => name,
                        Err(why) => {
                            self.complain(&format!("element {n}: {why}"));
                            continue;
                        }
                    };
                    if !seen.insert(name.clone()) {
                        self.complain(&format!("duplicate entries for key {name}"));
                    }
                    self.below(name, item, value);
                }
            }
            Atom::Map(ty) => self.fields(ty, value),
        }
    }

    fn fields(&mut self, ty: Ty<'_>, value: &Value) {
        let is_struct = matches!(ty, Ty::Known(known) if matches!(known.shape(), Shape::Object { .. }));
        for (key, value) in entries(Some(value)).into_iter().flatten() {
            if is_struct && !ty.declares(key) {
                self.path.push(Element::field(key));
                self.complain("field not declared in schema");
                self.path.pop();
            } else {
                self.below(Element::field(key), ty.child(key), value);
            }
        }
    }

    /// What is owned as a whole has a type all the same.
    fn leaf(&mut self, ty: Ty<'_>, value: &Value) {
        if value.is_object() {
            return self.fields(ty, value);
        }
        for (at, value) in (0..).zip(items(Some(value))) {
            self.below(Element::Index(at), ty.item(), value);
        }
    }
}

/// Why a value is not of its type.
fn misfit(ty: Ty<'_>, value: &Value) -> Option<String> {
    let wanted = match ty {
        Ty::Deduced => return None,
        Ty::Known(known) => Wanted::of(known.shape())?,
        Ty::Custom(custom) => Wanted::named(custom.type_name()?, custom.format())?,
    };
    let (fits, name) = match wanted {
        Wanted::Map => (value.is_object(), "map"),
        Wanted::List => (value.is_array(), "list"),
        Wanted::Boolean => (value.is_boolean(), "boolean"),
        Wanted::Scalar => (!value.is_object() && !value.is_array(), "any scalar"),
        Wanted::String => {
            return (!value.is_string()).then(|| {
                let shown = go::syntax(value);
                format!("expected string, got &value.valueUnstructured{{Value:{shown}}}")
            });
        }
        Wanted::Numeric => {
            let found = match value {
                Value::Number(_) | Value::Null => return None,
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                Value::Object(_) => "map[string]interface {}",
            };
            return Some(format!("expected numeric (int or float), got {found}"));
        }
    };
    (!fits).then(|| format!("expected {name}, got &{{{}}}", go::print(value)))
}

/// What a place takes.
enum Wanted {
    Map,
    List,
    Boolean,
    Numeric,
    String,
    /// Whatever is neither map nor list.
    Scalar,
}

impl Wanted {
    /// `None` where anything is taken.
    fn of(shape: Shape) -> Option<Self> {
        Some(match shape {
            Shape::Object { .. } | Shape::Map { .. } => Self::Map,
            Shape::List { .. } => Self::List,
            Shape::Scalar(scalar) => match scalar {
                Scalar::FieldsV1 | Scalar::Raw => return None,
                Scalar::Bool => Self::Boolean,
                Scalar::Int32 | Scalar::Int64 | Scalar::Float => Self::Numeric,
                Scalar::String | Scalar::Bytes | Scalar::Duration => Self::String,
                Scalar::Time | Scalar::MicroTime | Scalar::Quantity | Scalar::IntOrString => Self::Scalar,
            },
        })
    }

    /// By a type of OpenAPI (kube-openapi `schemaconv/smd.go` getPrimitive).
    fn named(name: &str, format: &str) -> Option<Self> {
        Some(match (name, format) {
            ("object", _) => Self::Map,
            ("array", _) => Self::List,
            ("boolean", _) => Self::Boolean,
            ("integer" | "number", _) => Self::Numeric,
            ("string", "" | "byte") => Self::String,
            ("string", _) => Self::Scalar,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As kube-apiserver 1.36.2 answered.
    #[test]
    fn what_does_not_fit_is_told_with_its_path() {
        let told = |container: Value| {
            let mut all = json!({"name": "c"});
            all.as_object_mut()
                .unwrap()
                .extend(container.as_object().unwrap().clone());
            let ty = schema::type_of("io.k8s.api.core.v1.Pod").unwrap();
            check(Ty::Known(ty), &json!({"spec": {"containers": [all]}}), 10_000)
        };
        let at = ".spec.containers[name=\"c\"]";
        assert_eq!(
            told(json!({"command": ["a"], "tty": true, "ports": [{"containerPort": 80}]})),
            [""; 0]
        );
        let wrong =
            told(json!({"command": [true, "a", {"b": 1}], "stdin": {"a": "b", "c": [1, "x"]}, "zz": 1}));
        assert_eq!(
            wrong,
            [
                format!("{at}.command[0]: expected string, got &value.valueUnstructured{{Value:true}}"),
                format!(
                    "{at}.command[2]: expected string, got &value.valueUnstructured{{Value:map[string]interface {{}}{{\"b\":1}}}}"
                ),
                format!("{at}.stdin: expected boolean, got &{{map[a:b c:[1 x]]}}"),
                format!("{at}.zz: field not declared in schema"),
            ]
        );
        let wrong = told(
            json!({"ports": [{"containerPort": 80, "hostPort": [1]}], "resources": {"limits": {"cpu": {"a": "b"}}},
            "livenessProbe": "x", "env": {"a": "b"}}),
        );
        assert_eq!(
            wrong,
            [
                format!("{at}.env: expected list, got &{{map[a:b]}}"),
                format!("{at}.livenessProbe: expected map, got &{{x}}"),
                format!(
                    "{at}.ports[containerPort=80,protocol=\"TCP\"].hostPort: expected numeric (int or float), got []interface {{}}"
                ),
                format!("{at}.resources.limits.cpu: expected any scalar, got &{{map[a:b]}}"),
            ]
        );
    }
}
