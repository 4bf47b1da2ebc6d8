//! Where a person opens the demo.
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::Api;

use crate::bench;
use crate::cli::DASHBOARD_PORT;
use crate::printer::Printer;

/// What a Service's load balancer was given, if anything, and its port.
pub async fn balancer(
    client: &Client,
    namespace: &str,
    service: &str,
) -> anyhow::Result<(Option<String>, i32)> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = services.get(service).await?;
    let ports = found.spec.and_then(|s| s.ports);
    let port = ports.and_then(|p| p.first().map(|p| p.port)).unwrap_or(80);
    let ingress = found.status.and_then(|s| s.load_balancer).and_then(|b| b.ingress);
    let first = ingress.and_then(|list| list.into_iter().next());
    Ok((first.and_then(|i| i.ip.or(i.hostname)), port))
}

/// The load balancer's address, on this machine by a name of its own; else what answers, if anything does.
pub async fn human(client: &Client, namespace: &str, service: &str) -> anyhow::Result<Option<String>> {
    Ok(match balancer(client, namespace, service).await? {
        (Some(host), port) if host == "127.0.0.1" => Some(format!("http://{service}.localhost:{port}")),
        (Some(host), port) => Some(format!("http://{host}:{port}")),
        (None, _) => bench::endpoint(client, namespace, service).await.ok(),
    })
}

/// Prints services with what they are and where; the dashboard's address comes second.
pub fn print(found: &[(&str, &str, String)], dashboard: Option<u16>, printer: &Printer) {
    let dashboard = format!("http://localhost:{}", dashboard.unwrap_or(DASHBOARD_PORT));
    let mut lines: Vec<(&str, &str)> = found
        .iter()
        .map(|(_, what, address)| (address.as_str(), *what))
        .collect();
    lines.insert(
        lines.len().min(1),
        (&dashboard, "live dashboard (cncfdemo dashboard)"),
    );
    for (index, (address, what)) in lines.into_iter().enumerate() {
        let label = if index == 0 { "Open" } else { "" };
        printer.text(format!("{label:<10} {address:<34} {what}"));
    }
}
