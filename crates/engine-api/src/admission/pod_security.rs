//! PodSecurity: a namespace's labels say what its pods may do (k8s.io/pod-security-admission 1.36, `admission/admission.go`). No
//! user, namespace or runtime class is exempt, and a namespace without labels is privileged.
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use engine_store::Stored;
use pod_security::{
    LabelError, Level, Policy, Standard, details, is_significant_update, reasons, violations,
};
use schema::KindInfo;
use serde_json::Value;
use validation::Cause;

use crate::{
    api::{Api, Call},
    json::{list, text, truth},
    keys,
    status::{ApiError, Result},
};

/// So many pods are looked at when a namespace enforces more than before, …
const MOST_PODS: usize = 3000;
/// … and not for longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// Refuse a pod that its namespace does not allow, and a namespace whose labels mean nothing; warn of what will be refused. `old` is
/// absent for a new object.
pub fn check(
    api: &Api,
    call: &Call,
    kind: &'static KindInfo,
    subresource: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<()> {
    match (kind.group, kind.plural, subresource) {
        ("", "namespaces", "") => namespace(api, call, kind, new, old),
        ("", "pods", "" | "ephemeralcontainers") => pod(api, call, kind, new, old),
        (_, _, "") => {
            if let Some(template) = template_of(kind, new) {
                workload(api, call, text(new, "/metadata/namespace"), template);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a workload makes pods from.
fn template_of<'a>(kind: &KindInfo, object: &'a Value) -> Option<&'a Value> {
    let pointer = match (kind.group, kind.plural) {
        ("", "podtemplates") => "/template",
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => "/spec/template",
        ("batch", "cronjobs") => "/spec/jobTemplate/spec/template",
        _ => return None,
    };
    object.pointer(pointer)
}

fn policy_of(api: &Api, namespace: &str) -> Option<(Policy, Vec<LabelError>)> {
    let found = api.store.get(&keys::core("namespaces", "", namespace))?;
    Some(Policy::of_labels(&found.value()["metadata"]["labels"]))
}

fn pod(api: &Api, call: &Call, kind: &'static KindInfo, new: &Value, old: Option<&Value>) -> Result<()> {
    let namespace = text(new, "/metadata/namespace");
    let Some((policy, errors)) = policy_of(api, namespace) else {
        return Err(ApiError::internal(format!(
            "failed to lookup namespace {namespace:?}"
        )));
    };
    if errors.is_empty() && policy.is_privileged() {
        call.annotate("enforce-policy", Standard::PRIVILEGED.to_string());
        return Ok(());
    }
    if old.is_some_and(|old| !is_significant_update(&new["spec"], &old["spec"])) {
        return Ok(());
    }
    note_errors(call, &errors);
    call.annotate("enforce-policy", policy.enforce.to_string());
    let (metadata, spec) = (&new["metadata"], &new["spec"]);
    note(call, policy.audit, metadata, spec);
    let found = violations(policy.enforce, metadata, spec);
    if found.is_empty() {
        warn(call, policy.warn, metadata, spec);
        return Ok(());
    }
    let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, details(&found));
    Err(ApiError::forbidden(kind, text(new, "/metadata/name"), why))
}

/// Workloads are never refused; their pods will be.
fn workload(api: &Api, call: &Call, namespace: &str, template: &Value) {
    let Some((policy, errors)) = policy_of(api, namespace) else {
        call.annotate("error", format!("failed to lookup namespace {namespace:?}"));
        return;
    };
    note_errors(call, &errors);
    let (metadata, spec) = (&template["metadata"], &template["spec"]);
    note(call, policy.audit, metadata, spec);
    warn(call, policy.warn, metadata, spec);
}

fn would_violate(standard: Standard, metadata: &Value, spec: &Value) -> Option<String> {
    let found = violations(standard, metadata, spec);
    (!found.is_empty()).then(|| format!("would violate PodSecurity \"{standard}\": {}", details(&found)))
}

fn note(call: &Call, standard: Standard, metadata: &Value, spec: &Value) {
    if let Some(said) = would_violate(standard, metadata, spec) {
        call.annotate("audit-violations", said);
    }
}

fn warn(call: &Call, standard: Standard, metadata: &Value, spec: &Value) {
    if let Some(said) = would_violate(standard, metadata, spec) {
        call.warn(said);
    }
}

fn note_errors(call: &Call, errors: &[LabelError]) {
    let said: Vec<String> = errors
        .iter()
        .map(cause)
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    match said.as_slice() {
        [] => {}
        [one] => call.annotate("error", format!("Failed to parse policy: {one}")),
        many => call.annotate("error", format!("Failed to parse policy: [{}]", many.join(", "))),
    }
}

fn cause(error: &LabelError) -> Cause {
    Cause {
        reason: "FieldValueInvalid",
        field: format!("metadata.labels[{}]", error.label),
        message: format!(
            "Invalid value: {}: {}",
            Value::from(error.value.as_str()),
            error.detail
        ),
    }
}

fn namespace(
    api: &Api,
    call: &Call,
    kind: &'static KindInfo,
    new: &Value,
    old: Option<&Value>,
) -> Result<()> {
    let name = text(new, "/metadata/name");
    let (policy, errors) = Policy::of_labels(&new["metadata"]["labels"]);
    let before = old.map(|old| Policy::of_labels(&old["metadata"]["labels"]));
    // Labels that were bad before may stay.
    let known = before.as_ref().is_some_and(|(_, known)| *known == errors);
    if !errors.is_empty() && !known {
        let causes: Vec<Cause> = errors.iter().map(cause).collect();
        return Err(ApiError::invalid_kind(kind, name, &causes));
    }
    let Some((before, _)) = before else { return Ok(()) };
    let (now, before) = (policy.enforce, before.enforce);
    let relaxed = now.version == before.version && now.level <= before.level;
    if now.level != Level::Privileged && !relaxed {
        for warning in violators(api, name, now) {
            call.warn(warning);
        }
    }
    Ok(())
}

/// Whom a new policy finds in a namespace. They stay; pods like them will be refused.
fn violators(api: &Api, namespace: &str, enforce: Standard) -> Vec<String> {
    let deadline = Instant::now() + LONGEST;
    let pods = one_of_each_first(api.store.list(&keys::core("pods", namespace, "")).items);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut checked = 0;
    for pod in pods.iter().take(MOST_PODS) {
        let pod = pod.value();
        let violations = violations(enforce, &pod["metadata"], &pod["spec"]);
        if !violations.is_empty() {
            let names = found.entry(reasons(&violations)).or_default();
            names.push(text(&pod, "/metadata/name").to_owned());
        }
        checked += 1;
        if Instant::now() > deadline {
            break;
        }
    }
    let mut warnings = Vec::new();
    if checked < pods.len() {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {} existing pods",
            pods.len()
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{enforce}\""
        ));
    }
    let mut told: Vec<String> = found
        .iter()
        .filter_map(|(reasons, names)| {
            let first = names.iter().min()?;
            Some(match names.len() - 1 {
                0 => format!("{first}: {reasons}"),
                1 => format!("{first} (and 1 other pod): {reasons}"),
                more => format!("{first} (and {more} other pods): {reasons}"),
            })
        })
        .collect();
    told.sort_unstable();
    warnings.append(&mut told);
    warnings
}

/// Pods of one controller are alike: the others of each come last.
fn one_of_each_first(pods: Vec<Arc<Stored>>) -> Vec<Arc<Stored>> {
    let mut seen = HashSet::new();
    let (mut first, others): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| {
        let pod = pod.value();
        let owners = list(&pod, "/metadata/ownerReferences");
        let controller = owners.iter().find(|owner| truth(owner, "/controller"));
        controller.is_none_or(|owner| seen.insert(text(owner, "/uid").to_owned()))
    });
    first.extend(others);
    first
}
