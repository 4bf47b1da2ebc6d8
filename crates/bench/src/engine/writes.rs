//! Durable writes: over HTTPS with client certificates, in the store alone, and what one sync costs on this disk.
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_store::Precondition;
use futures::future::try_join_all;
use http::Method;
use serde_json::json;

use super::Workbench;
use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};

/// Clients that write at the same time.
const CLIENTS: usize = 64;
/// Characters of text in each ConfigMap.
const TEXT: usize = 600;

/// ConfigMaps created by 64 clients, each over a TLS connection of its own.
pub async fn over_https(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let during = Duration::from_secs(3);
    let (mut rates, mut costs, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..settings.runs(3, 1) {
        let namespace = format!("bench-writes-{round}");
        bench.namespace(&namespace).await?;
        let connections = try_join_all((0..CLIENTS).map(|_| bench.door.connect())).await?;
        let (cpu, begun) = (bench.cpu()?, Instant::now());
        let end = begun + during;
        let clients = connections
            .into_iter()
            .enumerate()
            .map(|(client, mut connection)| {
                let path = format!("/api/v1/namespaces/{namespace}/configmaps");
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    while Instant::now() < end {
                        let begun = Instant::now();
                        connection
                            .call(
                                Method::POST,
                                &path,
                                config_map(&format!("c{client}-{}", took.len())),
                            )
                            .await?;
                        took.push(begun.elapsed().as_secs_f64());
                    }
                    anyhow::Ok(took)
                })
            });
        let mut done = 0;
        for took in try_join_all(clients).await? {
            let took = took?;
            done += took.len();
            latencies.extend(took);
        }
        let wall = begun.elapsed().as_secs_f64();
        rates.push(done as f64 / wall);
        if let Some((now, before)) = bench.cpu()?.zip(cpu) {
            costs.push(now.saturating_sub(before).as_secs_f64() * 1e6 / done as f64);
        }
    }
    let (rates, latencies) = (Samples::new(rates), Samples::new(latencies));
    let cost = (!costs.is_empty()).then(|| Samples::new(costs).median());
    Ok(vec![
        Row::new(
            format!("durable writes over HTTPS, {CLIENTS} clients creating ConfigMaps"),
            format!(
                "{:.0}/s, p50 {}, p99 {}{}",
                rates.median(),
                time(latencies.quantile(0.5)),
                time(latencies.quantile(0.99)),
                cost.map_or(String::new(), |us| format!(", {us:.0} µs of its CPU each"))
            ),
            rates.len(),
        )
        .value("writes_per_s", rates.median())
        .value("least_writes_per_s", rates.least())
        .value("p50_s", latencies.quantile(0.5))
        .value("p99_s", latencies.quantile(0.99))
        .known("engine_cpu_us", cost)
        .goal("> 5,000/s", rates.median() > 5000.0)
        .note("each acknowledged after fsync; the 64 clients and their TLS run on the same processors as the engine"),
    ])
}

/// A ConfigMap as a request body.
pub(super) fn config_map(name: &str) -> Bytes {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "bench"}}, "data": {"text": "x".repeat(TEXT)},
    });
    Bytes::from(object.to_string())
}

/// The crate `engine-store` by itself, and a bare write and sync on the same disk.
pub async fn in_the_store(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&settings.scratch)?;
    let during = Duration::from_secs(3);
    let mut rates = Vec::new();
    for round in 0..settings.runs(3, 1) {
        let config = engine_store::Config {
            dir: Some(folder.path().join(round.to_string())),
            ..engine_store::Config::default()
        };
        let store = config.build()?;
        let begun = Instant::now();
        let end = begun + during;
        let clients = (0..CLIENTS).map(|client| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut count = 0u64;
                while Instant::now() < end {
                    let key = format!("/configmaps/default/c{client}-{count}");
                    let object = json!({
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": "c", "namespace": "default"}, "data": {"text": "x".repeat(TEXT)},
                    });
                    store.put(&key, object, Precondition::None).await?;
                    count += 1;
                }
                Ok::<_, engine_store::WriteError>(count)
            })
        });
        let mut done = 0;
        for count in try_join_all(clients).await? {
            done += count?;
        }
        rates.push(done as f64 / begun.elapsed().as_secs_f64());
    }
    let rates = Samples::new(rates);
    let syncs = tokio::task::block_in_place(|| syncs(folder.path()))?;
    Ok(vec![
        Row::new(
            format!("durable writes in the store alone, {CLIENTS} writers"),
            format!("{:.0}/s", rates.median()),
            rates.len(),
        )
        .value("writes_per_s", rates.median())
        .goal("> 5,000/s", rates.median() > 5000.0),
        Row::new(
            "one write and fdatasync on this disk",
            format!(
                "p50 {}, p99 {}",
                time(syncs.quantile(0.5)),
                time(syncs.quantile(0.99))
            ),
            syncs.len(),
        )
        .value("p50_s", syncs.quantile(0.5)),
    ])
}

fn syncs(folder: &std::path::Path) -> anyhow::Result<Samples> {
    let mut file = File::create(folder.join("syncs"))?;
    let mut samples = Vec::new();
    for _ in 0..500 {
        let begun = Instant::now();
        file.write_all(&[b'x'; 1024])?;
        file.sync_data()?;
        samples.push(begun.elapsed());
    }
    Ok(Samples::seconds(&samples))
}
