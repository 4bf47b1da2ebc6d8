//! Cluster roles that are made of others: the rules of every role that a selector of `aggregationRule` matches
//! (pkg/controller/clusterroleaggregation).

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::Meta as _;
use crate::queue::{Outcome, Queue, run};
use crate::selector;

const MANAGER: &str = "clusterrole-aggregation-controller";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    // Any role may be part of any other, and one that is made of parts may be part of a third: they are few.
    let queue: Arc<Queue<()>> = Queue::new();
    let q = Arc::clone(&queue);
    context.cluster_roles.on_change(move |_| q.add(()));
    let shared = Arc::clone(context);
    run(tasks, "role aggregation", &queue, 1, move |()| {
        sync(Arc::clone(&shared))
    });
}

async fn sync(context: Arc<Context>) -> Outcome {
    let mut all = context.cluster_roles.all();
    all.sort_by(|a, b| a.name().cmp(b.name()));
    for role in all.iter().filter(|role| role.aggregation_rule.is_some()) {
        let rules = rules(role, &all);
        if role.rules.as_deref().unwrap_or_default() == rules.as_slice() {
            continue;
        }
        // Applied: rules that another owns are let be as long as there are none of ours.
        let mut fields = json!({});
        if !rules.is_empty() {
            fields["rules"] = serde_json::to_value(rules)?;
        }
        match context.cluster_roles.apply(&role.key(), fields, MANAGER).await {
            Err(error) if !Error::is_not_found(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// The rules of all matching roles, selector by selector and then in the order of their names, each once; a role is no part of itself.
fn rules(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let aggregation = role.aggregation_rule.as_ref();
    let selectors = aggregation
        .and_then(|rule| rule.cluster_role_selectors.as_deref())
        .unwrap_or_default();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let parts = all.iter().filter(|part| {
            part.name() != role.name() && selector::matches(selector, part.metadata.labels.as_ref())
        });
        for rule in parts.flat_map(|part| part.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_selector_comes_first() {
        let role = |name: &str, of: &str, resource: &str| -> Arc<ClusterRole> {
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": name, "labels": {"of": of}},
                    "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]
                }))
                .unwrap(),
            )
        };
        let whole: ClusterRole = serde_json::from_value(json!({
            "metadata": {"name": "whole"},
            "aggregationRule": {"clusterRoleSelectors": [
                {"matchLabels": {"of": "1"}}, {"matchExpressions": [{"key": "of", "operator": "Exists"}]}]}
        }))
        .unwrap();
        let all = [
            role("a", "2", "pods"),
            role("b", "1", "nodes"),
            role("c", "2", "nodes"),
        ];
        let resources: Vec<_> = rules(&whole, &all)
            .into_iter()
            .map(|r| r.resources.unwrap().concat())
            .collect();
        assert_eq!(resources, ["nodes", "pods"]);
    }
}
