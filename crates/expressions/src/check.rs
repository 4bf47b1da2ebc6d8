//! Types of expressions (cel-go `checker/{checker,errors}.go`).
//!
//! Types are gradual: where cel-go has a type parameter that nothing binds, there is `dyn` here. Names that are qualified are resolved
//! here, so that evaluation finds variables and functions under their whole names.
use std::collections::BTreeMap;

use crate::{
    Environment,
    ast::{Call, FieldValue, Form, Kind, Loop, Node, Selection},
    declarations::{Overload, TYPES, overloads},
    functions::time,
    issue::Issue,
    pattern::{WRITTEN, pattern},
    types::Type,
    value::{Text, Value},
};

/// The type of the whole, or everything that is wrong.
pub fn check(environment: &Environment, root: &mut Node) -> Result<Type, Vec<Issue>> {
    let mut checker = Checker {
        environment,
        locals: Vec::new(),
        issues: Vec::new(),
    };
    let kind = checker.node(root);
    if checker.issues.is_empty() {
        Ok(kind)
    } else {
        Err(checker.issues)
    }
}

/// Of how many types one may be made; the deepest literal has a hundred.
const MOST_TYPES: usize = 1_000;

struct Checker<'e> {
    environment: &'e Environment,
    locals: Vec<(String, Type)>,
    issues: Vec<Issue>,
}

