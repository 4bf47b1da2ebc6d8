//! The options of requests that write (apimachinery `apis/meta/v1/validation`).
use serde_json::Value;
use validation::Cause;

use crate::{
    api::Call,
    registry::patch::PatchType,
    status::{ApiError, Result},
};

/// The longest name of a field manager, in bytes.
const MANAGER: usize = 128;

/// Check what the parameters of a create, update or patch say, before its body is looked at.
pub fn check(call: &Call) -> Result<()> {
    let mut causes = Vec::new();
    match call.route.verb {
        "create" | "update" => {}
        "patch" => match (PatchType::of(call)?, call.query.get("fieldManager")) {
            (PatchType::Apply, None) => causes.push(cause(
                "FieldValueRequired",
                "fieldManager",
                "Required value: is required for apply patch".to_owned(),
            )),
            (PatchType::Apply, Some(_)) => {}
            _ if call.query.get("force").is_some() => causes.push(cause(
                "FieldValueForbidden",
                "force",
                "Forbidden: may not be specified for non-apply patch".to_owned(),
            )),
            _ => {}
        },
        _ => return Ok(()),
    }
    causes.extend(manager(call.query.get("fieldManager").unwrap_or_default()));
    causes.extend(dry_run(&call.query.all("dryRun")));
    let strictness = call.query.get("fieldValidation").unwrap_or_default();
    if !["", "Ignore", "Strict", "Warn"].contains(&strictness) {
        causes.push(cause(
            "FieldValueNotSupported",
            "fieldValidation",
            format!(
                "Unsupported value: {strictness:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
            ),
        ));
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid("meta.k8s.io", call.options_kind(), "", &causes))
}

fn cause(reason: &'static str, field: &str, message: String) -> Cause {
    Cause {
        reason,
        field: field.to_owned(),
        message,
    }
}

fn manager(name: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if name.len() > MANAGER {
        causes.push(cause(
            "FieldValueTooLong",
            "fieldManager",
            format!("Too long: may not be more than {MANAGER} bytes"),
        ));
    }
    for (at, character) in name.char_indices().filter(|(_, c)| c.is_control()) {
        causes.push(cause(
            "FieldValueInvalid",
            "fieldManager",
            format!(
                "Invalid value: {}: invalid character U+{:04X} (at position {at})",
                kube_types::quote(name),
                u32::from(character)
            ),
        ));
    }
    causes
}

/// What is wrong with the values of `dryRun`.
pub fn dry_run(values: &[String]) -> Option<Cause> {
    if values.iter().all(|value| value == "All") {
        return None;
    }
    let shown = Value::from(values);
    Some(cause(
        "FieldValueNotSupported",
        "dryRun",
        format!("Unsupported value: {shown}: supported values: \"All\""),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dry_runs() {
        let said = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
            dry_run(&values).map(|c| c.message)
        };
        assert_eq!(said(&[]), None);
        assert_eq!(said(&["All", "All"]), None);
        assert_eq!(
            said(&["All", "x"]).as_deref(),
            Some(r#"Unsupported value: ["All","x"]: supported values: "All""#)
        );
    }

    #[test]
    fn managers() {
        let said = |name: &str| manager(name).into_iter().map(|c| c.message).collect::<Vec<_>>();
        assert!(said("kubectl-client-side-apply").is_empty());
        assert_eq!(
            said(&"a".repeat(129)),
            ["Too long: may not be more than 128 bytes"]
        );
        assert_eq!(
            said("\0"),
            [r#"Invalid value: "\x00": invalid character U+0000 (at position 0)"#]
        );
    }
}
