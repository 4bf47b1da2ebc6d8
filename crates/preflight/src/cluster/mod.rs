//! Clusters, judged from what their API answered and what a short-lived pod saw. Collected by the binary's `doctor`.
mod checks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use checks::CHECKS;

use crate::facts::document;

document! {
    /// What a cluster's API answered. Objects are as the API gives them; a list that could not be read is named in `unseen`.
    ClusterFacts {
        /// `gitVersion` of the API server.
        version: String,
        /// What could not be read, and why.
        unseen: BTreeMap<String, String>,
        /// Nodes.
        nodes: Vec<Value>,
        /// Pods.
        pods: Vec<Value>,
        /// Services.
        services: Vec<Value>,
        /// EndpointSlices.
        endpoint_slices: Vec<Value>,
        /// Events.
        events: Vec<Value>,
        /// Deployments.
        deployments: Vec<Value>,
        /// DaemonSets.
        daemon_sets: Vec<Value>,
        /// PodDisruptionBudgets.
        disruption_budgets: Vec<Value>,
        /// End of the API server's certificate, and of the client's, seconds since 1970.
        certificates: BTreeMap<String, i64>,
        /// What a pod inside the cluster saw.
        probe: Option<Probe>,
    }

    /// What a pod inside the cluster saw.
    Probe {
        /// Why there was none, where there was none.
        absent: String,
        /// The answer to asking for `kubernetes.default.svc`: an address or an error.
        name: String,
        /// Whether the name was resolved.
        name_resolved: bool,
        /// The answer of the API at the service's address.
        api: String,
        /// Whether the API answered.
        api_reached: bool,
    }
}

/// A string somewhere in an object, or nothing.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `namespace/name`, or the name.
fn named(object: &Value) -> String {
    match text(object, "/metadata/namespace") {
        "" => text(object, "/metadata/name").to_owned(),
        namespace => format!("{namespace}/{}", text(object, "/metadata/name")),
    }
}

/// The elements of a list somewhere in an object.
fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
