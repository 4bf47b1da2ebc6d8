//! Rules in CEL: `x-kubernetes-validations` (apiextensions `pkg/apiserver/schema/cel/{compilation,validation}.go`, in whose words).
//!
//! [`Rules::of`] compiles what a schema says, [`Rules::validate`] holds an object against it, and `definition` says what is wrong with
//! the rules themselves.
mod definition;
mod evaluate;
mod field_path;
mod kinds;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use expressions::{Environment, Program, Type, display};
use serde_json::Value;

pub use definition::check;

/// The type of whole objects of a schema, as expressions see them.
pub fn kind_of(schema: &Value) -> Option<Type> {
    kinds::of(schema, true)
}

pub use evaluate::Verdict;

/// The rules of a schema, compiled.
#[derive(Debug)]
pub struct Rules(Place);

/// What is known of one place of a schema that has rules, there or below.
#[derive(Debug)]
struct Place {
    rules: Vec<Rule>,
    /// The name of the type here, as messages show it.
    kind: String,
    typed: Type,
    items: Option<Box<Place>>,
    /// The fields by which elements of a list are found again in the old list.
    keys: Option<Vec<String>>,
    additional: Option<Box<Place>>,
    properties: BTreeMap<String, Place>,
    all_of: Vec<Place>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    text: String,
    message: String,
    reason: String,
    /// Below the place of the rule, as a path.
    field: String,
    program: Result<Program, String>,
    message_program: Option<Program>,
    message_expression: String,
    uses_old: bool,
    optional_old: bool,
}

impl Rules {
    /// The rules of the schema of whole objects, unless it has none.
    pub fn of(schema: &Value) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        place(schema, schema, kinds::of(schema, true)).map(Self)
    }

    /// The rules of the schema of a part of an object, unless it has none.
    pub(crate) fn of_part(schema: &Value) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        place(schema, schema, kinds::of(schema, embedded(schema))).map(Self)
    }
}

fn has_rules(schema: &Value) -> bool {
    let below = |field: &str| has_rules(&schema[field]);
    !own(schema).is_empty()
        || schema.is_object() && (below("items") || below("additionalProperties"))
        || schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .any(|(_, v)| has_rules(v))
        || schema["allOf"].as_array().into_iter().flatten().any(has_rules)
}

/// The rules that stand at a place itself.
fn own(schema: &Value) -> &[Value] {
    schema["x-kubernetes-validations"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn embedded(schema: &Value) -> bool {
    schema["x-kubernetes-embedded-resource"] == true
}

/// `rules` says what is asked, `schema` what is there: they differ within `allOf`.
fn place(rules: &Value, schema: &Value, typed: Option<Type>) -> Option<Place> {
    if !rules.is_object() || !schema.is_object() {
        return None;
    }
    let typed = typed.unwrap_or(Type::Dyn);
    let compiled: Vec<Rule> = own(rules)
        .iter()
        .map(|rule| compile(rule, schema, &typed))
        .collect();
    let mut properties = BTreeMap::new();
    for (name, inner) in rules["properties"].as_object().into_iter().flatten() {
        if !has_rules(inner) {
            continue;
        }
        let node = &schema["properties"][name];
        // What has no type for expressions has no rules either.
        let Some(kind) = kinds::of(node, embedded(node)) else {
            continue;
        };
        if let Some(found) = place(inner, node, Some(kind)) {
            properties.insert(name.clone(), found);
        }
    }
    let below = |field: &str| {
        let node = &schema[field];
        if !has_rules(&rules[field]) {
            return None;
        }
        place(&rules[field], node, kinds::of(node, embedded(node))).map(Box::new)
    };
    let keys = (schema["x-kubernetes-list-type"] == "map").then(|| kinds::keys(schema));
    let made = Place {
        kind: schema["type"].as_str().unwrap_or_default().to_owned(),
        items: below("items"),
        additional: below("additionalProperties"),
        all_of: rules["allOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|inner| place(inner, schema, Some(typed.clone())))
            .collect(),
        rules: compiled,
        typed,
        keys,
        properties,
    };
    let empty = made.rules.is_empty()
        && made.items.is_none()
        && made.additional.is_none()
        && made.properties.is_empty()
        && made.all_of.is_empty();
    (!empty).then_some(made)
}

/// What a rule may name.
fn environment(typed: &Type, optional_old: bool) -> Environment {
    let old = if optional_old {
        Type::optional(typed.clone())
    } else {
        typed.clone()
    };
    Environment::default()
        .with("self", typed.clone())
        .with("oldSelf", old)
}

fn compile(rule: &Value, schema: &Value, typed: &Type) -> Rule {
    let text = |field: &str| rule[field].as_str().unwrap_or_default().to_owned();
    let optional_old = rule["optionalOldSelf"] == true;
    let environment = environment(typed, optional_old);
    let source = text("rule");
    let program = match environment.compile(&source) {
        Ok(program) if !matches!(program.kind(), Type::Bool) => {
            Err("cel expression must evaluate to a bool".to_owned())
        }
        Ok(program) => Ok(program),
        Err(issues) => Err(format!("compilation failed: {}", display(&source, &issues))),
    };
    let message_expression = text("messageExpression");
    let message_program = environment
        .compile(&message_expression)
        .ok()
        .filter(|program| matches!(program.kind(), Type::String));
    Rule {
        uses_old: program.as_ref().is_ok_and(|program| program.names("oldSelf")),
        message: text("message"),
        reason: text("reason"),
        field: field_path::normalise(&text("fieldPath"), schema).unwrap_or_default(),
        text: source,
        program,
        message_program,
        message_expression,
        optional_old,
    }
}
