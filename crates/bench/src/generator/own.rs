//! The crate `load`, in a process of its own.
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;
use load::{Arrivals, Mix, Mode, Plan};
use serde_json::{Value, json};

use crate::cli::Generate;

/// One run with one thread, in closed loop or at a rate.
pub fn command(url: &str, connections: u32, seconds: u64, rate: Option<f64>) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "internal",
        "generate",
        url,
        &connections.to_string(),
        &seconds.to_string(),
    ]);
    if let Some(rate) = rate {
        command.arg(rate.to_string());
    }
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

/// The 99th percentile in milliseconds.
pub fn parse_p99(text: &str) -> anyhow::Result<f64> {
    let printed: Value = serde_json::from_str(text)?;
    ensure!(printed["failed"] == 0, "the generator saw errors: {text}");
    Ok(printed["p99Us"].as_f64().unwrap_or(f64::NAN) / 1e3)
}

/// The child's part.
pub fn generate(args: &Generate) -> anyhow::Result<()> {
    let time = Duration::from_secs(args.seconds);
    let plan = Plan {
        lanes: Mix::single(&args.url).lanes(None)?.into(),
        mode: match args.rate {
            Some(rate) => Mode::Open(Arrivals::constant(rate, time)),
            None => Mode::Closed(time),
        },
        warm_up: Duration::ZERO,
        connections: args.connections,
        threads: 1,
        timeout: Duration::from_secs(2),
        start: None,
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
