//! What is wrong with the rules of a schema (apiextensions `pkg/apis/apiextensions/validation/{validation,cel_validation}.go`).
use expressions::{Type, display};
use serde_json::{Value, json};

use super::{
    environment, field_path, has_rules,
    kinds::{self, BySchema, LARGEST_REQUEST},
    own,
};
use crate::Fault;

/// The most that one rule may cost, by what its schema allows, and all of them.
const ONE_RULE: u64 = 10_000_000;
const ALL_RULES: u64 = 100_000_000;

const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// Everything wrong with the rules of a schema of whole objects that stands at `path`.
pub fn check(schema: &Value, path: &str) -> Vec<Fault> {
    if !has_rules(schema) {
        return Vec::new();
    }
    let mut checker = Checker::default();
    let place = Place {
        path: path.to_owned(),
        uncorrelatable: None,
        cardinality: Some(1),
        typed: true,
    };
    checker.words(schema, path);
    if checker.faults.is_empty() {
        checker.place(schema, &place, true);
        checker.total(path);
    }
    checker.faults
}

#[derive(Clone)]
struct Place {
    path: String,
    /// The nearest place above whose elements are not found again.
    uncorrelatable: Option<String>,
    /// How often what is here can be there, as far as the schema says.
    cardinality: Option<u64>,
    /// Whether expressions are looked at: not within `allOf` and its like.
    typed: bool,
}

#[derive(Default)]
struct Checker {
    faults: Vec<Fault>,
    costs: Vec<(String, u64)>,
}

/// The places directly below: their paths, and whether they are of the structure.
fn below<'s>(schema: &'s Value, path: &str) -> Vec<(String, &'s Value)> {
    let mut all = Vec::new();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        all.push((format!("{path}.properties[{name}]"), inner));
    }
    for field in ["additionalProperties", "items"] {
        if schema[field].is_object() {
            all.push((format!("{path}.{field}"), &schema[field]));
        }
    }
    all
}

impl Checker {
    fn fault(&mut self, reason: &'static str, path: String, message: String) {
        self.faults.push(Fault {
            reason,
            field: path,
            message,
        });
    }

    fn invalid(&mut self, path: String, value: &Value, detail: &str) {
        self.fault(
            "FieldValueInvalid",
            path,
            format!("Invalid value: {value}: {detail}"),
        );
    }

    /// What the rules say beside their expressions.
    fn words(&mut self, schema: &Value, path: &str) {
        for (path, inner) in below(schema, path) {
            self.words(inner, &path);
        }
        for (at, rule) in own(schema).iter().enumerate() {
            let field = |name: &str| format!("{path}.x-kubernetes-validations[{at}].{name}");
            let text = |name: &str| rule[name].as_str().unwrap_or_default();
            let lines = |text: &str| text.contains(['\n', '\r']);
            let (expression, message) = (text("rule").trim(), text("message"));
            if expression.is_empty() {
                self.fault(
                    "FieldValueRequired",
                    field("rule"),
                    "Required value: rule is not specified".to_owned(),
                );
            } else if !message.is_empty() && message.trim().is_empty() {
                self.invalid(
                    field("message"),
                    &rule["message"],
                    "must be non-empty if specified",
                );
            } else if lines(message.trim()) {
                self.invalid(field("message"), &rule["message"], "must not contain line breaks");
            } else if lines(expression) && message.trim().is_empty() {
                let detail = "Required value: message must be specified if rule contains line breaks";
                self.fault("FieldValueRequired", field("message"), detail.to_owned());
            }
            if !text("messageExpression").is_empty() && text("messageExpression").trim().is_empty() {
                let detail = "Required value: messageExpression must be non-empty if specified";
                self.fault(
                    "FieldValueRequired",
                    field("messageExpression"),
                    detail.to_owned(),
                );
            }
            if rule["reason"].is_string() && !REASONS.contains(&text("reason")) {
                let supported: Vec<String> = REASONS.iter().map(|reason| format!("{reason:?}")).collect();
                let message = format!(
                    "Unsupported value: {}: supported values: {}",
                    rule["reason"],
                    supported.join(", ")
                );
                self.fault("FieldValueNotSupported", field("reason"), message);
            }
            let place = text("fieldPath");
            if !place.is_empty() && place.trim().is_empty() {
                self.invalid(
                    field("fieldPath"),
                    &rule["fieldPath"],
                    "must be non-empty if specified",
                );
            }
            if lines(place) {
                self.invalid(
                    field("fieldPath"),
                    &rule["fieldPath"],
                    "must not contain line breaks",
                );
            }
            if !place.is_empty() && field_path::normalise(place, schema).is_err() {
                self.invalid(field("fieldPath"), &rule["fieldPath"], "must be a valid path");
            }
        }
    }

