//! Objects against rules (`validation.go` Validate).
use std::collections::HashMap;

use expressions::{Failure, PER_CALL, Program, Scope, Value as Cel};
use serde_json::Value;

use super::{Place, Rule, Rules};
use crate::Fault;

/// What all rules together may cost for an object (`k8s.io/apiserver/pkg/apis/cel/config.go` RuntimeCELCostBudget).
const BUDGET: u64 = 10_000_000;
/// So much text is made of faults: the path in each may be nearly as long as the object, and so may be their number.
const MAX_TEXT: usize = 16 << 20;
/// Longest message that an expression may make.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// What rules say of an object.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Why it is refused.
    pub faults: Vec<Fault>,
    /// What would be refused if it were new.
    pub warnings: Vec<String>,
}

impl Rules {
    /// Holds an object against the rules; `old` is what it was before.
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Verdict {
        let mut judge = Judge {
            verdict: Verdict::default(),
            left: Some(BUDGET),
            text: 0,
        };
        let ratchet = Ratchet {
            here: old.map(|old| (new, old)),
            parent: None,
        };
        judge.place(&self.0, new, old, "", ratchet);
        judge.verdict
    }
}

/// What is beside each other in the new object and the old one: here, and at the nearest place above where that is known.
#[derive(Clone, Copy)]
struct Ratchet<'v> {
    here: Option<(&'v Value, &'v Value)>,
    parent: Option<(&'v Value, &'v Value)>,
}

impl<'v> Ratchet<'v> {
    /// Whether nothing has changed, so that what was wrong before may stay wrong (`shouldRatchetError`).
    fn same(&self) -> bool {
        self.here.or(self.parent).is_some_and(|(new, old)| new == old)
    }

    fn below(self, new: &'v Value, old: Option<&'v Value>) -> Self {
        match self.here {
            None => self,
            here => Self {
                here: old.map(|old| (new, old)),
                parent: here,
            },
        }
    }
}

/// What a rule sees.
struct Seen<'v, 'p> {
    place: &'p Place,
    new: &'v Value,
    old: Option<&'v Value>,
    optional: bool,
}

impl<'v> Scope<'v> for Seen<'v, '_> {
    fn variable(&self, name: &str) -> Option<Result<Cel<'v>, Failure>> {
        let of = |json: &'v Value| Cel::of(json, &self.place.typed);
        match name {
            "self" => Some(Ok(of(self.new))),
            "oldSelf" if self.optional => Some(Ok(Cel::Optional(self.old.map(|old| of(old).into())))),
            "oldSelf" => self.old.map(|old| Ok(of(old))),
            _ => None,
        }
    }
}

struct Judge {
    verdict: Verdict,
    /// Nothing is left once somebody has asked too much.
    left: Option<u64>,
    /// How much has been said.
    text: usize,
}

fn shown(path: &str) -> String {
    match path.trim_start_matches('.') {
        "" => "<nil>".to_owned(),
        path => path.to_owned(),
    }
}

fn text_of(rule: &Rule) -> &str {
    if rule.message.is_empty() {
        rule.text.trim()
    } else {
        rule.message.trim()
    }
}

impl Judge {
    fn fault(&mut self, reason: &'static str, path: &str, message: String) {
        self.said(path, &message);
        self.verdict.faults.push(Fault {
            reason,
            field: shown(path),
            message,
        });
    }

    /// Nothing more is asked once too much has been said.
    fn said(&mut self, path: &str, message: &str) {
        self.text += path.len() + message.len();
        if self.text > MAX_TEXT {
            self.left = None;
        }
    }

    /// A fault that is about the rule and not about the object.
    fn failed(&mut self, place: &Place, path: &str, detail: String) {
        let message = format!("Invalid value: {:?}: {detail}", place.kind);
        self.fault("FieldValueInvalid", path, message);
    }

