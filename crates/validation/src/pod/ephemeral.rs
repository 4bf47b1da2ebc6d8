//! Containers that are added to a running pod (validation.go, validateEphemeralContainers and ValidatePodEphemeralContainersUpdate).
use std::collections::HashSet;

use super::{annotations, containers, pod_spec, volumes::Volumes};
use crate::field::{Errors, Node, same};

/// What a container that is only looked through must not have.
const REFUSED: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
const CONTAINER: &str = "io.k8s.api.core.v1.EphemeralContainer";
const DETAIL: &str = "cannot be set for an Ephemeral Container";

/// The rules for a pod whose ephemeral containers were changed, and nothing else.
pub(crate) fn update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    pod_spec(e, new);
    annotations::update(
        e,
        &old.at(&["metadata", "annotations"]),
        &new.at(&["metadata", "annotations"]),
    );
    let (old, new) = (old.get("spec"), new.get("spec"));
    let list = new.get("ephemeralContainers");
    for before in old.get("ephemeralContainers").items() {
        let name = before.get("name").text();
        let now = list.items().into_iter().find(|c| c.get("name").text() == name);
        match now {
            None => e.forbidden(
                &list,
                &format!("existing ephemeral containers \"{name}\" may not be removed\n"),
            ),
            Some(now) if !same(now.value(), before.value()) => {
                let difference = schema::internal_diff(CONTAINER, before.value(), now.value());
                e.forbidden(
                    &list,
                    &format!(
                        "existing ephemeral containers \"{name}\" may not be changed\n{}",
                        difference.unwrap_or_default()
                    ),
                );
            }
            Some(_) => {}
        }
    }
}

/// Those of a pod or template, although templates may not have any and new pods neither.
pub(super) fn all(e: &mut Errors, spec: &Node<'_>, known: &Volumes<'_>) {
    let of = |list: &str| spec.get(list).items();
    let others: HashSet<String> = of("containers")
        .iter()
        .chain(&of("initContainers"))
        .map(|c| c.get("name").text().to_owned())
        .collect();
    let mut names = others.clone();
    for container in of("ephemeralContainers") {
        containers::common(e, &container, spec, known);
        super::trimmed_image(e, &container);
        let name = container.get("name");
        if !names.insert(name.text().to_owned()) {
            e.duplicate_value(&name, &name.text().into());
        }
        let target = container.get("targetContainerName");
        if !target.is_empty() && !others.contains(target.text()) {
            e.not_found(&target);
        }
        for field in REFUSED {
            let value = container.get(field);
            // All but resources are pointed at: that they are there is enough.
            if value.present() && (field != "resources" || !value.is_empty()) {
                e.forbidden(&value, DETAIL);
            }
        }
        for mount in container.get("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.get(field).is_empty() {
                    e.forbidden(&mount.get(field), DETAIL);
                }
            }
        }
    }
}
