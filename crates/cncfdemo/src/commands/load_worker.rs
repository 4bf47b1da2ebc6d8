//! `cncfdemo serve load-worker` and `load-start`: one of the generators of a load from inside a cluster.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use load::{Recording, Task};

use crate::cli::ServeLoadWorker;

/// `load-start` leaves the instant here for `load-worker`, which runs in the same container.
const START: &str = "/tmp/start";
/// How often a worker that waits looks for it.
const GLANCE: Duration = Duration::from_millis(10);

/// Waits for the instant, loads, and prints the recording.
pub async fn work(
    args: &ServeLoadWorker,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let task: Task = serde_json::from_str(&args.task).context("the task cannot be read")?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    tokio::spawn(async move {
        shutdown.await;
        stopped.store(true, Ordering::Relaxed);
    });
    // Hosts are looked up and requests are built before anybody waits for this worker.
    let mut plan = task.plan(None)?;
    while !Path::new(START).exists() {
        if stop.load(Ordering::Relaxed) {
            return Err(crate::exit::Interrupted.into());
        }
        tokio::time::sleep(GLANCE).await;
    }
    let text = std::fs::read_to_string(START).with_context(|| format!("failed to read {START}"))?;
    let at: i64 = text
        .trim()
        .parse()
        .with_context(|| format!("{START} holds no time"))?;
    let left = at - jiff::Timestamp::now().as_millisecond();
    let left = u64::try_from(left).map_err(|_| anyhow::anyhow!("the load was to begin {} ms ago", -left))?;
    let turn = task.turn(args.index, args.workers);
    plan.start = Some(Instant::now() + Duration::from_millis(left) + turn);
    let recording: Recording = tokio::task::spawn_blocking(move || load::run(&plan, &stop)).await??;
    print(&recording)
}

/// Leaves the instant for the worker, whole or not at all, and says what this machine's clock shows.
pub fn start(at: i64) -> anyhow::Result<()> {
    let beside = format!("{START}.new");
    std::fs::write(&beside, at.to_string()).with_context(|| format!("failed to write {beside}"))?;
    std::fs::rename(&beside, START).with_context(|| format!("failed to write {START}"))?;
    say(&format!("{}\n", jiff::Timestamp::now().as_millisecond()))
}

fn print(recording: &Recording) -> anyhow::Result<()> {
    say(&recording.to_lines()?)
}

/// These roles talk to the program that started them, and have no printer.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
