//! ValidatingAdmissionPolicies (apiserver `pkg/admission/plugin/policy/validating`, in whose words).
use std::{collections::BTreeMap, sync::Arc};

use expressions::{Program, Type, Value as Cel};
use serde_json::{Value, json};

use super::{
    asked::{Asked, Form},
    cel::{self, BUDGET, Rbac, Seen, Variables},
    params,
    policy::{Binding, Environments, Policy, namespace_of},
};
use crate::{
    api::Api,
    json::{list, text},
    status::{ApiError, Result},
};

/// Longest message that an expression may make, and longest annotation.
const LONGEST_MESSAGE: usize = 5 * 1024;
const LONGEST_ANNOTATION: usize = 10 * 1024;

/// A policy with its bindings, compiled.
#[derive(Debug)]
pub struct Validating {
    policy: Policy,
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

#[derive(Debug)]
struct Validation {
    source: String,
    program: Result<Program, String>,
    message: String,
    message_source: String,
    message_program: Option<Result<Program, String>>,
    reason: String,
}

#[derive(Debug)]
struct Annotation {
    key: String,
    source: String,
    program: Result<Program, String>,
}

impl Validating {
    /// Compiles a policy; nothing without a binding.
    pub fn of(policy: &Value, bindings: &[Arc<Value>]) -> Option<Self> {
        let spec = &policy["spec"];
        let (policy, environments) = Policy::of(policy, bindings)?;
        let annotations = list(spec, "/auditAnnotations")
            .iter()
            .map(|annotation| Annotation {
                key: text(annotation, "/key").to_owned(),
                source: text(annotation, "/valueExpression").to_owned(),
                program: cel::compile(
                    &environments.whole,
                    text(annotation, "/valueExpression"),
                    &[Type::String, Type::Null],
                ),
            });
        Some(Self {
            validations: list(spec, "/validations")
                .iter()
                .map(|v| Validation::of(&environments, v))
                .collect(),
            annotations: annotations.collect(),
            policy,
        })
    }
}

impl Validation {
    fn of(environments: &Environments, validation: &Value) -> Self {
        let source = text(validation, "/expression");
        let message_source = text(validation, "/messageExpression");
        Self {
            program: cel::compile(&environments.whole, source, &[Type::Bool]),
            message_program: (!message_source.is_empty())
                .then(|| cel::compile(&environments.messages, message_source, &[Type::String])),
            source: source.trim().to_owned(),
            message: text(validation, "/message").trim().to_owned(),
            message_source: message_source.to_owned(),
            reason: text(validation, "/reason").to_owned(),
        }
    }
}

/// Why a request is refused.
struct Denied {
    message: String,
    reason: String,
}

/// What a policy decides with one set of parameters.
#[derive(Default)]
struct Decided {
    /// By place in the list of validations.
    denied: Vec<(usize, String, String)>,
    published: Vec<(String, String)>,
    /// Annotations that failed, when failures refuse.
    failed: Vec<String>,
}

/// Holds a request against all policies.
pub async fn validate(api: &Api, policies: &[Validating], asked: &Asked<'_>) -> Result<()> {
    let mut denied: Option<Denied> = None;
    let mut deny = |policy: &Policy, binding: Option<&Binding>, message: &str, reason: &str| {
        let with = binding
            .map(|binding| format!(" with binding '{}'", binding.name))
            .unwrap_or_default();
        let refusal = Denied {
            message: format!(
                "ValidatingAdmissionPolicy '{}'{with} denied request: {message}",
                policy.name
            ),
            reason: if reason.is_empty() { "Invalid" } else { reason }.to_owned(),
        };
        denied.get_or_insert(refusal);
    };
    for validating in policies {
        let policy = &validating.policy;
        let form = match policy.wanted.matches(api, asked) {
            Ok(Some(form)) => form,
            Ok(None) => continue,
            Err(error) => {
                if !policy.ignores_failures {
                    deny(
                        policy,
                        None,
                        &format!("failed to configure policy: {}", error.message),
                        "",
                    );
                }
                continue;
            }
        };
        let (object, old) = asked.objects(api, &form).await?;
        let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for binding in &policy.bindings {
            let params = match binding.wanted.narrows(api, asked) {
                Ok(false) => continue,
                Ok(true) => params::collect(api, &policy.param_kind, &binding.param_ref, &asked.namespace),
                Err(error) => Err(error.message),
            };
            let params = match params {
                Ok(params) => params,
                Err(error) => {
                    if !policy.ignores_failures {
                        deny(
                            policy,
                            Some(binding),
                            &format!("failed to configure binding: {error}"),
                            "",
                        );
                    }
                    continue;
                }
            };
            let namespace = namespace_of(api, asked)?;
            for params in params {
                let decided = validating.decide(api, asked, &form, (&object, &old), &namespace, &params);
                for (at, message, reason) in &decided.denied {
                    binding.act(policy, asked, *at, message);
                    if binding.actions.iter().any(|action| action == "Deny") {
                        deny(policy, Some(binding), message, reason);
                    }
                }
                for error in &decided.failed {
                    deny(policy, Some(binding), error, "");
                }
                for (key, value) in decided.published {
                    let values = annotations.entry(key).or_default();
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
        }
        for (key, values) in annotations {
            asked
                .call
                .note(format!("{}/{key}", policy.name), values.join(", "));
        }
    }
    match denied {
        None => Ok(()),
        Some(denied) => Err(refusal(asked, &denied)),
    }
}

/// 403, 422 or what else the reason stands for (`plugin/policy/validating/policy_decision.go` reasonToCode).
fn refusal(asked: &Asked<'_>, denied: &Denied) -> ApiError {
    let mut error = asked.forbidden(&denied.message);
    (error.code, error.reason) = match denied.reason.as_str() {
        "Forbidden" => (403, "Forbidden"),
        "Unauthorized" => (401, "Unauthorized"),
        "RequestEntityTooLarge" => (413, "RequestEntityTooLarge"),
        _ => (422, "Invalid"),
    };
    if let Some(details) = &mut error.details {
        details["causes"] = json!([{"message": denied.message}]);
    }
    error
}

impl Binding {
    /// What is done beside refusing.
    fn act(&self, policy: &Policy, asked: &Asked<'_>, at: usize, message: &str) {
        for action in &self.actions {
            match action.as_str() {
                "Warn" => asked.call.warn(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                    policy.name, self.name
                )),
                "Audit" => {
                    let failure = json!([{"message": message, "policy": policy.name, "binding": self.name, "expressionIndex": at,
                        "validationActions": self.actions}]);
                    let key = "validation.policy.admission.k8s.io/validation_failure".to_owned();
                    asked.call.note(key, failure.to_string());
                }
                _ => {}
            }
        }
    }
}

impl Validating {
    /// `validator.go` Validate.
    fn decide(
        &self,
        api: &Api,
        asked: &Asked<'_>,
        form: &Form,
        (object, old): (&Value, &Value),
        namespace: &Value,
        params: &Value,
    ) -> Decided {
        let request = asked.request(form);
        let rbac = Rbac {
            api,
            user: &asked.call.user,
        };
        let mut seen = Seen::new(object, old, &request, asked.question(), rbac);
        seen.params = params;
        let mut decided = Decided::default();
        match self.policy.conditions.hold(&seen) {
            Ok(true) => {}
            Ok(false) => return decided,
            Err(_) if self.policy.ignores_failures => return decided,
            Err(error) => {
                decided.denied.push((0, error, String::new()));
                return decided;
            }
        }
        seen.namespace = namespace;
        seen.variables = Some(Variables::of(&self.policy.variables));
        seen.grant(BUDGET);
        let results: Vec<Result<bool, String>> = self
            .validations
            .iter()
            .map(|v| {
                seen.evaluate(&v.source, &v.program)
                    .map(|value| matches!(value, Cel::Bool(true)))
            })
            .collect();
        for (at, (validation, result)) in self.validations.iter().zip(results).enumerate() {
            match result {
                Ok(true) => {}
                Ok(false) => decided
                    .denied
                    .push((at, validation.told(&seen), validation.reason.clone())),
                Err(_) if self.policy.ignores_failures => {}
                Err(error) => decided.denied.push((at, error, String::new())),
            }
        }
        seen.grant(BUDGET);
        for annotation in &self.annotations {
            match seen.evaluate(&annotation.source, &annotation.program) {
                Ok(Cel::String(text)) if !text.trim().is_empty() => {
                    let text = text.trim();
                    let end = text.floor_char_boundary(LONGEST_ANNOTATION);
                    decided
                        .published
                        .push((annotation.key.clone(), text[..end].to_owned()));
                }
                Err(error) if !self.policy.ignores_failures => decided.failed.push(error),
                _ => {}
            }
        }
        decided
    }
}

impl Validation {
    /// Why a request is refused: what the expression says, or the message, or the rule itself.
    fn told(&self, seen: &Seen<'_>) -> String {
        if let Some(program) = &self.message_program
            && let Ok(Cel::String(text)) = seen.evaluate(&self.message_source, program)
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                return text.to_owned();
            }
        }
        if self.message.is_empty() {
            format!("failed expression: {}", self.source)
        } else {
            self.message.clone()
        }
    }
}
