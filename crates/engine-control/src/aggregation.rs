//! Cluster roles that are made of others: the rules of every role that a selector of `aggregationRule` matches
//! (pkg/controller/clusterroleaggregation).

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::meta::Meta as _;
use crate::queue::{Outcome, Queue, run};
use crate::selector;

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
        let mut updated = (**role).clone();
        updated.rules = Some(rules);
        match context.cluster_roles.update(role, &updated).await {
            Err(error) if !Error::is_not_found(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// The rules of all matching roles in the order of their names, each once; a role is no part of itself.
fn rules(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let aggregation = role.aggregation_rule.as_ref();
    let selectors = aggregation
        .and_then(|rule| rule.cluster_role_selectors.as_deref())
        .unwrap_or_default();
    let is_part = |part: &ClusterRole| {
        let labels = part.metadata.labels.as_ref();
        part.name() != role.name() && selectors.iter().any(|s| selector::matches(s, labels))
    };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for rule in all
        .iter()
        .filter(|part| is_part(part))
        .flat_map(|part| part.rules.iter().flatten())
    {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}
