//! PodTopologyLabels: a pod learns in which zone and region its node is (plugin/pkg/admission/podtopologylabels).
use serde_json::{Map, Value};

use crate::{
    api::Api,
    json::{object, text},
    keys,
};

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// The labels that a pod gets from its node; none from a node that is not there.
pub fn labels_of(api: &Api, node: &str) -> Map<String, Value> {
    let Some(node) = api.store.get(&keys::core("nodes", "", node)) else {
        return Map::new();
    };
    let labels = &node.value()["metadata"]["labels"];
    LABELS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), labels.get(key)?.clone())))
        .collect()
}

/// A new pod that has its node already.
pub fn admit_pod(api: &Api, pod: &mut Value) {
    let labels = labels_of(api, text(pod, "/spec/nodeName"));
    if !labels.is_empty() {
        object(pod, &["metadata", "labels"]).extend(labels);
    }
}
