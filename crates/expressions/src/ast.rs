//! Expressions as trees. Macros have nodes of their own where cel-go expands them into folds.
use std::sync::OnceLock;

use regex::Regex;

use crate::value::Value;

/// A node, and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Bytes from the beginning: where cel-go would point.
    pub at: usize,
    /// Levels below, itself included.
    pub height: usize,
    /// What it is.
    pub kind: Kind,
}

/// How a field is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// `a.b`
    Plain,
    /// `has(a.b)`
    Test,
    /// `a.?b`
    Optional,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    Literal(Value<'static>),
    Ident(String),
    Select {
        operand: Box<Node>,
        field: String,
        how: Selection,
    },
    Call(Call),
    List {
        items: Vec<Node>,
        optional: Vec<bool>,
    },
    Map(Vec<Entry>),
    /// `Name{field: value}`
    Struct {
        name: String,
        fields: Vec<FieldValue>,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Conditional(Box<[Node; 3]>),
    Loop(Box<Loop>),
    /// `target.optMap(name, body)`, or `optFlatMap` when flat.
    Within {
        target: Box<Node>,
        name: String,
        body: Box<Node>,
        flat: bool,
    },
}

/// A call of a function or an operator.
#[derive(Debug)]
pub struct Call {
    pub function: String,
    pub target: Option<Box<Node>>,
    pub args: Vec<Node>,
    /// A pattern that is a literal is compiled once.
    pub pattern: OnceLock<Regex>,
}

/// `key: value`, or `?key: value` when optional.
#[derive(Debug)]
pub struct Entry {
    pub key: Node,
    pub value: Node,
    pub optional: bool,
}

/// `field: value`, or `?field: value` when optional.
#[derive(Debug)]
pub struct FieldValue {
    pub at: usize,
    pub name: String,
    pub value: Node,
    pub optional: bool,
}

/// What a loop makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformMap,
    TransformEntry,
    SortBy,
}

/// `range.form(first, [second,] [filter,] body)`.
#[derive(Debug)]
pub struct Loop {
    pub form: Form,
    pub range: Node,
    pub first: String,
    pub second: Option<String>,
    pub filter: Option<Node>,
    pub body: Node,
}

impl Node {
    /// `a.b.c` as a name.
    pub fn dotted(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, how } if *how != Selection::Optional => {
                let inner = operand.dotted()?;
                Some(format!("{inner}.{field}"))
            }
            _ => None,
        }
    }

    /// Everything directly below.
    pub fn children(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => Vec::new(),
            Kind::Select { operand, .. } => vec![operand],
            Kind::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
            Kind::List { items, .. } | Kind::And(items) | Kind::Or(items) => items.iter().collect(),
            Kind::Map(entries) => entries.iter().flat_map(|e| [&e.key, &e.value]).collect(),
            Kind::Struct { fields, .. } => fields.iter().map(|f| &f.value).collect(),
            Kind::Conditional(parts) => parts.iter().collect(),
            Kind::Loop(l) => [&l.range, &l.body].into_iter().chain(&l.filter).collect(),
            Kind::Within { target, body, .. } => vec![target, body],
        }
    }

    /// This node and everything below.
    pub fn visit(&self, see: &mut impl FnMut(&Node)) {
        let mut left = vec![self];
        while let Some(node) = left.pop() {
            see(node);
            left.extend(node.children());
        }
    }
}
