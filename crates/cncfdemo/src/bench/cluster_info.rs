use k8s_openapi::api::core::v1::{Event, Node};
use kube::Client;
use kube::api::{Api, ListParams};
use results::{Cluster, ClusterEvent};

/// What the API says about the cluster.
pub async fn cluster(client: &Client) -> Result<Cluster, kube::Error> {
    let version = client.apiserver_version().await?.git_version;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes.list(&ListParams::default()).await?;
    let node = |node: Node| {
        let status = node.status.unwrap_or_default();
        let capacity = status.capacity.unwrap_or_default();
        let quantity = |name: &str| capacity.get(name).map(|q| q.0.clone()).unwrap_or_default();
        let info = status.node_info.unwrap_or_default();
        let label = |name: &str| node.metadata.labels.as_ref()?.get(name).cloned();
        results::Node {
            provider_id: node.spec.and_then(|s| s.provider_id),
            machine: label("node.kubernetes.io/instance-type"),
            name: node.metadata.name.unwrap_or_default(),
            cpu: quantity("cpu"),
            memory: quantity("memory"),
            kernel: info.kernel_version,
            os: info.os_image,
            runtime: info.container_runtime_version,
        }
    };
    Ok(Cluster {
        version,
        nodes: nodes.into_iter().map(node).collect(),
    })
}

/// Events of a namespace since an instant, in order of time.
pub async fn events(
    client: &Client,
    namespace: &str,
    since: jiff::Timestamp,
) -> Result<Vec<ClusterEvent>, kube::Error> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let mut found: Vec<ClusterEvent> = events
        .list(&ListParams::default())
        .await?
        .into_iter()
        .filter_map(|event| {
            let time = event
                .event_time
                .map(|t| t.0)
                .or_else(|| event.last_timestamp.map(|t| t.0))?;
            let t = time.duration_since(since).as_secs_f64();
            let object = event.involved_object;
            (t >= -1.0).then(|| ClusterEvent {
                t,
                kind: event.type_.unwrap_or_default(),
                reason: event.reason.unwrap_or_default(),
                object: format!(
                    "{}/{}",
                    object.kind.unwrap_or_default().to_lowercase(),
                    object.name.unwrap_or_default()
                ),
                message: event.message.unwrap_or_default(),
                count: event
                    .series
                    .and_then(|s| s.count)
                    .or(event.count)
                    .and_then(|c| u32::try_from(c).ok()),
            })
        })
        .collect();
    found.sort_by(|a, b| a.t.total_cmp(&b.t));
    Ok(found)
}