    fn place(&mut self, schema: &Value, place: &Place, root: bool) {
        let most = ["maxProperties", "maxItems"]
            .map(|field| schema[field].as_i64().map(|n| n.max(0).unsigned_abs()));
        for (path, inner) in below(schema, &place.path) {
            let of_list = path.ends_with(".items");
            let bound = match (of_list, path.ends_with(".additionalProperties")) {
                (true, _) => most[1],
                (_, true) => most[0],
                _ => Some(1),
            };
            let lost = of_list && schema["x-kubernetes-list-type"] != "map";
            let next = Place {
                path,
                uncorrelatable: if lost {
                    Some(place.path.clone())
                } else {
                    place.uncorrelatable.clone()
                },
                cardinality: place
                    .cardinality
                    .and_then(|so_far| Some(so_far.saturating_mul(bound?))),
                typed: place.typed,
            };
            self.place(inner, &next, inner["x-kubernetes-embedded-resource"] == true);
        }
        if own(schema).is_empty() || !place.typed {
            return;
        }
        let Some(typed) = kinds::of(schema, root) else {
            let detail = "Internal error: internal error: failed to construct type information for x-kubernetes-validations rules: unable \
                          to convert structural schema to CEL declarations";
            return self.fault(
                "InternalError",
                format!("{}.x-kubernetes-validations", place.path),
                detail.to_owned(),
            );
        };
        for (at, rule) in own(schema).iter().enumerate() {
            self.rule(schema, place, &typed, at, rule);
        }
    }

    fn rule(&mut self, schema: &Value, place: &Place, typed: &Type, at: usize, rule: &Value) {
        let field = |name: &str| format!("{}.x-kubernetes-validations[{at}].{name}", place.path);
        let source = rule["rule"].as_str().unwrap_or_default();
        let environment = environment(typed, rule["optionalOldSelf"] == true);
        let sizes = BySchema { schema };
        let struct_of = go_struct(rule);
        let program = match environment.compile(source) {
            Err(issues) => {
                let detail = format!("compilation failed: {}", display(source, &issues));
                self.fault(
                    "FieldValueInvalid",
                    field("rule"),
                    format!("Invalid value: {struct_of}: {detail}"),
                );
                None
            }
            Ok(program) if !matches!(program.kind(), Type::Bool) => {
                let detail = "cel expression must evaluate to a bool";
                self.fault(
                    "FieldValueInvalid",
                    field("rule"),
                    format!("Invalid value: {struct_of}: {detail}"),
                );
                None
            }
            Ok(program) => Some(program),
        };
        let Some(program) = program else { return };
        let often = place
            .cardinality
            .unwrap_or_else(|| LARGEST_REQUEST / (kinds::least(schema) + 1));
        let cost = program.estimate(&sizes).saturating_mul(often);
        self.cost(field("rule"), "estimated rule cost", cost);
        self.message(rule, &environment, &sizes, field("messageExpression"), &struct_of);
        if program.names("oldSelf") {
            if let Some(lost) = &place.uncorrelatable {
                let detail = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {lost}"
                );
                self.invalid(field("rule"), &rule["rule"], &detail);
            }
        } else if rule["optionalOldSelf"].is_boolean() {
            let detail = "may not be set if oldSelf is not used in rule";
            self.invalid(field("optionalOldSelf"), &rule["optionalOldSelf"], detail);
        }
    }

    fn message(
        &mut self,
        rule: &Value,
        environment: &expressions::Environment,
        sizes: &BySchema<'_>,
        path: String,
        struct_of: &str,
    ) {
        let Some(source) = rule["messageExpression"]
            .as_str()
            .filter(|source| !source.is_empty())
        else {
            return;
        };
        let detail = match environment.compile(source) {
            Ok(program) if matches!(program.kind(), Type::String) => {
                let cost = program.estimate(sizes);
                return self.cost(path, "estimated messageExpression cost", cost);
            }
            Ok(_) => "messageExpression must evaluate to a string".to_owned(),
            Err(issues) => format!(
                "messageExpression compilation failed: {}",
                display(source, &issues)
            ),
        };
        self.fault(
            "FieldValueInvalid",
            path,
            format!("Invalid value: {struct_of}: {detail}"),
        );
    }

    fn cost(&mut self, path: String, name: &str, cost: u64) {
        if cost > ONE_RULE {
            self.fault(
                "FieldValueForbidden",
                path.clone(),
                format!("Forbidden: {}", exceeds(name, cost, ONE_RULE)),
            );
        }
        self.costs.push((path, cost));
    }

    /// All rules together; the dearest are named (`cel_validation.go` TotalCost).
    fn total(&mut self, path: &str) {
        let total = self
            .costs
            .iter()
            .fold(0_u64, |sum, (_, cost)| sum.saturating_add(*cost));
        if total <= ALL_RULES {
            return;
        }
        let mut dearest: Vec<(String, u64)> = std::mem::take(&mut self.costs);
        dearest.retain(|(_, cost)| *cost >= ALL_RULES / 100);
        dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, _) in dearest.into_iter().take(4) {
            let detail = "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.fault("FieldValueForbidden", path, detail.to_owned());
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        let message = format!("Forbidden: {}", exceeds(name, total, ALL_RULES));
        self.fault("FieldValueForbidden", path.to_owned(), message);
    }
}

fn exceeds(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let shown = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where \
         arrays, maps, and strings are declared)"
    )
}

/// The internal struct, which has no JSON names.
fn go_struct(rule: &Value) -> String {
    let text = |field: &str| kube_types::json_text(&json!(rule[field].as_str().unwrap_or_default()));
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        rule["reason"],
        text("fieldPath"),
        rule["optionalOldSelf"]
    )
}
