use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::Client;
use kube::api::{Api, ListParams};

/// Addresses at which a Service may be reached from outside the cluster, best first: a node's address with the node port
/// (the shortest way), then what the load balancer was given.
async fn candidates(client: &Client, namespace: &str, name: &str) -> anyhow::Result<Vec<String>> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = services
        .get(name)
        .await
        .with_context(|| format!("failed to find service {namespace}/{name}"))?;
    let spec = service.spec.unwrap_or_default();
    let port = spec
        .ports
        .as_ref()
        .and_then(|p| p.first())
        .context("the service has no port")?;
    let mut found = Vec::new();
    if let Some(node_port) = port.node_port {
        let nodes: Api<Node> = Api::all(client.clone());
        for node in nodes.list(&ListParams::default()).await? {
            let addresses = node.status.and_then(|s| s.addresses).unwrap_or_default();
            found.extend(
                addresses
                    .iter()
                    .filter(|a| a.type_ == "InternalIP")
                    .map(|a| format!("{}:{node_port}", a.address)),
            );
        }
    }
    let balancer = service
        .status
        .and_then(|s| s.load_balancer)
        .and_then(|b| b.ingress)
        .unwrap_or_default();
    let balanced = balancer.into_iter().filter_map(|i| i.ip.or(i.hostname));
    found.extend(balanced.map(|host| format!("{host}:{}", port.port)));
    Ok(found)
}

/// `http://HOST:PORT` of a Service that accepts a connection from here within a second.
pub async fn endpoint(client: &Client, namespace: &str, name: &str) -> anyhow::Result<String> {
    let candidates = candidates(client, namespace, name).await?;
    for address in &candidates {
        let attempt = tokio::net::TcpStream::connect(address.as_str());
        if matches!(
            tokio::time::timeout(std::time::Duration::from_secs(1), attempt).await,
            Ok(Ok(_))
        ) {
            return Ok(format!("http://{address}"));
        }
    }
    anyhow::bail!(
        "service {namespace}/{name} cannot be reached from here: tried {}",
        if candidates.is_empty() {
            "nothing, it has neither node port nor load balancer".to_owned()
        } else {
            candidates.join(", ")
        }
    )
}

/// The application that the demo has: its Service, and the label of the pods that do its work.
pub struct Application {
    /// The Service's name.
    pub service: &'static str,
    /// The pods' `app.kubernetes.io/name`.
    pub pods: &'static str,
}

const APPLICATIONS: [Application; 2] = [
    Application {
        service: "tally",
        pods: "tally",
    },
    Application {
        service: "countly",
        pods: "countly-api",
    },
];

/// Finds it.
pub async fn application(client: &Client, namespace: &str) -> anyhow::Result<Application> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    for application in APPLICATIONS {
        if services.get_opt(application.service).await?.is_some() {
            return Ok(application);
        }
    }
    anyhow::bail!("namespace {namespace} has no service tally or countly: cncfdemo start deploys one")
}

/// `http://HOST:PORT` of a Service for whoever is inside the cluster.
pub async fn inside(client: &Client, namespace: &str, name: &str) -> anyhow::Result<String> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = services
        .get(name)
        .await
        .with_context(|| format!("failed to find service {namespace}/{name}"))?;
    let ports = service.spec.and_then(|s| s.ports).unwrap_or_default();
    let port = ports.first().context("the service has no port")?.port;
    Ok(format!("http://{name}.{namespace}.svc:{port}"))
}
