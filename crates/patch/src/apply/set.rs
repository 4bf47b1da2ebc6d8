//! Sets of paths: what a manager owns (structured-merge-diff `fieldpath/set.go`), and their JSON form `fieldsV1`.
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{element::Element, typed::Ty};

/// A set of paths. A path may be a member without its parent being one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Set {
    nodes: BTreeMap<Element, Node>,
}

/// Never both no member and without children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    children: Set,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// Of field paths such as `["metadata", "name"]`.
    pub(crate) fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(&path.iter().map(|name| Element::field(name)).collect::<Vec<_>>());
        }
        set
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Add a path. Nobody owns the object itself, so the empty path is not added.
    pub(crate) fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        // Names may be long, and most are there already.
        if !self.nodes.contains_key(first) {
            self.nodes.insert(first.clone(), Node::default());
        }
        let Some(node) = self.nodes.get_mut(first) else {
            return;
        };
        if rest.is_empty() {
            node.member = true;
        } else {
            node.children.insert(rest);
        }
    }

    pub(crate) fn has(&self, path: &[Element]) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        self.nodes.get(first).is_some_and(|node| {
            if rest.is_empty() {
                node.member
            } else {
                node.children.has(rest)
            }
        })
    }

    /// Whether a direct child is a member.
    pub(crate) fn has_member(&self, element: &Element) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// What is below a direct child; `None` when there is nothing.
    pub(crate) fn below(&self, element: &Element) -> Option<&Self> {
        self.nodes
            .get(element)
            .map(|node| &node.children)
            .filter(|children| !children.is_empty())
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.absorb(other);
        out
    }

    /// Adds all members of another set.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (element, node) in &other.nodes {
            match self.nodes.get_mut(element) {
                None => drop(self.nodes.insert(element.clone(), node.clone())),
                Some(found) => {
                    found.member |= node.member;
                    found.children.absorb(&node.children);
                }
            }
        }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.zip(|element, node| {
            let found = other.nodes.get(element)?;
            Some(Node {
                member: node.member && found.member,
                children: node.children.intersection(&found.children),
            })
        })
    }

    /// The members that `other` does not have; a member of `other` says nothing of what is below it.
    pub(crate) fn difference(&self, other: &Self) -> Self {
        self.zip(|element, node| {
            let Some(found) = other.nodes.get(element) else {
                return Some(node.clone());
            };
            Some(Node {
                member: node.member && !found.member,
                children: node.children.difference(&found.children),
            })
        })
    }

    /// The members that neither are in `other` nor lie below one that is.
    pub(crate) fn recursive_difference(&self, other: &Self) -> Self {
        self.zip(|element, node| {
            let Some(found) = other.nodes.get(element) else {
                return Some(node.clone());
            };
            if found.member {
                return None;
            }
            Some(Node {
                member: node.member,
                children: node.children.recursive_difference(&found.children),
            })
        })
    }

    fn zip(&self, mut f: impl FnMut(&Element, &Node) -> Option<Node>) -> Self {
        let nodes = self.nodes.iter().filter_map(|(element, node)| {
            let node = f(element, node)?;
            (!node.is_empty()).then(|| (element.clone(), node))
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// With the named fields of structs above every member, which are usually left out of a set.
    pub(crate) fn with_named_fields(&self, ty: Ty<'_>) -> Self {
        self.zip(|element, node| {
            let (named, child) = match element {
                Element::Field(name) => (ty.declares(name), ty.child(name)),
                Element::Key(_) => (false, ty.item()),
                _ => (false, Ty::Deduced),
            };
            let member = node.member || named && !node.children.is_empty();
            Some(Node {
                member,
                children: node.children.with_named_fields(child),
            })
        })
    }

    /// Every member as conflicts show it, those of one level before what is below them; no more than there is room for, in bytes, which
    /// is taken off. A path may be as long as the object, and so may be their number.
    pub(crate) fn shown(&self, room: &mut usize) -> Vec<String> {
        let mut out = Vec::new();
        self.show(&mut String::new(), room, &mut out);
        out
    }

    fn show(&self, prefix: &mut String, room: &mut usize, out: &mut Vec<String>) {
        for (element, _) in self.nodes.iter().filter(|(_, node)| node.member) {
            let path = format!("{prefix}{element}");
            let Some(left) = room.checked_sub(path.len()) else {
                *room = 0;
                return;
            };
            *room = left;
            out.push(path);
        }
        for (element, node) in self.nodes.iter().filter(|(_, node)| !node.children.is_empty()) {
            if *room == 0 {
                return;
            }
            let length = prefix.len();
            prefix.push_str(&element.to_string());
            node.children.show(prefix, room, out);
            prefix.truncate(length);
        }
    }

    /// As `fieldsV1`.
    pub(crate) fn to_fields(&self) -> Value {
        let mut out = Map::new();
        for (element, node) in &self.nodes {
            let mut inner = match node.children.to_fields() {
                Value::Object(inner) => inner,
                _ => Map::new(),
            };
            if node.member && !inner.is_empty() {
                let below = std::mem::take(&mut inner);
                inner.insert(".".to_owned(), Value::Object(Map::new()));
                inner.extend(below);
            }
            out.insert(element.serialise(), Value::Object(inner));
        }
        Value::Object(out)
    }

    /// From `fieldsV1`.
    pub(crate) fn from_fields(fields: &Value) -> Result<Self, String> {
        let Value::Object(fields) = fields else {
            return Err("fieldsV1 is not an object".to_owned());
        };
        let mut set = Self::default();
        for (key, value) in fields {
            if key == "." {
                continue;
            }
            if let Some(element) = Element::parse(key)? {
                let children = Self::from_fields(value)?;
                let member = value.get(".").is_some() || children.is_empty();
                set.nodes.insert(element, Node { member, children });
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::{super::element, *};

    fn element() -> impl Strategy<Value = Element> {
        prop_oneof![
            "[ab]".prop_map(Element::Field),
            (1..3i64).prop_map(|n| Element::Key(vec![("p".into(), n.into()), ("q".into(), "x".into())])),
            (1..3i64).prop_map(|n| Element::Value(n.into())),
        ]
    }

    fn paths() -> impl Strategy<Value = Vec<Vec<Element>>> {
        prop::collection::vec(prop::collection::vec(element(), 1..4), 0..8)
    }

    fn set(paths: &[Vec<Element>]) -> Set {
        let mut set = Set::default();
        for path in paths {
            set.insert(path);
        }
        set
    }

    proptest! {
        /// A plain set of paths is the oracle.
        #[test]
        fn set_operations(a in paths(), b in paths()) {
            let (left, right) = (set(&a), set(&b));
            let (a, b): (BTreeSet<_>, BTreeSet<_>) = (a.into_iter().collect(), b.into_iter().collect());
            let members = |set: &Set| set.shown(&mut { usize::MAX }).into_iter().collect::<BTreeSet<_>>();
            let shown = |paths: Vec<Vec<Element>>| paths.iter().map(|path| element::show(path)).collect::<BTreeSet<_>>();
            prop_assert_eq!(members(&left.union(&right)), shown(a.union(&b).cloned().collect()));
            prop_assert_eq!(members(&left.intersection(&right)), shown(a.intersection(&b).cloned().collect()));
            prop_assert_eq!(members(&left.difference(&right)), shown(a.difference(&b).cloned().collect()));
            let below = |path: &Vec<Element>| (1..=path.len()).any(|n| b.contains(&path[..n]));
            prop_assert_eq!(
                members(&left.recursive_difference(&right)),
                shown(a.iter().filter(|path| !below(path)).cloned().collect())
            );
            prop_assert_eq!(Set::from_fields(&left.to_fields()).unwrap(), left.clone());
            prop_assert_eq!(left.difference(&left).is_empty(), true);
            for path in &b {
                prop_assert_eq!(left.has(path), a.contains(path));
            }
        }
    }

    #[test]
    fn json_form() {
        let fields = json!({
            "f:data": {".": {}, "f:x": {}},
            "f:list": {"k:{\"name\":\"c\",\"port\":80}": {".": {}, "f:name": {}}, "v:\"<\"": {}},
        });
        let set = Set::from_fields(&fields).unwrap();
        let mut text = set.to_fields().to_string();
        assert_eq!(
            text,
            r#"{"f:data":{".":{},"f:x":{}},"f:list":{"k:{\"name\":\"c\",\"port\":80}":{".":{},"f:name":{}},"v:\"\\u003c\"":{}}}"#
        );
        text = set.shown(&mut { usize::MAX }).join(" ");
        assert_eq!(
            text,
            r#".data .data.x .list[name="c",port=80] .list[="<"] .list[name="c",port=80].name"#
        );
        assert_eq!(
            set.shown(&mut { 14 }),
            [".data", ".data.x"],
            "what there is room for"
        );
        assert!(Set::from_fields(&json!({"x": {}})).is_err());
        assert!(Set::from_fields(&json!({"z:future": {}})).unwrap().is_empty());
    }
}
