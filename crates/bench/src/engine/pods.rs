//! Pods from create to Ready, as a client with a watch sees it.
use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Workbench;
use crate::cli::Settings;
use crate::machine;
use crate::row::Row;
use crate::stats::{Samples, time};

/// How long a pod may take before the measurement gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A hundred pods, each created when the one before is Ready; they stay until the end.
pub async fn one_by_one(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let image = bench.place.image()?;
    let namespace = "bench-pods";
    bench.namespace(namespace).await?;
    let pods: Api<Pod> = Api::namespaced(bench.client.clone(), namespace);
    let mut ready = follow(&pods).await?;
    let mut samples = Vec::new();
    for n in 0..settings.runs(100, 20) {
        let pod = pod(&format!("pod-{n}"), &image)?;
        let begun = Instant::now();
        pods.create(&PostParams::default(), &pod).await?;
        let (_, at) = next(&mut ready).await?;
        samples.push(at.saturating_duration_since(begun));
    }
    drop(ready);
    bench.delete_namespace(namespace).await?;
    let samples = Samples::seconds(&samples);
    let (p50, p99) = (samples.quantile(0.5), samples.quantile(0.99));
    Ok(vec![
        Row::new(
            "pod create to Ready, one after the other, image present",
            format!("p50 {}, p99 {}, longest {}", time(p50), time(p99), time(samples.most())),
            samples.len(),
        )
        .value("p50_s", p50)
        .value("p99_s", p99)
        .value("max_s", samples.most())
        .goal("p50 < 100 ms", p50 < 0.1)
        .note("a real container each, `sleep` of busybox; from before the POST to the watch event with condition Ready; earlier pods keep running"),
    ])
}

/// So many pods as fast as they can be posted, until the last is Ready.
pub async fn at_once(bench: &Workbench<'_>, settings: &Settings, count: usize) -> anyhow::Result<Vec<Row>> {
    let image = bench.place.image()?;
    let (mut totals, mut middles) = (Vec::new(), Vec::new());
    for round in 0..settings.runs(3, 1) {
        if round > 0 {
            // A container without a grace period is killed two seconds after its pod is gone (kubelet, minimumGracePeriodInSeconds).
            tokio::time::sleep(Duration::from_secs(3)).await;
            machine::settle(settings.settle).await;
        }
        let namespace = format!("bench-pods-{count}-{round}");
        bench.namespace(&namespace).await?;
        let pods: Api<Pod> = Api::namespaced(bench.client.clone(), &namespace);
        let mut ready = follow(&pods).await?;
        let begun = Instant::now();
        let creating = async {
            let made = stream::iter(0..count).map(|n| {
                let (pods, image) = (&pods, &image);
                async move {
                    let pod = pod(&format!("pod-{n}"), image)?;
                    pods.create(&PostParams::default(), &pod).await?;
                    anyhow::Ok(())
                }
            });
            made.buffer_unordered(32).try_collect::<Vec<()>>().await
        };
        let following = async {
            let mut times = Vec::new();
            while times.len() < count {
                times.push(next(&mut ready).await?.1.saturating_duration_since(begun));
            }
            anyhow::Ok(times)
        };
        let (_, times) = tokio::try_join!(creating, following)?;
        let times = Samples::seconds(&times);
        totals.push(times.most());
        middles.push(times.median());
        bench.delete_namespace(&namespace).await?;
    }
    let (total, middle) = (Samples::new(totals), Samples::new(middles));
    let rate = count as f64 / total.median();
    Ok(vec![
        Row::new(
            format!("{count} pods at once, to the last one Ready"),
            format!(
                "{} ({rate:.0} pods/s), half of them after {}",
                time(total.median()),
                time(middle.median())
            ),
            total.len(),
        )
        .value("seconds", total.median())
        .value("slowest_round_s", total.most())
        .value("pods_per_s", rate)
        .goal("> 50 real pods/s", rate > 50.0)
        .note("real containers; median of the rounds, each in a namespace of its own and begun when the pods of the one before have ended"),
    ])
}

/// A pod that only sleeps.
pub(super) fn pod(name: &str, image: &str) -> anyhow::Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": image, "command": ["sleep", "3600"]}],
        },
    }))?)
}

type Ready = UnboundedReceiver<anyhow::Result<(String, Instant)>>;

/// Tells of each pod when it becomes Ready for the first time. The watch begins before this returns.
async fn follow(pods: &Api<Pod>) -> anyhow::Result<Ready> {
    let (tell, told) = unbounded_channel();
    let version = pods
        .list_metadata(&kube::api::ListParams::default())
        .await?
        .metadata
        .resource_version
        .unwrap_or_default();
    let mut events = pods
        .watch(&WatchParams::default().timeout(290), &version)
        .await?
        .boxed();
    tokio::spawn(async move {
        let mut seen = HashSet::new();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = tell.closed() => return,
            };
            let now = Instant::now();
            let news = match event {
                Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod))) => {
                    let name = pod.metadata.name.clone().unwrap_or_default();
                    if !is_ready(&pod) || !seen.insert(name.clone()) {
                        continue;
                    }
                    Ok((name, now))
                }
                Some(Ok(WatchEvent::Error(status))) => Err(anyhow::anyhow!("the watch failed: {status:?}")),
                Some(Ok(_)) => continue,
                Some(Err(failure)) => Err(failure.into()),
                None => Err(anyhow::anyhow!("the watch ended")),
            };
            let last = news.is_err();
            if tell.send(news).is_err() || last {
                return;
            }
        }
    });
    Ok(told)
}

async fn next(ready: &mut Ready) -> anyhow::Result<(String, Instant)> {
    match tokio::time::timeout(PATIENCE, ready.recv()).await {
        Ok(Some(news)) => news,
        Ok(None) => bail!("the watch of pods is gone"),
        Err(_) => bail!("no pod became Ready for {} s", PATIENCE.as_secs()),
    }
}

/// Whether a pod says that it is Ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}