impl Checker<'_> {
    fn issue(&mut self, at: usize, message: String) -> Type {
        self.issues.push(Issue {
            at: Some(at),
            message,
        });
        Type::Dyn
    }

    fn node(&mut self, node: &mut Node) -> Type {
        let at = node.at;
        let kind = self.kind(node);
        if kind.is_within(&mut { MOST_TYPES }) {
            kind
        } else {
            self.issue(at, format!("type is made of more than {MOST_TYPES} types"))
        }
    }

    fn kind(&mut self, node: &mut Node) -> Type {
        let at = node.at;
        match &mut node.kind {
            Kind::Literal(value) => literal(value),
            Kind::Ident(_) | Kind::Select { .. } => self.path(node),
            Kind::Call(_) => self.call(node),
            Kind::List { items, optional } => self.list(items, optional),
            Kind::Map(entries) => {
                let (mut key, mut value) = (None, None);
                for entry in entries {
                    let key_at = entry.key.at;
                    let key_kind = self.node(&mut entry.key);
                    self.alike(key_at, &mut key, key_kind);
                    let value_at = entry.value.at;
                    let mut value_kind = self.node(&mut entry.value);
                    if entry.optional {
                        value_kind = self.unwrapped(value_at, value_kind);
                    }
                    self.alike(value_at, &mut value, value_kind);
                }
                Type::map(key.unwrap_or(Type::Dyn), value.unwrap_or(Type::Dyn))
            }
            Kind::Struct { name, fields } => {
                let name = name.clone();
                self.structure(at, &name, fields)
            }
            Kind::And(terms) => self.terms(at, "_&&_", terms),
            Kind::Or(terms) => self.terms(at, "_||_", terms),
            Kind::Conditional(parts) => self.conditional(at, parts),
            Kind::Loop(inner) => self.looped(inner),
            Kind::Within {
                target,
                name,
                body,
                flat,
            } => {
                let target_at = target.at;
                let kind = self.node(target);
                let inner = self.unwrapped(target_at, kind);
                self.locals.push((name.clone(), inner));
                let result = self.node(body);
                self.locals.pop();
                match (*flat, result) {
                    (true, result @ (Type::Optional(_) | Type::Dyn)) => result,
                    (true, other) => self.issue(
                        at,
                        format!("found no matching overload for '_?_:_' applied to '(bool, {other}, optional_type(dyn))'"),
                    ),
                    (false, result) => Type::optional(result),
                }
            }
        }
    }

    /// An object that the expression makes. Only patches are made of such.
    fn structure(&mut self, at: usize, name: &str, fields: &mut [FieldValue]) -> Type {
        let Some(kind) = self.environment.structure(name) else {
            return self.issue(at, format!("undeclared reference to '{name}' (in container '')"));
        };
        for field in fields {
            let mut given = self.node(&mut field.value);
            if field.optional {
                given = self.unwrapped(field.value.at, given);
            }
            let wanted = kind.field(&field.name);
            if wanted.as_ref().is_none_or(|wanted| !wanted.takes(&given)) {
                // Upstream's types say of fields that they do not know that they have a type without a name.
                let wanted = wanted.map_or_else(String::new, |wanted| wanted.to_string());
                let message = format!(
                    "expected type of field '{}' is '{wanted}' but provided type is '{given}'",
                    field.name
                );
                self.issue(field.at, message);
            }
        }
        Type::Object(kind)
    }

    /// The type below an optional one.
    fn unwrapped(&mut self, at: usize, kind: Type) -> Type {
        match kind {
            Type::Optional(inner) => (*inner).clone(),
            Type::Dyn => Type::Dyn,
            other => self.issue(
                at,
                format!("expected type 'optional_type(dyn)' but found '{other}'"),
            ),
        }
    }

    /// All entries of a literal have one type (`cel.HomogeneousAggregateLiterals`).
    fn alike(&mut self, at: usize, so_far: &mut Option<Type>, kind: Type) {
        match so_far {
            None => *so_far = Some(kind),
            Some(first) if first.takes(&kind) || kind.takes(first) => *so_far = Some(first.join(&kind)),
            Some(first) => {
                let message = format!("expected type '{first}' but found '{kind}'");
                self.issue(at, message);
            }
        }
    }

    fn list(&mut self, items: &mut [Node], optional: &[bool]) -> Type {
        let mut element = None;
        for (item, optional) in items.iter_mut().zip(optional) {
            let at = item.at;
            let mut kind = self.node(item);
            if *optional {
                kind = self.unwrapped(at, kind);
            }
            self.alike(at, &mut element, kind);
        }
        Type::list(element.unwrap_or(Type::Dyn))
    }

    fn terms(&mut self, at: usize, function: &str, terms: &mut [Node]) -> Type {
        let kinds: Vec<Type> = terms.iter_mut().map(|term| self.node(term)).collect();
        if let Some(place) = kinds.iter().position(|kind| !Type::Bool.takes(kind)) {
            let pair = if place == 0 {
                [&kinds[0], &kinds[1]]
            } else {
                [&Type::Bool, &kinds[place]]
            };
            let message = no_overload(function, None, &pair.map(Clone::clone));
            self.issue(at, message);
        }
        Type::Bool
    }

    fn conditional(&mut self, at: usize, parts: &mut [Node; 3]) -> Type {
        let [condition, yes, no] = parts;
        let kinds = [self.node(condition), self.node(yes), self.node(no)];
        let [condition, yes, no] = &kinds;
        if !Type::Bool.takes(condition) || !(yes.takes(no) || no.takes(yes)) {
            return self.issue(at, no_overload("_?_:_", None, &kinds));
        }
        yes.join(no)
    }

    fn looped(&mut self, inner: &mut Loop) -> Type {
        let range_at = inner.range.at;
        let range = self.node(&mut inner.range);
        let (key, value, is_map) = match &range {
            Type::List(list) => (Type::Int, list.element.clone(), false),
            Type::Map(map) => (map.key.clone(), map.value.clone(), true),
            Type::Dyn => (Type::Dyn, Type::Dyn, false),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(range_at, message);
                (Type::Dyn, Type::Dyn, false)
            }
        };
        let before = self.locals.len();
        match &inner.second {
            Some(second) => {
                self.locals.push((inner.first.clone(), key.clone()));
                self.locals.push((second.clone(), value.clone()));
            }
            None => {
                let element = if is_map { key.clone() } else { value.clone() };
                self.locals.push((inner.first.clone(), element));
            }
        }
        if let Some(filter) = &mut inner.filter {
            self.condition(filter, "_?_:_");
        }
        let result = match inner.form {
            Form::All => {
                self.condition(&mut inner.body, "_&&_");
                Type::Bool
            }
            Form::Exists => {
                self.condition(&mut inner.body, "_||_");
                Type::Bool
            }
            Form::ExistsOne => {
                self.condition(&mut inner.body, "_?_:_");
                Type::Bool
            }
            Form::Filter => {
                self.condition(&mut inner.body, "_?_:_");
                Type::list(if is_map { key } else { value })
            }
            Form::Map => Type::list(self.node(&mut inner.body)),
            Form::TransformMap => Type::map(key, self.node(&mut inner.body)),
            Form::TransformEntry => match self.node(&mut inner.body) {
                made @ (Type::Map(_) | Type::Dyn) => made,
                other => {
                    let at = inner.body.at;
                    self.issue(
                        at,
                        no_overload("cel.@mapInsert", None, &[Type::map(Type::Dyn, Type::Dyn), other]),
                    )
                }
            },
            Form::SortBy => {
                let kind = self.node(&mut inner.body);
                if matches!(kind, Type::List(_) | Type::Map(_) | Type::Object(_) | Type::Null) {
                    let at = inner.body.at;
                    let message = no_overload("@sortByAssociatedKeys", Some(&range), &[Type::list(kind)]);
                    self.issue(at, message);
                }
                range
            }
        };
        self.locals.truncate(before);
        result
    }

    fn condition(&mut self, node: &mut Node, function: &str) {
        let at = node.at;
        let kind = self.node(node);
        if !Type::Bool.takes(&kind) {
            self.issue(at, no_overload(function, None, &[Type::Bool, kind]));
        }
    }

    /// A variable, a type, or a field of something.
    fn path(&mut self, node: &mut Node) -> Type {
        if let Some(name) = node.dotted()
            && let Some(kind) = self.named(&name)
        {
            let tested = matches!(
                &node.kind,
                Kind::Select {
                    how: Selection::Test,
                    ..
                }
            );
            node.kind = match TYPES.iter().find(|(is, _)| *is == name) {
                _ if tested => Kind::Literal(Value::Bool(true)),
                Some((_, is)) if kind == Type::Kind => Kind::Literal(Value::Type(is)),
                _ => Kind::Ident(name),
            };
            return if tested { Type::Bool } else { kind };
        }
        let at = node.at;
        match &mut node.kind {
            Kind::Ident(name) => {
                let message = format!("undeclared reference to '{name}' (in container '')");
                self.issue(at, message)
            }
            Kind::Select { operand, field, how } => {
                let (field, how) = (field.clone(), *how);
                let operand = self.node(operand);
                self.select(at, &operand, &field, how)
            }
            _ => Type::Dyn,
        }
    }

    /// The type of what a whole name stands for. Names that loops give hide others.
    fn named(&self, name: &str) -> Option<Type> {
        if let Some((_, kind)) = self.locals.iter().rev().find(|(is, _)| is == name) {
            return Some(kind.clone());
        }
        let first = name.split('.').next().unwrap_or_default();
        if self.locals.iter().any(|(is, _)| is == first) {
            return None;
        }
        if let Some(kind) = self.environment.variable(name) {
            return Some(kind.clone());
        }
        TYPES.iter().any(|(is, _)| *is == name).then_some(Type::Kind)
    }

    fn select(&mut self, at: usize, operand: &Type, field: &str, how: Selection) -> Type {
        let (inside, was_optional) = match operand {
            Type::Optional(inner) => (&**inner, true),
            other => (other, false),
        };
        let found = match inside {
            Type::Dyn => Type::Dyn,
            Type::Map(map) => map.value.clone(),
            Type::Object(object) => match object.field(field) {
                Some(found) => found,
                None => return self.issue(at, format!("undefined field '{field}'")),
            },
            other => return self.issue(at, format!("type '{other}' does not support field selection")),
        };
        match how {
            Selection::Test => Type::Bool,
            _ if was_optional || how == Selection::Optional => Type::optional(found),
            _ => found,
        }
    }

    fn call(&mut self, node: &mut Node) -> Type {
        let at = node.at;
        let Kind::Call(call) = &mut node.kind else {
            return Type::Dyn;
        };
        // A function of a library: `sets.contains`.
        if let Some(target) = &call.target
            && let Some(name) = target.dotted()
            && self.named(&name).is_none_or(|kind| kind == Type::Kind)
        {
            let whole = format!("{name}.{}", call.function);
            if overloads(&whole).iter().any(|overload| !overload.member) {
                call.function = whole;
                call.target = None;
            }
        }
        let target = call.target.as_mut().map(|target| self.node(target));
        let args: Vec<Type> = call.args.iter_mut().map(|arg| self.node(arg)).collect();
        let known = overloads(&call.function);
        if known.is_empty() {
            let message = format!("undeclared reference to '{}' (in container '')", call.function);
            return self.issue(at, message);
        }
        let given: Vec<&Type> = target.iter().chain(&args).collect();
        let result = known
            .iter()
            .filter(|overload| overload.member == target.is_some())
            .filter_map(|overload| fits(overload, &given))
            .reduce(|a, b| if a == b { a } else { Type::Dyn });
        let Some(result) = result else {
            let message = no_overload(&call.function, target.as_ref(), &args);
            return self.issue(at, message);
        };
        self.literals(call);
        result
    }

    /// Literals that can never be read are told of at once (`cel.ASTValidators`).
    fn literals(&mut self, call: &Call) {
        let Some(arg) = call.args.last() else { return };
        let Kind::Literal(Value::String(Text::Made(text))) = &arg.kind else {
            return;
        };
        let wrong = match call.function.as_str() {
            "matches" => match pattern(text, WRITTEN) {
                Ok(pattern) => {
                    let _ = call.pattern.set(pattern);
                    None
                }
                Err(_) => Some("invalid matches argument".to_owned()),
            },
            "duration" => time::duration(text)
                .is_none()
                .then(|| "invalid duration argument".to_owned()),
            "timestamp" => time::timestamp(text)
                .is_none()
                .then(|| "invalid timestamp argument".to_owned()),
            _ => None,
        };
        if let Some(message) = wrong {
            let at = arg.at;
            self.issue(at, message);
        }
    }
}

