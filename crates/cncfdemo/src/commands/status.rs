//! `cncfdemo status`: where things stand.
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::addresses;
use crate::cluster;
use crate::printer::Printer;
use crate::settings::Settings;

/// Services that a person may want to open.
const OPENED: [(&str, &str); 3] = [
    ("tally", "the application"),
    ("prometheus", "Prometheus"),
    ("grafana", "Grafana"),
];

/// Shows every local cluster, and the demo on the one that the settings mean.
pub async fn run(settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let mut clusters = Vec::new();
    if settings.context.is_none() {
        for name in engine::Paths::existing(&settings.state) {
            let paths = engine::Paths::new(&settings.state, &name)?;
            let Some(plan) = engine::Plan::read(&paths)? else {
                printer.text(format!(
                    "cluster    local \"{name}\"  half made: cncfdemo destroy --name {name} cleans it up"
                ));
                continue;
            };
            let state = match engine::status::ready_nodes(&paths) {
                Ok(ready) => format!("{ready} of {} nodes Ready", plan.nodes),
                Err(reason) => {
                    format!("not running ({reason}): cncfdemo bootstrap local --name {name} starts it")
                }
            };
            printer.text(format!(
                "cluster    local \"{name}\"  {state}, https://127.0.0.1:{}",
                plan.api_port
            ));
            clusters.push(json!({"name": name, "state": state, "plan": plan}));
        }
        if clusters.is_empty() {
            printer.text("no local cluster: `cncfdemo start` makes one and deploys the demo on it");
            printer.data(&json!({"clusters": [], "demo": null}));
            return Ok(());
        }
        if !settings.paths()?.kubeconfig().exists() {
            printer.data(&json!({"clusters": clusters, "demo": null}));
            return Ok(());
        }
    }
    let client = cluster::client(settings).await?;
    let pods: Api<Pod> = Api::all(client.clone());
    let pods = pods
        .list(&ListParams::default().labels("app.kubernetes.io/part-of=cncfdemo"))
        .await?;
    let rows: Vec<Value> = pods.iter().map(row).collect();
    if rows.is_empty() {
        printer.text("demo       not deployed: cncfdemo start");
    }
    for row in &rows {
        let cell = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        printer.text(format!(
            "pod        {:<36} {:<12} {:<9} restarts {}",
            cell("name"),
            cell("phase"),
            cell("ready"),
            row["restarts"]
        ));
    }
    let mut open = Vec::new();
    if let Some(namespace) = rows.first().and_then(|row| row["namespace"].as_str()) {
        for (service, what) in OPENED {
            // Not every demo has every one of them.
            if let Ok(Some(address)) = addresses::human(&client, namespace, service).await {
                open.push((service, what, address));
            }
        }
        addresses::print(&open, None, printer);
    }
    let open: BTreeMap<_, _> = open
        .into_iter()
        .map(|(service, _, address)| (service, address))
        .collect();
    printer.data(&json!({"clusters": clusters, "demo": rows, "open": open}));
    Ok(())
}

fn row(pod: &Pod) -> Value {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    let ready = containers.iter().filter(|c| c.ready).count();
    json!({
        "name": pod.metadata.name, "namespace": pod.metadata.namespace, "phase": status.phase,
        "ready": format!("{ready}/{}", containers.len()),
        "restarts": containers.iter().map(|c| c.restart_count).sum::<i32>(),
    })
}
