//! How soon watchers hear of a change: one of them, and five thousand.
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Workbench;
use super::writes::config_map;
use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};

/// Watchers of one resource.
const MANY: usize = 5000;

/// What a watcher heard: the number of the change, and when.
type Heard = (usize, Instant);

/// One watcher, one change after the other.
pub async fn latency(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let (path, mut changes) = prepare(bench, "bench-watch").await?;
    let (tell, mut told) = unbounded_channel();
    let _watcher = watch(bench, &path, tell).await?;
    let (mut after_write, mut after_answer) = (Vec::new(), Vec::new());
    for n in 0..settings.runs(500, 100) {
        let begun = Instant::now();
        changes
            .call(Method::POST, &path, config_map(&format!("change-{n}")))
            .await?;
        let answered = Instant::now();
        let heard = all(&mut told, n, 1).await?[0];
        after_write.push(heard.saturating_duration_since(begun));
        after_answer.push(heard.saturating_duration_since(answered));
    }
    let (write, answer) = (Samples::seconds(&after_write), Samples::seconds(&after_answer));
    Ok(vec![
        Row::new(
            "watch latency, one watcher",
            format!("p50 {}, p99 {}", time(write.quantile(0.5)), time(write.quantile(0.99))),
            write.len(),
        )
        .value("p50_s", write.quantile(0.5))
        .value("p99_s", write.quantile(0.99))
        .value("after_answer_p50_s", answer.quantile(0.5))
        .note("from before the POST, so with the durable write, to the event's bytes at the watcher, both over HTTPS"),
    ])
}

/// Five thousand watchers, each with a TLS connection of its own, and a change that all of them must hear.
pub async fn many(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let (path, mut changes) = prepare(bench, "bench-watchers").await?;
    let (tell, mut told) = unbounded_channel();
    let (before, begun) = (bench.resident()?, Instant::now());
    let connecting = stream::iter(0..MANY).map(|_| watch(bench, &path, tell.clone()));
    let watchers: Vec<Watcher> = connecting.buffer_unordered(64).try_collect().await?;
    let connected = begun.elapsed();
    let each = bench
        .resident()?
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before) as f64 / MANY as f64);

    let (mut halves, mut lasts) = (Vec::new(), Vec::new());
    for n in 0..settings.runs(20, 5) {
        let begun = Instant::now();
        changes
            .call(Method::POST, &path, config_map(&format!("change-{n}")))
            .await?;
        let heard = all(&mut told, n, MANY).await?;
        let times = Samples::new(
            heard
                .iter()
                .map(|at| at.saturating_duration_since(begun).as_secs_f64()),
        );
        halves.push(times.median());
        lasts.push(times.most());
    }
    drop(watchers);
    let (half, last) = (Samples::new(halves), Samples::new(lasts));
    Ok(vec![
        Row::new(
            "5,000 watchers of one resource: a change until all have it",
            format!(
                "median {} (half of them {}), {:.0} events/s{}",
                time(last.median()),
                time(half.median()),
                MANY as f64 / last.median(),
                each.map_or(String::new(), |bytes| format!(", {:.0} kB each", bytes / 1e3))
            ),
            last.len(),
        )
        .value("last_median_s", last.median())
        .value("half_median_s", half.median())
        .value("connect_s", connected.as_secs_f64())
        .known("engine_bytes_per_watcher", each)
        .note(format!(
            "{MANY} TLS connections, opened in {}; all clients run on the same processors as the engine; kB are resident memory \
             of the engine per watcher",
            time(connected.as_secs_f64())
        )),
    ])
}

async fn prepare(
    bench: &Workbench<'_>,
    namespace: &str,
) -> anyhow::Result<(String, crate::wire::Connection)> {
    bench.namespace(namespace).await?;
    Ok((
        format!("/api/v1/namespaces/{namespace}/configmaps"),
        bench.door.connect().await?,
    ))
}

/// A watch that ends when this is dropped.
struct Watcher {
    task: tokio::task::JoinHandle<()>,
    _connection: crate::wire::Connection,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins a watch and tells of every `change-N` in it. Returns when the server has answered the request.
async fn watch(bench: &Workbench<'_>, path: &str, tell: UnboundedSender<Heard>) -> anyhow::Result<Watcher> {
    let mut connection = bench.door.connect().await?;
    let (status, mut body) = connection
        .begin(
            Method::GET,
            &format!("{path}?watch=true&timeoutSeconds=600"),
            Bytes::new(),
        )
        .await?;
    ensure!(status.is_success(), "the watch was answered with {status}");
    let task = tokio::spawn(async move {
        let mut line = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let now = Instant::now();
            let Some(bytes) = frame.data_ref() else { continue };
            line.extend_from_slice(bytes);
            while let Some(end) = line.iter().position(|&b| b == b'\n') {
                if let Some(n) = number(&line[..end]) {
                    let _ = tell.send((n, now));
                }
                line.drain(..=end);
            }
        }
    });
    Ok(Watcher {
        task,
        _connection: connection,
    })
}

/// The N of the first `"change-N"` in an event.
fn number(event: &[u8]) -> Option<usize> {
    const MARK: &[u8] = b"\"change-";
    let at = event.windows(MARK.len()).position(|w| w == MARK)? + MARK.len();
    let digits = event[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&event[at..at + digits]).ok()?.parse().ok()
}

/// When each of so many watchers heard of this change.
async fn all(
    told: &mut UnboundedReceiver<Heard>,
    change: usize,
    watchers: usize,
) -> anyhow::Result<Vec<Instant>> {
    let mut heard = Vec::with_capacity(watchers);
    while heard.len() < watchers {
        let next = tokio::time::timeout(Duration::from_secs(30), told.recv()).await;
        match next.with_context(|| {
            format!(
                "{} of {watchers} watchers heard of change {change} within 30 s",
                heard.len()
            )
        })? {
            Some((n, at)) if n == change => heard.push(at),
            Some((n, _)) => bail!("change {n} was heard again, or late, during change {change}"),
            None => bail!("all watches have ended"),
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changes_number_is_found() {
        assert_eq!(
            number(br#"{"type":"ADDED","object":{"metadata":{"name":"change-12"}}}"#),
            Some(12)
        );
        assert_eq!(number(br#"{"name":"kube-root-ca.crt"}"#), None);
    }
}
