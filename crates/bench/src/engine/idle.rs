//! What a cluster costs that does nothing.
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::cli::{Peer, Settings};
use crate::process;
use crate::row::Row;
use crate::subject::Subject;

const MEMORY: &str = "resident memory, idle cluster after 10 s";

/// Memory after 10 s of idling, CPU over the 30 s after that, of a new cluster.
pub async fn measure(subject: &Subject, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let dir = subject.cluster_dir();
    if dir.exists() {
        tokio::task::block_in_place(|| subject.destroy())?;
    }
    tokio::task::block_in_place(|| subject.bootstrap())?;
    tokio::time::sleep(Duration::from_secs(10)).await;

    let pids = || ["__engine", "__runtime"].map(|role| process::of_cluster(&dir, role));
    let found = pids();
    ensure!(
        found.iter().all(|p| !p.is_empty()),
        "the cluster's processes are not all there: {found:?}"
    );
    let mut parts = Vec::new();
    for pids in &found {
        let mut sum = process::Memory::default();
        for &pid in pids {
            let memory = process::memory(pid)?;
            sum.pss += memory.pss;
            sum.rss += memory.rss;
            sum.anonymous += memory.anonymous;
        }
        parts.push(sum);
    }
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let sum = |part: fn(&process::Memory) -> u64| parts.iter().map(part).sum::<u64>();
    let (pss, rss, anonymous) = (sum(|p| p.pss), sum(|p| p.rss), sum(|p| p.anonymous));
    let memory = Row::new(
        MEMORY,
        format!(
            "PSS {:.1} MB ({:.1} of it data, the rest pages of the program's file; engine {:.1}, runtime {:.1}), RSS {:.1} MB",
            megabytes(pss),
            megabytes(anonymous),
            megabytes(parts[0].pss),
            megabytes(parts[1].pss),
            megabytes(rss)
        ),
        1,
    )
    .value("pss_mb", megabytes(pss))
    .value("rss_mb", megabytes(rss))
    .value("anonymous_mb", megabytes(anonymous))
    .goal("< 50 MB in all", megabytes(pss) < 50.0);

    let cpu = cpu(&found.concat(), settings).await?;
    ensure!(pids() == found, "the cluster's processes changed while it idled");
    Ok(vec![memory, cpu])
}

/// The same of processes that somebody else started.
pub async fn of_peer(peer: &Peer, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut sum = process::Memory::default();
    for &pid in &peer.pids {
        let memory = process::memory(pid)?;
        sum.pss += memory.pss;
        sum.rss += memory.rss;
    }
    let [pss, rss] = [sum.pss, sum.rss].map(|bytes| bytes as f64 / 1e6);
    let memory = Row::new(MEMORY, format!("PSS {pss:.0} MB, RSS {rss:.0} MB"), 1)
        .value("pss_mb", pss)
        .value("rss_mb", rss);
    Ok(vec![memory, cpu(&peer.pids, settings).await?])
}

/// CPU time of processes while nothing is asked of them.
async fn cpu(pids: &[i32], settings: &Settings) -> anyhow::Result<Row> {
    let during = Duration::from_secs(if settings.quick { 10 } else { 30 });
    let total = || {
        let each = pids.iter().map(|&pid| process::cpu(pid));
        each.sum::<anyhow::Result<Duration>>()
    };
    let (before, begun) = (total()?, Instant::now());
    tokio::time::sleep(during).await;
    let (after, wall) = (total()?, begun.elapsed());
    let percent = 100.0 * after.saturating_sub(before).as_secs_f64() / wall.as_secs_f64();
    let row = Row::new(
        format!("CPU of the idle cluster over {} s", during.as_secs()),
        format!("{percent:.3} % of a core"),
        1,
    )
    .value("percent_of_core", percent)
    .goal("< 0.5 % of a core", percent < 0.5)
    .note("engine and runtime daemon, run time of all threads from /proc/PID/task/*/schedstat");
    Ok(row)
}