    fn place<'v>(
        &mut self,
        place: &Place,
        new: &'v Value,
        old: Option<&'v Value>,
        path: &str,
        ratchet: Ratchet<'v>,
    ) {
        if new.is_null() || self.left.is_none() {
            return;
        }
        let old = old.filter(|old| !old.is_null());
        self.rules(place, new, old, path, ratchet);
        for inner in &place.all_of {
            let outer = Ratchet {
                here: None,
                parent: ratchet.parent,
            };
            self.place(inner, new, old, path, outer);
        }
        match new {
            Value::Array(items) => self.items(place, items, old, path, ratchet),
            Value::Object(map) => {
                for (key, value) in map {
                    let before = old.and_then(|old| old.get(key));
                    let below = if ratchet.parent.is_none() && matches!(key.as_str(), "apiVersion" | "kind") {
                        Ratchet {
                            here: None,
                            parent: None,
                        }
                    } else {
                        ratchet.below(value, before)
                    };
                    if let Some(inner) = place.properties.get(key) {
                        self.place(inner, value, before, &format!("{path}.{key}"), below);
                    } else if let Some(inner) = &place.additional {
                        self.place(inner, value, before, &format!("{path}[{key}]"), below);
                    }
                }
            }
            _ => {}
        }
    }

    fn items<'v>(
        &mut self,
        place: &Place,
        items: &'v [Value],
        old: Option<&'v Value>,
        path: &str,
        ratchet: Ratchet<'v>,
    ) {
        let Some(inner) = &place.items else { return };
        let name = |item: &Value, keys: &[String]| {
            let values = keys.iter().map(|key| item.get(key).cloned().unwrap_or_default());
            values.collect::<Value>().to_string()
        };
        // Only elements of maps are found again.
        let mut known = HashMap::new();
        if let (Some(keys), Some(Value::Array(all))) = (&place.keys, old) {
            for other in all {
                known.entry(name(other, keys)).or_insert(other);
            }
        }
        for (at, item) in items.iter().enumerate() {
            let before = match &place.keys {
                Some(keys) if !known.is_empty() => known.get(&name(item, keys)).copied(),
                _ => None,
            };
            self.place(
                inner,
                item,
                before,
                &format!("{path}[{at}]"),
                ratchet.below(item, before),
            );
        }
    }

    fn rules<'v>(
        &mut self,
        place: &Place,
        new: &'v Value,
        old: Option<&'v Value>,
        path: &str,
        ratchet: Ratchet<'v>,
    ) {
        for rule in &place.rules {
            let program = match &rule.program {
                Ok(program) => program,
                // One that says nothing is told of once, and asks nothing.
                Err(_) if rule.text.trim().is_empty() => continue,
                Err(error) => {
                    self.failed(place, path, format!("rule compile error: {error}"));
                    continue;
                }
            };
            if rule.uses_old && old.is_none() && !rule.optional_old {
                continue;
            }
            let seen = Seen {
                place,
                new,
                old,
                optional: rule.optional_old,
            };
            let result = self.run(program, &seen);
            let result = match result {
                Err(()) => {
                    let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                    return self.failed(place, path, detail.to_owned());
                }
                Ok(result) => result,
            };
            match result {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => {
                    let detail = self.detail(rule, &seen);
                    if !self.refuse(place, rule, new, path, detail, ratchet) {
                        return;
                    }
                }
                Err(Failure::Limit) => {
                    let why = Failure::Limit;
                    self.left = None;
                    let detail = format!(
                        "'{}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                        why.message(),
                        text_of(rule)
                    );
                    return self.failed(place, path, detail);
                }
                Err(Failure::Error(error)) if error.starts_with("no such overload") => {
                    let detail = format!(
                        "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                        text_of(rule)
                    );
                    self.failed(place, path, detail);
                }
                Err(Failure::Error(error)) => {
                    self.failed(place, path, format!("{error} evaluating rule: {}", text_of(rule)));
                }
            }
        }
    }

    /// Runs a program and pays for it; nothing when there is not enough left.
    #[allow(clippy::type_complexity, reason = "an outcome within an outcome")]
    fn run<'v>(&mut self, program: &Program, seen: &Seen<'v, '_>) -> Result<Result<Cel<'v>, Failure>, ()> {
        let left = self.left.filter(|left| *left > 0).ok_or(())?;
        let (result, cost) = program.run(seen, PER_CALL);
        self.left = left.checked_sub(cost);
        if self.left.is_none() { Err(()) } else { Ok(result) }
    }

    /// Why the rule is not met: what its expression says, or what it says itself.
    fn detail(&mut self, rule: &Rule, seen: &Seen<'_, '_>) -> Result<String, String> {
        if let Some(program) = &rule.message_program {
            let visible = Seen {
                optional: false,
                place: seen.place,
                new: seen.new,
                old: seen.old,
            };
            let seen = if rule.optional_old { seen } else { &visible };
            match self.run(program, seen) {
                Err(()) => {
                    return Err(
                        "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
                            .to_owned(),
                    );
                }
                Ok(Err(Failure::Limit)) => {
                    return Err(format!(
                        "no further validation rules will be run due to call cost exceeds limit for messageExpression: {:?}",
                        rule.message_expression
                    ));
                }
                Ok(Ok(Cel::String(text))) => {
                    let text = text.trim();
                    if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                        return Ok(text.to_owned());
                    }
                }
                Ok(_) => {}
            }
        }
        Ok(if rule.message.is_empty() {
            format!("failed rule: {}", text_of(rule))
        } else {
            rule.message.trim().to_owned()
        })
    }

    /// Says that a rule is not met; whether there is more to be said.
    fn refuse(
        &mut self,
        place: &Place,
        rule: &Rule,
        new: &Value,
        path: &str,
        detail: Result<String, String>,
        ratchet: Ratchet<'_>,
    ) -> bool {
        let path = match (rule.field.as_str(), path) {
            ("", path) => path.to_owned(),
            (field, path) => format!("{path}.{field}"),
        };
        let goes_on = detail.is_ok();
        let value = match new {
            Value::Array(_) | Value::Object(_) => String::new(),
            scalar => format!(": {scalar}"),
        };
        let (reason, message) = match detail {
            Err(detail) => {
                self.left = None;
                (
                    "FieldValueInvalid",
                    format!("Invalid value: {:?}: {detail}", place.kind),
                )
            }
            Ok(detail) => match rule.reason.as_str() {
                "FieldValueForbidden" => ("FieldValueForbidden", format!("Forbidden: {detail}")),
                "FieldValueRequired" => ("FieldValueRequired", format!("Required value: {detail}")),
                "FieldValueDuplicate" => ("FieldValueDuplicate", format!("Duplicate value{value}")),
                _ => ("FieldValueInvalid", format!("Invalid value{value}: {detail}")),
            },
        };
        if !rule.uses_old && ratchet.same() {
            self.said(&path, &message);
            self.verdict.warnings.push(format!("{}: {message}", shown(&path)));
        } else {
            self.fault(reason, &path, message);
        }
        goes_on
    }
}
