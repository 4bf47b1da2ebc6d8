//! What the kernel's security modules are told: `policy/check_appArmorProfile.go`, `check_seccompProfile_*.go`,
//! `check_seLinuxOptions.go`.
use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    Violation,
    checks::Found,
    pod::{Container, Pod, text},
    words,
};

const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Whether this profile of this context is set, and not to one that confines.
fn is_loose(context: &Value, profile: &str) -> bool {
    let profile = &context[profile];
    !profile.is_null() && !matches!(text(&profile["type"]), "RuntimeDefault" | "Localhost")
}

/// The names of the loose profiles of pod and containers.
fn loose_types<'a>(pod: Pod<'a>, profile: &str) -> BTreeSet<&'a str> {
    std::iter::once(pod.context())
        .chain(pod.containers().map(Container::context))
        .filter(|context| is_loose(context, profile))
        .map(|context| text(&context[profile]["type"]))
        .collect()
}

pub(super) fn app_armor(pod: Pod<'_>) -> Found {
    const PROFILE: &str = "appArmorProfile";
    let allowed =
        |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut annotations: Vec<String> = pod.metadata["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| key.starts_with(APP_ARMOR_ANNOTATION) && !allowed(text(value)))
        .map(|(key, value)| format!("{key}={:?}", text(value)))
        .collect();
    annotations.sort_unstable();
    let containers = pod.named(|c| is_loose(c.context(), PROFILE));
    let annotated = (!annotations.is_empty())
        .then(|| words::plural(annotations.len(), "annotation", "annotations").to_owned());
    let who: Vec<String> = words::setters(is_loose(pod.context(), PROFILE), &containers)
        .into_iter()
        .chain(annotated)
        .collect();
    if who.is_empty() {
        return None;
    }
    let values: Vec<String> = loose_types(pod, PROFILE)
        .into_iter()
        .map(str::to_owned)
        .chain(annotations)
        .collect();
    Some(Violation {
        reason: words::plural(
            values.len(),
            "forbidden AppArmor profile",
            "forbidden AppArmor profiles",
        ),
        detail: format!(
            "{} must not set AppArmor profile type to {}",
            who.join(" and "),
            words::quoted(values)
        ),
    })
}

/// Before 1.19 profiles were annotations.
pub(super) fn seccomp_annotations(pod: Pod<'_>) -> Found {
    let keys = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned()).chain(
        pod.containers()
            .map(|c| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", c.name())),
    );
    let allowed = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let bad: BTreeSet<String> = keys
        .filter_map(|key| {
            let value = pod.annotation(&key)?;
            (!allowed(value)).then(|| format!("{key}={value:?}"))
        })
        .collect();
    let bad: Vec<String> = bad.into_iter().collect();
    (!bad.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "forbidden {} {}",
            words::plural(bad.len(), "annotation", "annotations"),
            bad.join(", ")
        ),
    })
}

pub(super) fn seccomp_baseline(pod: Pod<'_>) -> Found {
    const PROFILE: &str = "seccompProfile";
    let containers = pod.named(|c| is_loose(c.context(), PROFILE));
    let who = words::setters(is_loose(pod.context(), PROFILE), &containers)?;
    Some(Violation {
        reason: PROFILE,
        detail: format!(
            "{who} must not set securityContext.seccompProfile.type to {}",
            words::quoted(loose_types(pod, PROFILE))
        ),
    })
}

pub(super) fn seccomp_restricted(pod: Pod<'_>) -> Found {
    const PROFILE: &str = "seccompProfile";
    if let Some(found) = seccomp_baseline(pod) {
        return Some(found);
    }
    let confined = !pod.context()[PROFILE].is_null();
    let implicit = pod.named(|c| !confined && c.context()[PROFILE].is_null());
    (!implicit.is_empty()).then(|| Violation {
        reason: PROFILE,
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            words::containers(&implicit)
        ),
    })
}

const SE_LINUX_TYPES: [&str; 4] = ["", "container_t", "container_init_t", "container_kvm_t"];
const SE_LINUX_TYPES_31: [&str; 5] = [
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

pub(super) fn se_linux_0(pod: Pod<'_>) -> Found {
    se_linux(pod, &SE_LINUX_TYPES)
}

pub(super) fn se_linux_31(pod: Pod<'_>) -> Found {
    se_linux(pod, &SE_LINUX_TYPES_31)
}

/// A field of a context's options.
fn option<'a>(context: &'a Value, field: &str) -> &'a str {
    text(&context["seLinuxOptions"][field])
}

fn se_linux(pod: Pod<'_>, types: &[&str]) -> Found {
    let other_type = |context: &Value| !types.contains(&option(context, "type"));
    let is_set = |context: &Value, field: &str| !option(context, field).is_empty();
    let is_bad = |context: &Value| other_type(context) || is_set(context, "user") || is_set(context, "role");

    let containers = pod.named(|c| is_bad(c.context()));
    let who = words::setters(is_bad(pod.context()), &containers)?;
    let contexts: Vec<&Value> = std::iter::once(pod.context())
        .chain(pod.containers().map(Container::context))
        .collect();
    let others: BTreeSet<&str> = contexts
        .iter()
        .filter(|context| other_type(context))
        .map(|context| option(context, "type"))
        .collect();
    let mut what = Vec::new();
    if !others.is_empty() {
        what.push(format!(
            "{} {}",
            words::plural(others.len(), "type", "types"),
            words::quoted(others)
        ));
    }
    for field in ["user", "role"] {
        if contexts.iter().any(|context| is_set(context, field)) {
            what.push(format!("{field} may not be set"));
        }
    }
    Some(Violation {
        reason: "seLinuxOptions",
        detail: format!(
            "{who} set forbidden securityContext.seLinuxOptions: {}",
            what.join("; ")
        ),
    })
}