fn literal(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::Type(_) => Type::Kind,
        _ => Type::Dyn,
    }
}

/// The type that the overload yields for these, if it takes them.
fn fits(overload: &Overload, given: &[&Type]) -> Option<Type> {
    if overload.params.len() != given.len() {
        return None;
    }
    let mut bound = BTreeMap::new();
    for (param, kind) in overload.params.iter().zip(given) {
        if !bind(param, kind, &mut bound) {
            return None;
        }
    }
    Some(put(&overload.result, &bound))
}

/// Whether a parameter takes a type, with what its letters stand for.
fn bind(param: &Type, kind: &Type, bound: &mut BTreeMap<char, Type>) -> bool {
    match (param, kind) {
        (Type::Param(name), kind) => match bound.get(name) {
            None => {
                bound.insert(*name, kind.clone());
                true
            }
            Some(before)
                if before.takes(kind) || kind.takes(before) || *kind == Type::Null && nullable(before) =>
            {
                let joined = before.join(kind);
                bound.insert(*name, joined);
                true
            }
            Some(before) => *before == Type::Null && nullable(kind),
        },
        (_, Type::Dyn) | (Type::Dyn, _) => true,
        (Type::List(a), Type::List(b)) => bind(&a.element, &b.element, bound),
        (Type::Map(a), Type::Map(b)) => bind(&a.key, &b.key, bound) && bind(&a.value, &b.value, bound),
        (Type::Optional(a), Type::Optional(b)) => bind(a, b, bound),
        (param, kind) => param == kind,
    }
}

/// What may be `null` to the checker: messages and wrappers.
fn nullable(kind: &Type) -> bool {
    matches!(
        kind,
        Type::Object(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration | Type::Dyn
    )
}

fn put(kind: &Type, bound: &BTreeMap<char, Type>) -> Type {
    match kind {
        Type::Param(name) => bound.get(name).cloned().unwrap_or(Type::Dyn),
        Type::List(list) => Type::list(put(&list.element, bound)),
        Type::Map(map) => Type::map(put(&map.key, bound), put(&map.value, bound)),
        Type::Optional(inner) => Type::optional(put(inner, bound)),
        other => other.clone(),
    }
}

fn no_overload(function: &str, target: Option<&Type>, args: &[Type]) -> String {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let mut signature = format!("({})", args.join(", "));
    if let Some(target) = target {
        signature = format!("{target}.{signature}");
    }
    format!("found no matching overload for '{function}' applied to '{signature}'")
}
