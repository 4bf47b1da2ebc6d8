//! The generated table, inflated and parsed once, on first use. See `generate/generate.py` for the format.

use std::{collections::HashMap, io::Read, sync::OnceLock};

use crate::types::{Definition, Field, ListKind, Node, Scalar};

static TABLE: OnceLock<Table> = OnceLock::new();

/// Every definition, by index and by name.
pub(crate) struct Table {
    pub definitions: Vec<Definition>,
    by_name: HashMap<&'static str, u16>,
}

impl Table {
    pub fn get() -> &'static Self {
        TABLE.get_or_init(|| parse(inflate(include_bytes!("../data/schema.z")).leak()))
    }

    pub fn find(&'static self, definition: &str) -> Option<&'static Definition> {
        self.by_name
            .get(definition)
            .map(|i| &self.definitions[usize::from(*i)])
    }

    pub fn at(&'static self, index: u16) -> &'static Definition {
        &self.definitions[usize::from(index)]
    }
}

/// The descriptions in the order of the table: each definition's, then its fields'. Large, so never kept.
pub(crate) fn descriptions() -> String {
    inflate(include_bytes!("../data/descriptions.z"))
}

fn inflate(packed: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("the generated data is intact (tested)");
    text
}

fn parse(text: &'static str) -> Table {
    let mut definitions: Vec<Definition> = Vec::new();
    for line in text.lines() {
        let mut cells = line.split('\t');
        match cells.next() {
            Some("D") => {
                let index = definitions.len() as u16;
                let mut cell = || cells.next().unwrap_or_default();
                let name = cell();
                let atomic = cell().contains('A');
                definitions.push(Definition {
                    name,
                    go_name: cell(),
                    gvks: cell(),
                    union: cell().strip_prefix('u'),
                    atomic,
                    node: Node::Object {
                        definition: index,
                        atomic,
                    },
                    fields: Vec::new(),
                    by_tag: Box::default(),
                });
            }
            Some("F") => {
                let field = parse_field(&mut cells);
                if let Some(definition) = definitions.last_mut() {
                    definition.fields.push(field);
                }
            }
            _ => {}
        }
    }
    // A reference is as atomic as the definition it names, unless the field says otherwise.
    let atomic: Vec<bool> = definitions.iter().map(|d| d.atomic).collect();
    for definition in &mut definitions {
        definition.fields.shrink_to_fit();
        definition.by_tag = by_tag(&definition.fields);
        for field in &mut definition.fields {
            inherit_atomic(&mut field.node, &atomic);
            if let (Some(declared), Node::Object { atomic, .. } | Node::Map { atomic, .. }) =
                (field.map_type, &mut field.node)
            {
                *atomic = declared;
            }
        }
    }
    let by_name = definitions
        .iter()
        .enumerate()
        .map(|(i, d)| (d.name, i as u16))
        .collect();
    Table { definitions, by_name }
}

fn by_tag(fields: &[Field]) -> Box<[u16]> {
    let mut order: Vec<u16> = (0_u16..)
        .zip(fields)
        .filter(|(_, field)| field.tags[0] != 0)
        .map(|(index, _)| index)
        .collect();
    order.sort_unstable_by_key(|index| fields[usize::from(*index)].tags);
    order.into()
}

fn inherit_atomic(node: &mut Node, definitions: &[bool]) {
    match node {
        Node::Object { definition, atomic } => *atomic |= definitions[usize::from(*definition)],
        Node::List { item, .. } => inherit_atomic(item, definitions),
        Node::Map { value, .. } => inherit_atomic(value, definitions),
        Node::Scalar(_) => {}
    }
}

fn parse_field(cells: &mut std::str::Split<'static, char>) -> Field {
    let mut cell = || cells.next().unwrap_or_default();
    let (name, code, flags, tag, go_type) = (cell(), cell(), cell(), cell(), cell());
    let mut field = Field {
        name,
        node: parse_node(code),
        required: flags.contains('r'),
        pointer: flags.contains('p'),
        omit_empty: flags.contains('o'),
        omit_zero: flags.contains('z'),
        tags: parse_tags(tag),
        go_type,
        default: None,
        patch_merge_key: None,
        patch_strategy: "",
        enum_values: "",
        list_declared: false,
        map_type: None,
        declared: 0,
    };
    let (mut list, mut keys) = (None, Vec::new());
    for extra in cells {
        let Some((letter, value)) = extra.split_once('=') else {
            continue;
        };
        match letter {
            "L" => list = Some(value),
            "K" => keys = value.split(',').collect(),
            "M" => field.map_type = Some(value == "atomic"),
            "P" => field.patch_merge_key = Some(value),
            "S" => field.patch_strategy = value,
            "D" => field.default = Some(value),
            "E" => field.enum_values = value,
            "N" => field.declared = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    field.list_declared = list.is_some();
    if let Node::List { kind, .. } = &mut field.node {
        *kind = match list {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(keys),
            _ => ListKind::Atomic,
        };
    }
    field
}

fn parse_tags(text: &str) -> [u8; 2] {
    let (outer, inner) = text.split_once('.').unwrap_or((text, ""));
    if inner.contains('.') {
        // Embedded in what is embedded: see `protobuf::formless`.
        return [0, 0];
    }
    [outer.parse().unwrap_or(0), inner.parse().unwrap_or(0)]
}

fn parse_node(code: &'static str) -> Node {
    let (head, rest) = code.split_at(1);
    match head {
        "[" => Node::List {
            item: Box::new(parse_node(rest)),
            kind: ListKind::Atomic,
        },
        "{" => Node::Map {
            value: Box::new(parse_node(rest)),
            atomic: false,
        },
        "@" => Node::Object {
            definition: rest.parse().expect("the generated data is intact (tested)"),
            atomic: false,
        },
        "i" => Node::Scalar(Scalar::Int32),
        "l" => Node::Scalar(Scalar::Int64),
        "n" => Node::Scalar(Scalar::Float),
        "b" => Node::Scalar(Scalar::Bool),
        "y" => Node::Scalar(Scalar::Bytes),
        "t" => Node::Scalar(Scalar::Time),
        "u" => Node::Scalar(Scalar::MicroTime),
        "d" => Node::Scalar(Scalar::Duration),
        "q" => Node::Scalar(Scalar::Quantity),
        "o" => Node::Scalar(Scalar::IntOrString),
        "f" => Node::Scalar(Scalar::FieldsV1),
        "x" | "a" => Node::Scalar(Scalar::Raw),
        _ => Node::Scalar(Scalar::String),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_table() {
        for kind in crate::kinds() {
            let definition = Table::get()
                .find(kind.definition)
                .unwrap_or_else(|| panic!("{} is missing", kind.definition));
            assert!(
                definition
                    .gvks()
                    .any(|(g, v, k)| (g, v, k) == (kind.group, kind.version, kind.kind)),
                "{}",
                kind.definition
            );
        }
    }

    #[test]
    fn descriptions_are_in_step_with_the_table() {
        let lines = Table::get()
            .definitions
            .iter()
            .map(|d| 1 + d.fields.len())
            .sum::<usize>();
        let text = descriptions();
        let rest: Vec<&str> = text.split('\n').skip(lines).collect();
        assert!(
            !rest.is_empty()
                && rest
                    .iter()
                    .all(|line| line.starts_with("io.k8s.") && line.contains('\t')),
            "{rest:?}"
        );
    }

    #[test]
    fn references_are_in_range_and_tags_unique() {
        fn check(node: &Node, count: usize) {
            match node {
                Node::Object { definition, .. } => assert!(usize::from(*definition) < count),
                Node::List { item: inner, .. } | Node::Map { value: inner, .. } => check(inner, count),
                Node::Scalar(_) => {}
            }
        }
        let table = Table::get();
        for definition in &table.definitions {
            let mut tags: Vec<_> = definition
                .fields
                .iter()
                .map(|f| f.tags)
                .filter(|t| t[0] != 0)
                .collect();
            tags.sort_unstable();
            let before = tags.len();
            tags.dedup();
            assert_eq!(tags.len(), before, "{}", definition.name);
            for field in &definition.fields {
                check(&field.node, table.definitions.len());
                if let Some(default) = field.default {
                    assert!(
                        serde_json::from_str::<serde_json::Value>(default).is_ok(),
                        "{} {default}",
                        field.name
                    );
                }
            }
        }
    }
}
