//! Nodes: whether they are alive, the taints that follow from it, and what happens to their pods
//! (pkg/controller/nodelifecycle, tainteviction, ttl).

mod eviction;
mod health;
mod taints;
mod ttl;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use tokio::task::JoinSet;

use crate::context::Context;

const COMPONENT: &str = "node-controller";

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    health::start(context, tasks);
    eviction::start(context, tasks);
    ttl::start(context, tasks);
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == kind)
}

/// The node says that it is ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|c| c.status == "True")
}
