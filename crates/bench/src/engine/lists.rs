//! Lists of many objects, over HTTPS, whole and by pages.
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::Value;

use super::Workbench;
use super::writes::config_map;
use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};

const OBJECTS: usize = 10_000;
const PAGE: usize = 500;

/// Lists 10,000 ConfigMaps.
pub async fn measure(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let namespace = "bench-lists";
    bench.namespace(namespace).await?;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    fill(bench, &path).await?;
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

async fn fill(bench: &Workbench<'_>, path: &str) -> anyhow::Result<()> {
    let clients = (0..32).map(|client| async move {
        let mut connection = bench.door.connect().await?;
        for n in (client..OBJECTS).step_by(32) {
            connection
                .call(Method::POST, path, config_map(&format!("c{n}")))
                .await?;
        }
        anyhow::Ok(())
    });
    try_join_all(clients).await.map(drop)
}
