//! What strict decoding complains of: unknown fields and fields that are there twice, in the order of the document. A parser keeps
//! one of two equal fields, so the bytes are looked at.

use std::{collections::HashSet, fmt::Write};

use crate::{
    table::Table,
    text::{Cursor, MAX_DEPTH},
    types::{Node, Scalar},
};

/// Duplicate fields with their paths, as upstream words them: `duplicate field "spec.replicas"`, in document order. The text must
/// be JSON that parses; on anything else the result is what was found before the fault.
pub fn duplicate_fields(json: &[u8]) -> Vec<String> {
    scan(json, Shape::Free)
}

/// Unknown and duplicate fields of a document of this definition, as upstream lists them in one `strict decoding error`: in document
/// order, each once. What is below an unknown field or in free-form JSON is not looked at.
pub fn strict_errors(definition: &str, json: &[u8]) -> Vec<String> {
    let shape = Table::get()
        .find(definition)
        .map_or(Shape::Free, |d| Shape::Node(&d.node));
    let mut seen = HashSet::new();
    let mut errors = scan(json, shape);
    errors.retain(|error| seen.insert(error.clone()));
    errors
}

fn scan(json: &[u8], shape: Shape) -> Vec<String> {
    let mut scanner = Scanner {
        text: Cursor::new(json),
        path: String::new(),
        found: Vec::new(),
        depth: 0,
    };
    scanner.value(shape);
    scanner.found
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Shape {
    /// The schema.
    Node(&'static Node),
    /// Nothing: only duplicates count.
    Free,
    /// Nothing is looked for.
    Ignored,
}

impl Shape {
    fn element(self) -> Self {
        match self {
            Self::Node(Node::List { item, .. }) => Self::Node(item),
            Self::Node(_) | Self::Ignored => Self::Ignored,
            Self::Free => Self::Free,
        }
    }

    /// The shape below a key; `None` when there is no such field.
    fn child(self, key: &str) -> Option<Self> {
        match self {
            Self::Node(Node::Object { definition, .. }) => Table::get()
                .at(*definition)
                .field(key)
                .map(|f| Self::Node(&f.node)),
            Self::Node(Node::Map { value, .. }) => Some(Self::Node(value)),
            Self::Node(_) | Self::Ignored => Some(Self::Ignored),
            Self::Free => Some(Self::Free),
        }
    }

    /// Whether equal keys count here: not in JSON that a type reads itself, nor where the type is wrong.
    fn counts(self) -> bool {
        matches!(
            self,
            Self::Free | Self::Node(Node::Object { .. } | Node::Map { .. })
        ) && !matches!(self, Self::Node(Node::Scalar(Scalar::Raw | Scalar::FieldsV1)))
    }
}

/// So many complaints are enough (sigs.k8s.io/json `kubernetes_patch.go` saveStrictError). Each may be as long as the document.
pub(crate) const MAX_COMPLAINTS: usize = 100;

struct Scanner<'a> {
    text: Cursor<'a>,
    path: String,
    found: Vec<String>,
    depth: usize,
}

impl Scanner<'_> {
    fn value(&mut self, shape: Shape) -> Option<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        match self.text.peek()? {
            b'{' => self.object(shape)?,
            b'[' => self.array(shape)?,
            b'"' => drop(self.text.string()?),
            _ => drop(self.text.literal()?),
        }
        self.depth -= 1;
        Some(())
    }

    fn object(&mut self, shape: Shape) -> Option<()> {
        self.text.step();
        let (mut seen, mut told) = (HashSet::new(), HashSet::new());
        let mut first = true;
        while self.text.more(&mut first, b'}')? {
            let key = self.text.key()?;
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            let child = shape.child(&key);
            let twice = shape.counts() && seen.contains(&key);
            let complaint = match child {
                None => Some("unknown"),
                Some(_) if twice => Some("duplicate"),
                Some(_) => None,
            };
            if let Some(what) = complaint
                && self.found.len() < MAX_COMPLAINTS
                && told.insert(key.clone())
            {
                self.found.push(format!("{what} field {:?}", self.path));
            }
            seen.insert(key);
            self.value(child.unwrap_or(Shape::Ignored))?;
            self.path.truncate(length);
        }
        Some(())
    }

    fn array(&mut self, shape: Shape) -> Option<()> {
        self.text.step();
        let length = self.path.len();
        let (mut first, mut index) = (true, 0);
        while self.text.more(&mut first, b']')? {
            let _ = write!(self.path, "[{index}]");
            self.value(shape.element())?;
            self.path.truncate(length);
            index += 1;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_with_paths() {
        let json =
            br#"{"a": 1, "spec": {"x": [{"n": "\"", "n": 2}, {"n": 1}], "r": true, "r": null}, "a": {}}"#;
        assert_eq!(
            duplicate_fields(json),
            [
                r#"duplicate field "spec.x[0].n""#,
                r#"duplicate field "spec.r""#,
                r#"duplicate field "a""#
            ]
        );
        assert!(duplicate_fields(br#"{"a": {"a": {"a": []}}}"#).is_empty());
    }

    #[test]
    fn unknown_and_duplicate_in_document_order() {
        let json = br#"{"spec": {"template": {"spec": {"containers": [{"imagee": {"a": 1, "a": 2}, "name": "x", "name": "y"}]}}, "replica": 1, "replicas": 1, "replicas": 2, "replica": 3},
            "metadata": {"labels": {"a": "b", "a": "c"}, "managedFields": [{"fieldsV1": {"f:a": {}, "f:a": {}}}]}}"#;
        assert_eq!(
            strict_errors("io.k8s.api.apps.v1.Deployment", json),
            [
                r#"unknown field "spec.template.spec.containers[0].imagee""#,
                r#"duplicate field "spec.template.spec.containers[0].name""#,
                r#"unknown field "spec.replica""#,
                r#"duplicate field "spec.replicas""#,
                r#"duplicate field "metadata.labels.a""#,
            ]
        );
    }

    #[test]
    fn complaints_do_not_grow_with_the_square_of_the_document() {
        let same = format!("{{\"a\": {{{}}}}}", vec!["\"b\": 1"; 1000].join(","));
        assert_eq!(duplicate_fields(same.as_bytes()), [r#"duplicate field "a.b""#]);
        let pairs: Vec<String> = (0..1000).map(|n| format!("\"{n}\": 1, \"{n}\": 2")).collect();
        let many = format!("{{\"{}\": {{{}}}}}", "k".repeat(1000), pairs.join(","));
        assert_eq!(duplicate_fields(many.as_bytes()).len(), MAX_COMPLAINTS);
    }

    #[test]
    fn survives_rubbish() {
        for text in [
            "", "{", "{\"a", "{\"a\\", "[,", "{\"a\":", "]", "{\"a\":}", "\"\\",
        ] {
            assert!(duplicate_fields(text.as_bytes()).is_empty());
            strict_errors("io.k8s.api.core.v1.Pod", text.as_bytes());
        }
        assert!(duplicate_fields("[".repeat(100_000).as_bytes()).is_empty());
    }
}
