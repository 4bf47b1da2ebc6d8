//! What is wrong with the expressions of webhooks and policies (`pkg/apis/admissionregistration/validation/validation.go`).
use std::collections::HashSet;

use expressions::{Environment, Type};
use schema::KindInfo;
use serde_json::{Value, json};
use validation::Cause;

use super::{GROUP, cel, devices, mutations, policy::Environments};
use crate::json::{list, text};

/// `maxAuditAnnotations` and `maxAuditAnnotationValueExpressionLength`.
const MOST_ANNOTATIONS: usize = 20;
const LONGEST_ANNOTATION: usize = 5 * 1024;

/// Add what is wrong with the expressions of an object to what else is, where upstream comes to it.
pub fn add_causes(causes: &mut Vec<Cause>, kind: &KindInfo, old: Option<&Value>, new: &Value) {
    let found = self::causes(kind, old, new);
    if kind.group == "resource.k8s.io" {
        devices::merge(kind.kind, causes, found);
    } else {
        causes.extend(found);
    }
}

/// Everything wrong with the expressions of a configuration; those that it had before are not looked at again.
fn causes(kind: &KindInfo, old: Option<&Value>, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if kind.group == "resource.k8s.io" && (old.is_none() || kind.kind != "ResourceClaim") {
        // Claims cannot change; nor can templates, but they are looked at all the same.
        return devices::causes(kind.kind, new);
    }
    if kind.group != GROUP {
        return causes;
    }
    match kind.kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            let environment = cel::environment(false, true);
            for (at, hook) in list(new, "/webhooks").iter().enumerate() {
                conditions(&mut causes, &environment, hook, &format!("webhooks[{at}]"));
            }
        }
        "ValidatingAdmissionPolicy" => {
            let environments = declarations(&mut causes, &new["spec"]);
            let name = text(new, "/metadata/name");
            validations(&mut causes, &environments, name, &new["spec"]);
        }
        "MutatingAdmissionPolicy" => {
            let environment = declarations(&mut causes, &new["spec"]).whole.with_patches();
            for (at, mutation) in list(new, "/spec/mutations").iter().enumerate() {
                let (field, wanted) = mutations::form(mutation);
                let path = format!("spec.mutations[{at}].{field}");
                expression(
                    &mut causes,
                    &environment,
                    &mutation[field],
                    "expression",
                    &[wanted],
                    path,
                );
            }
        }
        _ => {}
    }
    let before: Vec<Cause> = match old {
        Some(old) if !causes.is_empty() => self::causes(kind, None, old),
        _ => Vec::new(),
    };
    causes.retain(|cause| !before.iter().any(|old| old.message == cause.message));
    causes
}

fn expression(
    causes: &mut Vec<Cause>,
    environment: &Environment,
    place: &Value,
    field: &str,
    wanted: &[Type],
    path: String,
) {
    let source = text(place, &format!("/{field}"));
    if source.trim().is_empty() {
        return;
    }
    if let Err(detail) = cel::compile(environment, source, wanted) {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: format!("{path}.{field}"),
            message: format!(
                "Invalid value: {}: {detail}",
                kube_types::shown_value(&place[field])
            ),
        });
    }
}

fn required(causes: &mut Vec<Cause>, place: &Value, field: &str, path: &str) {
    if text(place, &format!("/{field}")).trim().is_empty() {
        causes.push(Cause {
            reason: "FieldValueRequired",
            field: format!("{path}.{field}"),
            message: "Required value".to_owned(),
        });
    }
}

fn missing(causes: &mut Vec<Cause>, field: String, detail: &str) {
    causes.push(Cause {
        reason: "FieldValueRequired",
        field,
        message: format!("Required value: {detail}"),
    });
}

fn conditions(causes: &mut Vec<Cause>, environment: &Environment, holder: &Value, path: &str) {
    let mut seen = HashSet::new();
    let all = list(holder, "/matchConditions");
    if all.len() > 64 {
        causes.push(Cause {
            reason: "FieldValueTooMany",
            field: format!("{path}.matchConditions"),
            message: format!("Too many: {}: must have at most 64 items", all.len()),
        });
    }
    for (at, condition) in all.iter().enumerate() {
        let path = format!("{path}.matchConditions[{at}]");
        required(causes, condition, "expression", &path);
        // Unlike others these are shown without the blanks around them.
        let trimmed = json!({"expression": text(condition, "/expression").trim()});
        expression(
            causes,
            environment,
            &trimmed,
            "expression",
            &[Type::Bool],
            path.clone(),
        );
        required(causes, condition, "name", &path);
        let name = text(condition, "/name");
        for complaint in kube_types::is_qualified_name(name)
            .into_iter()
            .filter(|_| !name.is_empty())
        {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.name"),
                message: format!("Invalid value: {}: {complaint}", kube_types::quote(name)),
            });
        }
        if !name.is_empty() && !seen.insert(name) {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                field: format!("{path}.name"),
                message: format!("Duplicate value: {name:?}"),
            });
        }
    }
}

