//! The crate `load`, in a process of its own.
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;
use load::{Mode, Plan, Target, http_request};
use serde_json::{Value, json};

use crate::cli::Generate;

/// One run with one thread.
pub fn command(url: &str, connections: u32, seconds: u64) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "internal",
        "generate",
        url,
        &connections.to_string(),
        &seconds.to_string(),
    ]);
    Ok(command)
}

/// Requests and requests per second from what it printed.
pub fn parse(text: &str) -> anyhow::Result<(f64, f64)> {
    let printed: Value = serde_json::from_str(text)?;
    ensure!(printed["failed"] == 0, "the generator saw errors: {text}");
    Ok((
        printed["completed"].as_f64().unwrap_or(0.0),
        printed["rate"].as_f64().unwrap_or(0.0),
    ))
}

/// The child's part.
pub fn generate(args: &Generate) -> anyhow::Result<()> {
    let target = Target::parse(&args.url)?;
    let plan = Plan {
        address: target.resolve()?,
        requests: vec![http_request(&target.host, &target.path, None)].into(),
        mode: Mode::Closed,
        duration: Duration::from_secs(args.seconds),
        connections: args.connections,
        threads: 1,
        timeout: Duration::from_secs(2),
    };
    let recording = load::run(&plan, &AtomicBool::new(false))?;
    println!(
        "{}",
        json!({
            "completed": recording.completed, "failed": recording.failed(), "rate": recording.throughput(),
            "p50Us": recording.latency.value_at_quantile(0.5) / 1000, "p99Us": recording.latency.value_at_quantile(0.99) / 1000,
        })
    );
    Ok(())
}
