//! Prints how many durable writes a second a store takes: `durable-writes [FOLDER] [WRITERS] [SECONDS] [WATCHERS]`.
//! Watchers all watch everything that is written; with them it also prints how many events they were handed a second.
#![allow(clippy::print_stdout, reason = "a program whose purpose is to print")]
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use engine_store::{Config, Precondition};
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = arguments.next().unwrap_or_else(|| ".".to_owned());
    let writers: usize = arguments.next().map_or(Ok(64), |n| n.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |n| n.parse())?;
    let watchers: usize = arguments.next().map_or(Ok(0), |n| n.parse())?;
    let folder = tempfile::tempdir_in(parent)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Config {
            dir: Some(folder.path().to_owned()),
            ..Config::default()
        }
        .build()?;
        let seen = Arc::new(AtomicU64::new(0));
        for _ in 0..watchers {
            let mut watch = store.watch("/configmaps/", 0)?;
            let seen = seen.clone();
            tokio::spawn(async move {
                while let Some(Ok(_)) = watch.next().await {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let start = Instant::now();
        let end = start + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let (mut count, mut slowest) = (0u64, Duration::ZERO);
                    while Instant::now() < end {
                        let key = format!("/configmaps/default/c{writer}-{}", count % 50);
                        let value = json!({
                            "apiVersion": "v1", "kind": "ConfigMap",
                            "metadata": {"name": "c", "namespace": "default", "labels": {"app": "bench"}},
                            "data": {"count": count.to_string(), "text": "x".repeat(600)},
                        });
                        let begun = Instant::now();
                        store.put(&key, value, Precondition::None).await?;
                        slowest = slowest.max(begun.elapsed());
                        count += 1;
                    }
                    Ok::<_, engine_store::WriteError>((count, slowest))
                })
            })
            .collect();
        let (mut total, mut slowest) = (0, Duration::ZERO);
        for task in tasks {
            let (count, longest) = task.await??;
            total += count;
            slowest = slowest.max(longest);
        }
        let rate = total as f64 / start.elapsed().as_secs_f64();
        println!("{total} durable writes by {writers} writers: {rate:.0}/s, slowest {slowest:.1?}");
        if watchers > 0 {
            let seen = seen.load(Ordering::Relaxed);
            let rate = seen as f64 / start.elapsed().as_secs_f64();
            println!(
                "{watchers} watchers were handed {seen} of {} events: {rate:.0}/s",
                total * watchers as u64
            );
        }
        Ok(())
    })
}
