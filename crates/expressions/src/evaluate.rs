//! Evaluation (cel-go `interpreter`). Every step is paid for; who has nothing left is stopped.
use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use crate::{
    ast::{Call, Entry, FieldValue, Form, Kind, Loop, Node, Selection},
    cost, functions,
    types::Identity,
    value::{Key, List, Map, Struct, Value},
};

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// In cel-go's words.
    Error(String),
    /// It cost too much.
    Limit,
}

impl Failure {
    /// In cel-go's words.
    pub fn message(&self) -> &str {
        match self {
            Self::Error(message) => message,
            Self::Limit => "operation cancelled: actual cost limit exceeded",
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Error(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Error(message.to_owned())
    }
}

/// `no such overload`
pub(crate) fn no_overload() -> Failure {
    "no such overload".into()
}

/// What an expression sees.
pub trait Scope<'a> {
    /// A variable.
    fn variable(&self, name: &str) -> Option<Result<Value<'a>, Failure>>;

    /// Who answers `authorizer`.
    fn authorizer(&self) -> Option<&dyn Authorizer> {
        None
    }
}

/// Who says what a user may do.
pub trait Authorizer {
    /// Whether the user of the request, or another, may do this.
    fn decide(&self, question: &Question) -> Decision;
}

/// A question of an expression to the authorizer (`library/authz.go`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// Namespace and name of a service account, instead of the user of the request.
    pub account: Option<(String, String)>,
    /// A path that is no resource's.
    pub path: Option<String>,
    /// API group.
    pub group: String,
    /// Resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Verb.
    pub verb: String,
}

/// The authorizer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong, if something did.
    pub error: String,
}

/// Evaluates a checked tree.
pub fn run<'a>(root: &Node, scope: &dyn Scope<'a>, limit: u64) -> (Result<Value<'a>, Failure>, u64) {
    let mut run = Run {
        scope,
        locals: Vec::new(),
        cost: 0,
        limit,
    };
    let result = run.node(root);
    (result, run.cost)
}

/// One evaluation.
pub(crate) struct Run<'p, 's, 'a> {
    scope: &'s dyn Scope<'a>,
    locals: Vec<(&'p str, Value<'a>)>,
    cost: u64,
    limit: u64,
}

type Done<'a> = Result<Value<'a>, Failure>;

