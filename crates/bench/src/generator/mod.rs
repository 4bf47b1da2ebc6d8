//! The load generator against wrk, both in closed loop against the same server that does nothing else.
//!
//! Server and generator are processes of their own, each on a processor of its own where there are two. Rounds alternate
//! which of the two goes first, so that a drift of the machine hits both.
pub mod own;
mod peer;
mod stall;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use load::{NullServer, Stall};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cli::Settings;
use crate::process::wait_with_cpu;
use crate::row::Row;
use crate::stats::Samples;
use crate::subject::find;
use crate::table::Table;

/// Connections at which both are compared.
const LEVELS: [u32; 3] = [1, 64, 256];

/// What one run of either came to.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// Requests per second.
    rate: f64,
    /// CPU microseconds per request, of the generator.
    cpu: f64,
}

/// Compares them at each level.
pub async fn measure(settings: &Settings, table: &mut Table) {
    if find("wrk").is_none() {
        table.not_measured.push(
            "load generator against wrk: wrk is not at hand; the generator was measured alone".to_owned(),
        );
    }
    for connections in LEVELS {
        let group = format!("load {connections}");
        table
            .group(settings, &group, async || {
                tokio::task::block_in_place(|| level(settings, connections))
            })
            .await;
    }
    table
        .group(settings, "load stall", async || {
            tokio::task::block_in_place(|| stall::measure(settings))
        })
        .await;
}

/// The child's part of [`Server`]: prints its address, then serves until its standard input ends.
pub fn serve(stall: Option<Stall>) -> anyhow::Result<()> {
    let server = NullServer::bind(stall)?;
    println!("{}", server.address()?);
    Ok(server.serve(&std::io::stdin())?)
}

fn level(settings: &Settings, connections: u32) -> anyhow::Result<Vec<Row>> {
    let seconds = if settings.quick { 2 } else { 4 };
    let rounds = settings.runs(10, 2);
    let server = Server::start(None)?;
    let wrk = find("wrk");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Both orders, in turn.
        for which in if round % 2 == 0 {
            [false, true]
        } else {
            [true, false]
        } {
            match (&wrk, which) {
                (Some(wrk), true) => theirs.push(run(
                    peer::command(wrk, &server.url, connections, seconds),
                    peer::parse,
                )?),
                (None, true) => {}
                (_, false) => ours.push(run(
                    own::command(&server.url, connections, seconds, None)?,
                    own::parse,
                )?),
            }
        }
    }
    let median = |of: &[Outcome], by: fn(&Outcome) -> f64| Samples::new(of.iter().map(by)).median();
    let (rate, cpu) = (median(&ours, |o| o.rate), median(&ours, |o| o.cpu));
    let plural = if connections == 1 { "" } else { "s" };
    let what = format!("load generator, closed loop, {connections} connection{plural}");
    let mut row = Row::new(what, format!("{rate:.0}/s, {cpu:.2} µs CPU"), ours.len())
        .value("requests_per_s", rate)
        .value("cpu_us", cpu);
    if !theirs.is_empty() {
        let pairs = |by: fn(&Outcome) -> f64| {
            Samples::new(ours.iter().zip(&theirs).map(|(a, b)| by(a) / by(b))).median()
        };
        let (rate_ratio, cpu_ratio) = (pairs(|o| o.rate), pairs(|o| o.cpu));
        row.measured = format!(
            "{}; wrk {:.0}/s, {:.2} µs: {:.1} % and {:.1} %",
            row.measured,
            median(&theirs, |o| o.rate),
            median(&theirs, |o| o.cpu),
            rate_ratio * 100.0,
            cpu_ratio * 100.0
        );
        row = row
            .value("wrk_requests_per_s", median(&theirs, |o| o.rate))
            .value("wrk_cpu_us", median(&theirs, |o| o.cpu))
            .value("rate_ratio", rate_ratio)
            .value("cpu_ratio", cpu_ratio)
            .goal(">= 95 % of wrk's rate, its CPU", rate_ratio >= 0.95 && cpu_ratio <= 1.05)
            .note(format!(
                "one thread each, {seconds} s rounds in both orders against the same null server; CPU is user and system time of \
                 the generator's process per request, ratios are medians of neighbouring runs"
            ));
    }
    Ok(vec![row])
}

fn run(command: Command, parse: fn(&str) -> anyhow::Result<(f64, f64)>) -> anyhow::Result<Outcome> {
    let (text, cpu) = output(command)?;
    let (requests, rate) = parse(&text)?;
    Ok(Outcome {
        rate,
        cpu: cpu.as_secs_f64() * 1e6 / requests,
    })
}

/// Runs a generator on its processor; gives what it printed and the CPU time it used.
fn output(mut command: Command) -> anyhow::Result<(String, Duration)> {
    let mut child = on_processor(1, || command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn())?;
    let output = child.stdout.take().context("no output")?;
    // Its few lines fit into the pipe, so it can be waited for first.
    let (status, cpu) = wait_with_cpu(&mut child)?;
    let text = std::io::read_to_string(output)?;
    anyhow::ensure!(status.success(), "{command:?} ended with {status}");
    Ok((text, cpu))
}

/// The null server as a process; ends when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(stall: Option<Stall>) -> anyhow::Result<Server> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args(["internal", "null-server"]);
        if let Some(stall) = stall {
            let milliseconds = |d: Duration| d.as_millis().to_string();
            command.args([milliseconds(stall.time), milliseconds(stall.period)]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = on_processor(0, || command.spawn())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(Server {
            child,
            url: format!("http://{}/", line.trim()),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Spawns on one processor, which the child inherits. With only one processor everything stays where it is.
fn on_processor(index: usize, spawn: impl FnOnce() -> std::io::Result<Child>) -> anyhow::Result<Child> {
    let all = sched_getaffinity(None)?;
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
    if let (Some(&cpu), true) = (allowed.get(index), allowed.len() > 1) {
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one)?;
    }
    let child = spawn();
    sched_setaffinity(None, &all)?;
    Ok(child?)
}
