//! From the command to every node Ready: a new cluster, one whose processes were killed, and an engine that was killed
//! under a living runtime daemon.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cli::Settings;
use crate::process;
use crate::row::Row;
use crate::stats::{Samples, time};
use crate::subject::Subject;

const GOAL: &str = "< 0.3 s";

/// Measures all three, and destroy.
pub fn measure(subject: &Subject, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    tokio::task::block_in_place(|| {
        let runs = settings.runs(10, 3);
        let (mut first, mut again, mut mended, mut destroyed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            first.push(subject.bootstrap()?);
            mended.push(kill_engine(&subject.cluster_dir())?);
            kill_all(&subject.cluster_dir())?;
            again.push(subject.bootstrap()?);
            destroyed.push(subject.destroy()?);
        }
        let row = |what: &str, samples: &[Duration]| {
            let samples = Samples::seconds(samples);
            let (median, p95) = (samples.median(), samples.quantile(0.95));
            let row = Row::new(
                what,
                format!("median {}, p95 {}", time(median), time(p95)),
                samples.len(),
            );
            (row.value("median_s", median).value("p95_s", p95), median)
        };
        let (first, median) = row("cluster to node Ready, new", &first);
        let first = first.goal(GOAL, median < 0.3).note(
            "wall-clock time of `bootstrap local`, which waits until the engine reports its node Ready; certificates and all state are made anew",
        );
        let (again, median) = row(
            "cluster to node Ready, after kill -9 of all its processes",
            &again,
        );
        let again = again.goal(GOAL, median < 0.3);
        let (mended, _) = row("engine killed with -9 to its node Ready again", &mended);
        let (destroyed, _) = row("destroy", &destroyed);
        Ok(vec![
            first,
            again,
            mended.note("restarted by the runtime daemon, nobody asked it to"),
            destroyed,
        ])
    })
}

fn kill_all(dir: &Path) -> anyhow::Result<()> {
    let both = || ["__runtime", "__engine"].map(|role| process::of_cluster(dir, role));
    ensure!(
        both().iter().all(|pids| !pids.is_empty()),
        "the processes of {} are not all there",
        dir.display()
    );
    // Each of the two starts the other anew, so one round may not be enough.
    let begun = Instant::now();
    let mut quiet = 0;
    while quiet < 10 {
        let left = both().concat();
        quiet = if left.is_empty() { quiet + 1 } else { 0 };
        for pid in left {
            // It may have ended by itself since.
            let _ = process::kill(pid);
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(5),
            "killed processes of {} do not go",
            dir.display()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Kills the engine and waits until its successor reports the node Ready in `run/ready`, the file that `bootstrap` reads.
fn kill_engine(dir: &Path) -> anyhow::Result<Duration> {
    let [old] = process::of_cluster(dir, "__engine")[..] else {
        anyhow::bail!("there should be one engine for {}", dir.display());
    };
    let begun = Instant::now();
    process::kill(old)?;
    loop {
        let told = fs::read_to_string(dir.join("run/ready")).unwrap_or_default();
        if let Some((pid, count)) = told.trim().split_once(' ')
            && pid != old.to_string()
            && count != "0"
        {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > Duration::from_secs(30) {
            return Err(anyhow::anyhow!("{told:?}")).context("the engine was not restarted within 30 s");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