impl<'p, 'a> Run<'p, '_, 'a> {
    /// Pays for something.
    pub(crate) fn pay(&mut self, cost: u64) -> Result<(), Failure> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit {
            Err(Failure::Limit)
        } else {
            Ok(())
        }
    }

    /// Whether both are the same to `==`. What they hold is paid for, ten values at a time; upstream counts only how many stand at the top.
    pub(crate) fn same(&mut self, a: &Value<'_>, b: &Value<'_>) -> Result<bool, Failure> {
        let most = self
            .limit
            .saturating_sub(self.cost)
            .saturating_add(1)
            .saturating_mul(10);
        let mut left = most;
        let same = a.equals(b, &mut left);
        self.pay((most - left) / 10)?;
        Ok(same)
    }

    /// Who answers `authorizer`.
    pub(crate) fn authorizer(&self) -> Option<&dyn Authorizer> {
        self.scope.authorizer()
    }

    fn node(&mut self, node: &'p Node) -> Done<'a> {
        match &node.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Ident(name) => self.name(name),
            Kind::Select { operand, field, how } => self.select(operand, field, *how),
            Kind::Call(call) => self.call(call),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.structure(name, fields),
            Kind::And(terms) => self.terms(terms, false),
            Kind::Or(terms) => self.terms(terms, true),
            Kind::Conditional(parts) => match self.node(&parts[0])? {
                Value::Bool(true) => self.node(&parts[1]),
                Value::Bool(false) => self.node(&parts[2]),
                _ => Err(no_overload()),
            },
            Kind::Loop(inner) => self.looped(inner),
            Kind::Within {
                target,
                name,
                body,
                flat,
            } => self.within(target, name, body, *flat),
        }
    }

    fn name(&mut self, name: &str) -> Done<'a> {
        self.pay(1)?;
        if let Some((_, value)) = self.locals.iter().rev().find(|(is, _)| *is == name) {
            return Ok(value.clone());
        }
        match self.scope.variable(name) {
            Some(value) => value,
            None => Err(format!("no such attribute(s): {name}").into()),
        }
    }

    fn select(&mut self, operand: &'p Node, field: &str, how: Selection) -> Done<'a> {
        let operand = self.node(operand)?;
        if how != Selection::Test {
            self.pay(1)?;
        }
        let (inside, was_optional) = match operand {
            Value::Optional(None) if how == Selection::Test => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            other => (other, false),
        };
        let found = match &inside {
            Value::Map(map) => map.field(field),
            Value::Struct(made) => made.fields.get(field).cloned(),
            _ => return Err(no_overload()),
        };
        match how {
            Selection::Test => Ok(Value::Bool(found.is_some())),
            _ if was_optional || how == Selection::Optional => Ok(Value::Optional(found.map(Arc::new))),
            _ => found.ok_or_else(|| format!("no such key: {field}").into()),
        }
    }

    fn call(&mut self, call: &'p Call) -> Done<'a> {
        let mut args = Vec::with_capacity(call.args.len() + 1);
        for arg in call.target.as_deref().into_iter().chain(&call.args) {
            args.push(self.node(arg)?);
        }
        self.pay(cost::call(&call.function, &args))?;
        functions::call(self, &call.function, &args, call.pattern.get())
    }

    fn list(&mut self, items: &'p [Node], optional: &[bool]) -> Done<'a> {
        let mut made = Vec::with_capacity(items.len());
        for (item, optional) in items.iter().zip(optional) {
            match (optional, self.node(item)?) {
                (false, value) => made.push(value),
                (true, Value::Optional(Some(value))) => made.push((*value).clone()),
                (true, Value::Optional(None)) => {}
                (true, _) => return Err(no_overload()),
            }
        }
        self.pay(cost::LIST)?;
        Ok(Value::list(made))
    }

    fn map(&mut self, entries: &'p [Entry]) -> Done<'a> {
        let mut made = BTreeMap::new();
        for entry in entries {
            let key = self.node(&entry.key)?;
            let value = match (entry.optional, self.node(&entry.value)?) {
                (false, value) => value,
                (true, Value::Optional(Some(value))) => (*value).clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(no_overload()),
            };
            insert(&mut made, &key, value)?;
        }
        self.pay(cost::MAP)?;
        Ok(Value::Map(Map::Made(Arc::new(made))))
    }

    fn structure(&mut self, name: &str, fields: &'p [FieldValue]) -> Done<'a> {
        let mut made = BTreeMap::new();
        for field in fields {
            let value = match (field.optional, self.node(&field.value)?) {
                (false, value) => value,
                (true, Value::Optional(Some(value))) => (*value).clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(no_overload()),
            };
            made.insert(field.name.clone(), value);
        }
        self.pay(cost::STRUCT)?;
        Ok(Value::Struct(Arc::new(Struct {
            name: name.to_owned(),
            fields: made,
        })))
    }

    /// Who decides wins over who fails.
    fn terms(&mut self, terms: &'p [Node], decides: bool) -> Done<'a> {
        let mut failure = None;
        for term in terms {
            match self.node(term) {
                Ok(Value::Bool(is)) if is == decides => return Ok(Value::Bool(decides)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => drop(failure.get_or_insert_with(no_overload)),
                Err(Failure::Limit) => return Err(Failure::Limit),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        failure.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn within(&mut self, target: &'p Node, name: &'p str, body: &'p Node, flat: bool) -> Done<'a> {
        let inner = match self.node(target)? {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            _ => return Err(no_overload()),
        };
        self.pay(1)?;
        self.locals.push((name, inner));
        let result = self.node(body);
        self.locals.pop();
        match result? {
            value if !flat => Ok(Value::Optional(Some(Arc::new(value)))),
            value @ Value::Optional(_) => Ok(value),
            _ => Err(no_overload()),
        }
    }

    fn looped(&mut self, inner: &'p Loop) -> Done<'a> {
        let range = self.node(&inner.range)?;
        // One at a time: ranges in ranges would be copied as often as they are nested.
        let pairs: Box<dyn Iterator<Item = (Value<'a>, Value<'a>)>> = match &range {
            Value::List(list) => {
                self.pay(list.len() as u64 / 10)?;
                let index = |at: usize| Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
                Box::new(list.iter().enumerate().map(move |(at, item)| (index(at), item)))
            }
            Value::Map(map) => {
                self.pay(map.len() as u64 / 10)?;
                Box::new(map.keys().filter_map(|key| {
                    let value = map.get(&key)?;
                    Some((key, value))
                }))
            }
            _ => return Err(no_overload()),
        };
        let of_map = matches!(range, Value::Map(_));
        let before = self.locals.len();
        let mut made = Made::new(inner.form);
        for (key, value) in pairs {
            let element = if of_map && inner.second.is_none() {
                key.clone()
            } else {
                value.clone()
            };
            match &inner.second {
                Some(second) => {
                    self.locals.push((&inner.first, key.clone()));
                    self.locals.push((second, value));
                }
                None => self.locals.push((&inner.first, element.clone())),
            }
            let goes_on = self.step(inner, &key, element, &mut made);
            self.locals.truncate(before);
            if !goes_on? {
                break;
            }
        }
        made.finish()
    }

    /// One round; whether another is needed.
    fn step(
        &mut self,
        inner: &'p Loop,
        key: &Value<'a>,
        element: Value<'a>,
        made: &mut Made<'a>,
    ) -> Result<bool, Failure> {
        // What the fold around the body costs upstream, mostly of names and of lists of one.
        self.pay(match inner.form {
            Form::All | Form::Exists => 3,
            Form::ExistsOne => 1,
            Form::Map | Form::Filter | Form::TransformMap | Form::TransformEntry | Form::SortBy => {
                2 + cost::LIST
            }
        })?;
        if let Some(filter) = &inner.filter
            && !self.truth(filter)?
        {
            return Ok(true);
        }
        match made {
            Made::Decision { decides, failure } => match self.node(&inner.body) {
                Ok(Value::Bool(is)) if is == *decides => {
                    *made = Made::Decided(*decides);
                    return Ok(false);
                }
                Ok(Value::Bool(_)) => {}
                Ok(_) => drop(failure.get_or_insert_with(no_overload)),
                Err(Failure::Limit) => return Err(Failure::Limit),
                Err(error) => drop(failure.get_or_insert(error)),
            },
            Made::Decided(_) => return Ok(false),
            Made::Count(count) => *count += usize::from(self.truth(&inner.body)?),
            Made::Items(items) if inner.form == Form::Filter => {
                if self.truth(&inner.body)? {
                    items.push(element);
                }
            }
            Made::Items(items) => items.push(self.node(&inner.body)?),
            Made::Entries(map) if inner.form == Form::TransformMap => {
                let value = self.node(&inner.body)?;
                insert(map, key, value)?;
            }
            Made::Entries(map) => {
                let Value::Map(entry) = self.node(&inner.body)? else {
                    return Err(no_overload());
                };
                self.pay(entry.len() as u64)?;
                for key in entry.keys() {
                    if let Some(value) = entry.get(&key) {
                        insert(map, &key, value)?;
                    }
                }
            }
            Made::Sorted(all) => {
                let by = self.node(&inner.body)?;
                all.push((by, element));
            }
        }
        Ok(true)
    }

    fn truth(&mut self, node: &'p Node) -> Result<bool, Failure> {
        match self.node(node)? {
            Value::Bool(is) => Ok(is),
            _ => Err(no_overload()),
        }
    }
}

/// What a loop has made so far.
enum Made<'a> {
    /// All or any: what decides, and what went wrong.
    Decision {
        decides: bool,
        failure: Option<Failure>,
    },
    Decided(bool),
    Count(usize),
    Items(Vec<Value<'a>>),
    Entries(BTreeMap<Key, Value<'a>>),
    Sorted(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> Made<'a> {
    fn new(form: Form) -> Self {
        match form {
            Form::All | Form::Exists => Self::Decision {
                decides: form == Form::Exists,
                failure: None,
            },
            Form::ExistsOne => Self::Count(0),
            Form::Map | Form::Filter => Self::Items(Vec::new()),
            Form::TransformMap | Form::TransformEntry => Self::Entries(BTreeMap::new()),
            Form::SortBy => Self::Sorted(Vec::new()),
        }
    }

    fn finish(self) -> Done<'a> {
        Ok(match self {
            Self::Decision {
                failure: Some(failure),
                ..
            } => return Err(failure),
            Self::Decision { decides, .. } => Value::Bool(!decides),
            Self::Decided(is) => Value::Bool(is),
            Self::Count(count) => Value::Bool(count == 1),
            Self::Items(items) => Value::list(items),
            Self::Entries(map) => Value::Map(Map::Made(Arc::new(map))),
            Self::Sorted(all) => functions::sorted(all)?,
        })
    }
}

fn insert<'a>(map: &mut BTreeMap<Key, Value<'a>>, key: &Value<'_>, value: Value<'a>) -> Result<(), Failure> {
    let Some(known) = Key::of(key) else {
        return Err(format!("unsupported key type: {}", key.type_name()).into());
    };
    match map.entry(known) {
        btree_map::Entry::Vacant(place) => drop(place.insert(value)),
        btree_map::Entry::Occupied(there) => {
            return Err(format!("insert failed: key {} already exists", there.key().text()).into());
        }
    }
    Ok(())
}

/// A list of values that were made, told apart by their place.
pub(crate) fn made(items: Vec<Value<'_>>) -> Value<'_> {
    Value::List(List::Made(Arc::new(items), Identity::Place))
}
