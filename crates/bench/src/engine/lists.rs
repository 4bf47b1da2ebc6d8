//! Lists of many objects, over HTTPS, whole and by pages, in every form that clients ask for.
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use super::Workbench;
use super::writes::config_map;
use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};

const OBJECTS: usize = 10_000;
const PAGE: usize = 500;
/// What kubectl accepts for `get`.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

/// Lists 10,000 ConfigMaps.
pub async fn measure(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let namespace = "bench-lists";
    bench.namespace(namespace).await?;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    fill(bench, &path, config_map).await?;
    let mut connection = bench.door.connect().await?;

    let runs = settings.runs(10, 3);
    let (mut whole, mut bytes) = (Vec::new(), 0);
    for _ in 0..runs {
        let begun = Instant::now();
        let body = connection.call(Method::GET, &path, Bytes::new()).await?;
        whole.push(begun.elapsed());
        bytes = body.len();
        let list: Value = serde_json::from_slice(&body)?;
        let found = list["items"].as_array().map_or(0, Vec::len);
        ensure!(found >= OBJECTS, "the list has {found} of {OBJECTS} objects");
    }
    let mut paged = Vec::new();
    for _ in 0..runs {
        let begun = Instant::now();
        let mut next = String::new();
        let mut found = 0;
        loop {
            let body = connection
                .call(
                    Method::GET,
                    &format!("{path}?limit={PAGE}&continue={next}"),
                    Bytes::new(),
                )
                .await?;
            let page: Value = serde_json::from_slice(&body)?;
            found += page["items"].as_array().map_or(0, Vec::len);
            match page["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => break,
            }
        }
        paged.push(begun.elapsed());
        ensure!(found >= OBJECTS, "the pages have {found} of {OBJECTS} objects");
    }
    let (whole, paged) = (Samples::seconds(&whole), Samples::seconds(&paged));
    Ok(vec![
        Row::new(
            "list of 10,000 ConfigMaps in one answer",
            format!("median {}, {:.1} MB", time(whole.median()), bytes as f64 / 1e6),
            whole.len(),
        )
        .value("median_s", whole.median())
        .value("bytes", bytes as f64)
        .note("from the request to the last byte, over HTTPS; the client does not decode within that time"),
        Row::new(
            format!("list of 10,000 ConfigMaps by pages of {PAGE}"),
            format!("median {}", time(paged.median())),
            paged.len(),
        )
        .value("median_s", paged.median())
        .note("with the client decoding each page, as kubectl does"),
    ])
}

/// Lists 10,000 pods that no node runs: as JSON, as protobuf, as the tables that kubectl asks for, and by kubectl itself.
pub async fn pods(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let namespace = "bench-pods";
    bench.namespace(namespace).await?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    fill(bench, &path, pod).await?;
    let mut connection = bench.door.connect().await?;
    let runs = settings.runs(10, 3);
    let mut rows = Vec::new();
    for (form, accept) in [
        ("JSON", "application/json"),
        ("protobuf", "application/vnd.kubernetes.protobuf"),
        ("a table", TABLE),
    ] {
        let (mut took, mut bytes) = (Vec::new(), 0);
        for _ in 0..runs {
            let begun = Instant::now();
            bytes = connection.get_as(accept, &path).await?.len();
            took.push(begun.elapsed());
        }
        let took = Samples::seconds(&took);
        rows.push(
            Row::new(
                format!("list of 10,000 pods as {form}"),
                format!("median {}, {:.1} MB", time(took.median()), bytes as f64 / 1e6),
                took.len(),
            )
            .value("median_s", took.median())
            .value("bytes", bytes as f64)
            .note(
                "from the request to the last byte, over HTTPS; the client does not decode within that time",
            ),
        );
    }
    let kubeconfig = bench.place.kubeconfig();
    let arguments = ["get", "pods", "--namespace", namespace, "--no-headers"];
    let kubectl = || {
        Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(arguments)
            .output()
    };
    let mut took = Vec::new();
    for _ in 0..settings.runs(5, 3) {
        let begun = Instant::now();
        let Ok(output) = tokio::task::block_in_place(kubectl) else {
            rows.push(Row::new(
                "kubectl get pods, 10,000 of them",
                "kubectl is not installed",
                0,
            ));
            return Ok(rows);
        };
        took.push(begun.elapsed());
        let lines = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(
            output.status.success() && lines >= OBJECTS,
            "kubectl shows {lines} of {OBJECTS} pods: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let took = Samples::seconds(&took);
    rows.push(
        Row::new(
            "kubectl get pods, 10,000 of them",
            format!("median {}", time(took.median())),
            took.len(),
        )
        .value("median_s", took.median())
        .note("the whole command; it asks for tables of 500 rows"),
    );
    Ok(rows)
}

/// A pod that waits for a scheduler that is not there, so that the list is all that is measured.
fn pod(name: &str) -> Bytes {
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": "web", "tier": "front"}},
        "spec": {"schedulerName": "nobody", "containers": [{
            "name": "web", "image": "registry.example/web:1.2.3", "args": ["--listen", ":8080"],
            "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "LEVEL", "value": "info"}],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        }]},
    });
    Bytes::from(pod.to_string())
}

async fn fill(bench: &Workbench<'_>, path: &str, object: fn(&str) -> Bytes) -> anyhow::Result<()> {
    let clients = (0..32).map(|client| async move {
        let mut connection = bench.door.connect().await?;
        for n in (client..OBJECTS).step_by(32) {
            connection
                .call(Method::POST, path, object(&format!("c{n}")))
                .await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await.map(drop)
}
