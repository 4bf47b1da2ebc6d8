//! Requests and limits of a pod as a whole (validation.go, validatePodResources).
use std::collections::BTreeMap;

use kube_types::Quantity;

use super::{claims, resources};
use crate::field::{Errors, Node};

type Amounts<'a> = BTreeMap<&'a str, Quantity>;

pub(super) fn pod_resources(e: &mut Errors, spec: &Node<'_>) {
    let own = spec.get("resources");
    if !own.present() {
        return;
    }
    if spec.at(&["os", "name"]).text() == "windows" {
        return e.forbidden(&own, "may not be set for a windows pod");
    }
    if own.get("claims").present() {
        e.forbidden(
            &own.get("claims"),
            "claims may not be set for Resources at pod-level",
        );
    }
    resources::pod_requirements(e, &own);
    claims::of_container(e, &own.get("claims"), spec);
    for (name, sum) in aggregate(spec, "requests") {
        let request = own.get("requests").key(name);
        covers(e, &request, &sum, "requests");
    }
    for (name, sum) in aggregate(spec, "limits") {
        if name.starts_with("hugepages-") {
            covers(e, &own.get("limits").key(name), &sum, "limits");
        }
    }
    for (at, container) in spec.get("containers").items().iter().enumerate() {
        for (name, limit) in container.at(&["resources", "limits"]).entries() {
            let bound = own.get("limits").key(name).quantity();
            if let (Some(limit), Some(bound)) = (limit.quantity(), bound)
                && limit > bound
            {
                // Upstream's path is not one of the object.
                let path = format!("{}.containers[{at}][{name}].limits", own.path());
                e.invalid_text(
                    &own.renamed(path),
                    &limit.to_string(),
                    &format!("must be less than or equal to pod limits of {bound}"),
                );
            }
        }
    }
}

fn covers(e: &mut Errors, own: &Node<'_>, sum: &Quantity, what: &str) {
    if let Some(amount) = own.quantity().filter(|amount| sum > amount) {
        e.invalid_text(
            own,
            &amount.to_string(),
            &format!("must be greater than or equal to aggregate container {what} of {sum}"),
        );
    }
}

/// What the containers of a pod want at most at any one time (component-helpers `resource/helpers.go`
/// AggregateContainerRequests).
fn aggregate<'a>(spec: &Node<'a>, what: &str) -> Amounts<'a> {
    let amounts = |container: &Node<'a>| -> Amounts<'a> {
        container
            .at(&["resources", what])
            .entries()
            .into_iter()
            .filter_map(|(name, node)| Some((name, node.quantity()?)))
            .collect()
    };
    let (mut running, mut sidecars, mut most) = (Amounts::new(), Amounts::new(), Amounts::new());
    for container in spec.get("containers").items() {
        add(&mut running, &amounts(&container));
    }
    for container in spec.get("initContainers").items() {
        let own = amounts(&container);
        if container.get("restartPolicy").text() == "Always" {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            raise(&mut most, &sidecars);
        } else {
            let mut at_once = own;
            add(&mut at_once, &sidecars);
            raise(&mut most, &at_once);
        }
    }
    raise(&mut running, &most);
    running
}

fn add<'a>(to: &mut Amounts<'a>, more: &Amounts<'a>) {
    for (name, amount) in more {
        let sum = match to.get(name) {
            Some(before) => before.add(amount),
            None => amount.clone(),
        };
        to.insert(name, sum);
    }
}

fn raise<'a>(to: &mut Amounts<'a>, others: &Amounts<'a>) {
    for (name, amount) in others {
        if to.get(name).is_none_or(|before| before < amount) {
            to.insert(name, amount.clone());
        }
    }
}