/// Conditions and variables; the environments of what else a policy says.
fn declarations(causes: &mut Vec<Cause>, spec: &Value) -> Environments {
    let plain = cel::environment(spec["paramKind"].is_object(), true);
    conditions(causes, &plain, spec, "spec");
    let environments = Environments::of(spec);
    for (at, (variable, (name, program))) in list(spec, "/variables")
        .iter()
        .zip(&environments.variables)
        .enumerate()
    {
        let path = format!("spec.variables[{at}]");
        if name.trim().is_empty() {
            missing(causes, format!("{path}.name"), "name is not specified");
        } else if !kube_types::is_c_identifier(name).is_empty() {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.name"),
                message: format!("Invalid value: {name:?}: must be a valid CEL identifier"),
            });
        }
        if text(variable, "/expression").trim().is_empty() {
            missing(
                causes,
                format!("{path}.expression"),
                "expression is not specified",
            );
        } else if let Err(detail) = program {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.expression"),
                message: format!("Invalid value: {}: {detail}", variable["expression"]),
            });
        }
    }
    environments
}

fn validations(causes: &mut Vec<Cause>, environments: &Environments, name: &str, spec: &Value) {
    let (validations, annotations) = (list(spec, "/validations"), list(spec, "/auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            let detail = "validations or auditAnnotations must contain at least one item";
            missing(causes, format!("spec.{field}"), detail);
        }
    }
    for (at, validation) in validations.iter().enumerate() {
        let path = format!("spec.validations[{at}]");
        if text(validation, "/expression").trim().is_empty() {
            missing(
                causes,
                format!("{path}.expression"),
                "expression is not specified",
            );
        }
        expression(
            causes,
            &environments.whole,
            validation,
            "expression",
            &[Type::Bool],
            path.clone(),
        );
        let said = text(validation, "/messageExpression");
        if !said.is_empty() && said.trim().is_empty() {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.messageExpression"),
                message: format!("Invalid value: {said:?}: must be non-empty if specified"),
            });
        }
        expression(
            causes,
            &environments.messages,
            validation,
            "messageExpression",
            &[Type::String],
            path.clone(),
        );
        let message = text(validation, "/message");
        let wrong = if !message.is_empty() && message.trim().is_empty() {
            "must be non-empty if specified"
        } else if message.trim().contains(['\n', '\r']) {
            "must not contain line breaks"
        } else {
            ""
        };
        if !wrong.is_empty() {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.message"),
                message: format!("Invalid value: {message:?}: {wrong}"),
            });
        }
        // An empty one is said, too.
        let known = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
        if let Some(reason) = validation["reason"].as_str()
            && !known.contains(&reason)
        {
            let shown: Vec<String> = known.iter().map(|reason| format!("{reason:?}")).collect();
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                field: format!("{path}.reason"),
                message: format!(
                    "Unsupported value: {reason:?}: supported values: {}",
                    shown.join(", ")
                ),
            });
        }
    }
    audit_annotations(causes, &environments.whole, name, annotations);
}

fn audit_annotations(
    causes: &mut Vec<Cause>,
    environment: &Environment,
    policy: &str,
    annotations: &[Value],
) {
    if annotations.len() > MOST_ANNOTATIONS {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            field: "spec.auditAnnotations".to_owned(),
            message: format!(
                "Invalid value: {}: must not have more than {MOST_ANNOTATIONS} auditAnnotations",
                Value::from(annotations)
            ),
        });
    }
    let mut seen = HashSet::new();
    for (at, annotation) in annotations.iter().enumerate() {
        let path = format!("spec.auditAnnotations[{at}]");
        let key = text(annotation, "/key");
        let whole = format!("{policy}/{key}");
        if policy.is_empty() {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.key"),
                message: format!(
                    "Invalid value: {}: requires metadata.name be non-empty",
                    kube_types::quote(key)
                ),
            });
        }
        let complaints = kube_types::is_qualified_name(&whole).into_iter();
        for complaint in complaints.filter(|_| !policy.is_empty()) {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.key"),
                message: format!("Invalid value: {whole:?}: {complaint}"),
            });
        }
        let length = text(annotation, "/valueExpression").trim().len();
        if length == 0 {
            missing(
                causes,
                format!("{path}.valueExpression"),
                "valueExpression is not specified",
            );
        } else if length > LONGEST_ANNOTATION {
            let detail = format!("must not exceed {LONGEST_ANNOTATION} bytes in length");
            missing(causes, format!("{path}.valueExpression"), &detail);
        } else {
            expression(
                causes,
                environment,
                annotation,
                "valueExpression",
                &[Type::String, Type::Null],
                path.clone(),
            );
        }
        if !seen.insert(key) {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                field: format!("{path}.key"),
                message: format!("Duplicate value: {key:?}"),
            });
        }
    }
}
