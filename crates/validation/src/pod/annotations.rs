//! Annotations that mean something to pods (validation.go, ValidatePodSpecificAnnotations and what compares them with fields).
use super::{all_containers, volumes};
use crate::field::{Errors, Node};

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const LOCAL: &str = "localhost/";

/// The annotations of a pod or a template.
pub(super) fn annotations(e: &mut Errors, annotations: &Node<'_>, spec: &Node<'_>) {
    let mirror = annotations.key(MIRROR);
    if mirror.present() && spec.get("nodeName").is_empty() {
        e.invalid(&mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = annotations.key(DELETION_COST);
    if cost.present() && !is_cost(cost.text()) {
        e.invalid(&cost, "must be a 32bit integer");
    }
    if annotations.key(SECCOMP_POD).present() {
        seccomp(e, &annotations.get(SECCOMP_POD));
    }
    for (key, _) in annotations.entries() {
        if key.starts_with(SECCOMP_CONTAINER) {
            seccomp(e, &annotations.get(key));
        }
    }
    for (key, profile) in annotations.entries() {
        let Some(name) = key.strip_prefix(APP_ARMOR) else {
            continue;
        };
        let known = all_containers(spec).iter().any(|c| c.get("name").text() == name);
        if !known {
            e.invalid_text(&profile, name, "container not found");
        }
        let text = profile.text();
        let sound = matches!(text, "" | "runtime/default" | "unconfined") || text.starts_with(LOCAL);
        if !sound {
            e.invalid(&profile, &format!("invalid AppArmor profile name: {text:?}"));
        }
    }
}

/// A number without a plus or zeros before it (`pkg/apis/core/helper` GetDeletionCostFromPodAnnotations).
fn is_cost(text: &str) -> bool {
    let first = text.starts_with(|c: char| matches!(c, '-' | '1'..='9')) || text == "0";
    first && text.parse::<i32>().is_ok()
}

fn seccomp(e: &mut Errors, profile: &Node<'_>) {
    let text = profile.text();
    if matches!(text, "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match text.strip_prefix(LOCAL) {
        Some(path) => volumes::descending(e, &profile.holding(&path.into())),
        None => e.invalid(profile, "must be a valid seccomp profile"),
    }
}

/// What may not come, go or change once a pod is there.
pub(super) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    for (key, before) in old.entries() {
        if new.key(key).value() == before.value() {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            e.forbidden(&before, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            e.forbidden(&before, "may not remove or update mirror pod annotation");
        }
    }
    for (key, added) in new.entries() {
        if old.key(key).present() {
            continue;
        }
        if key.starts_with(APP_ARMOR) {
            e.forbidden(&added, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            e.forbidden(&added, "may not add mirror pod annotation");
        }
    }
}

fn profile<'a>(holder: &Node<'a>, field: &str) -> Node<'a> {
    holder.at(&["securityContext", field])
}

/// Where annotations and fields say the same thing they have to agree.
pub(super) fn agree(e: &mut Errors, annotations: &Node<'_>, spec: &Node<'_>) {
    if annotations.key(SECCOMP_POD).present() {
        agrees(
            e,
            annotations.key(SECCOMP_POD).text(),
            &profile(spec, "seccompProfile"),
            "seccomp",
        );
    }
    for container in all_containers(spec) {
        let annotation = annotations.key(&format!("{SECCOMP_CONTAINER}{}", container.get("name").text()));
        if annotation.present() {
            agrees(
                e,
                annotation.text(),
                &profile(&container, "seccompProfile"),
                "seccomp",
            );
        }
    }
    if spec.at(&["os", "name"]).text() == "windows" {
        return;
    }
    for container in all_containers(spec) {
        let annotation = annotations.key(&format!("{APP_ARMOR}{}", container.get("name").text()));
        if !annotation.present() {
            continue;
        }
        let own = profile(&container, "appArmorProfile");
        let of_pod = profile(spec, "appArmorProfile");
        // The pod's profile is each container's, and named there.
        let effective = if own.present() {
            own
        } else {
            own.holding(of_pod.value())
        };
        agrees(e, annotation.text(), &effective, "apparmor");
    }
}

fn agrees(e: &mut Errors, annotation: &str, profile: &Node<'_>, what: &str) {
    let kind = profile.get("type");
    let agreed = match kind.text() {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => annotation.starts_with(LOCAL),
        _ => true,
    };
    if !agreed {
        return e.forbidden(&kind, &format!("{what} type in annotation and field must match"));
    }
    let local = profile.get("localhostProfile");
    if kind.text() == "Localhost" && annotation.strip_prefix(LOCAL) != local.value().as_str() {
        e.forbidden(
            &local,
            &format!("{what} profile in annotation and field must match"),
        );
    }
}
