//! The results server with a hundred thousand runs: how long listing and searching take, asked over HTTP.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use results::Run;
use results_web::Store;

use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};
use crate::table::Table;

/// What is asked, as people would.
const QUESTIONS: [(&str, &str); 10] = [
    ("list", "/api/v1/runs"),
    ("last part of the list", "/api/v1/runs?offset=99950"),
    ("page", "/"),
    ("sorted by p99", "/api/v1/runs?sort=p99"),
    (
        "one provider, one version",
        "/api/v1/runs?provider=aws&version=0.2.0&sort=throughput",
    ),
    ("three days", "/api/v1/runs?from=2026-03-01&until=2026-03-04"),
    ("search, one fits", "/api/v1/runs?q=run-77777"),
    ("search, all fit", "/api/v1/runs?q=benchmark"),
    (
        "search, all fit, sorted by p99",
        "/api/v1/runs?q=benchmark&sort=p99",
    ),
    (
        "search, two words and a filter",
        "/api/v1/runs?q=v1.36%2010s&provider=gcp",
    ),
];

/// Measures.
pub async fn measure(settings: &Settings, table: &mut Table) {
    table
        .group(settings, "results server", async || {
            tokio::task::block_in_place(|| questions(settings))
        })
        .await;
}

fn questions(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let runs = if settings.quick { 10_000 } else { 100_000 };
    // In memory, where there is a place for that: it is filled by one durable transaction per run, and only asked afterwards.
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory
    } else {
        &settings.scratch
    };
    let folder = tempfile::tempdir_in(place)?;
    let file = folder.path().join("runs.db");
    let begun = Instant::now();
    fill(&file, runs)?;
    let filled = begun.elapsed().as_secs_f64();
    let server = Server::start(&settings.binary, &file)?;
    let mut rows = Vec::new();
    for (what, path) in QUESTIONS {
        let times: Vec<Duration> = (0..settings.runs(20, 5))
            .map(|_| server.ask(path))
            .collect::<anyhow::Result<_>>()?;
        let times = Samples::seconds(&times);
        let row = Row::new(
            format!("results server, {runs} runs: {what}"),
            format!("{} (slowest {})", time(times.median()), time(times.most())),
            times.len(),
        )
        .value("median_s", times.median())
        .value("slowest_s", times.most())
        .goal("< 50 ms", times.median() < 0.05)
        .note(format!(
            "asked over HTTP on loopback, connection included; filled at {:.0} runs/s",
            f64::from(runs) / filled
        ));
        rows.push(row);
    }
    Ok(rows)
}

/// Keeps so many runs that differ in all that can be searched, filtered and sorted.
fn fill(file: &Path, runs: u32) -> anyhow::Result<()> {
    let store = Store::open(file)?;
    let mut run = Run::read(include_str!("../../results/tests/data/run-of-0.1.0.json"))?;
    run.pods.clear();
    run.events.clear();
    run.load.series.truncate(1);
    let first: jiff::Timestamp = "2026-01-01T00:00:00Z".parse()?;
    let providers = [
        None,
        Some("aws:///us-east-1a/i-1"),
        Some("gce://p/z/n"),
        Some("azure:///s"),
    ];
    for number in 0..runs {
        let spread = f64::from(number * 7919 % 10_007);
        run.id = format!("run-{number}");
        run.started = (first + jiff::SignedDuration::from_secs(i64::from(number) * 120)).to_string();
        run.program.version = format!("0.{}.0", number % 5);
        run.load.throughput = 100.0 + spread;
        run.load.latency.p50_ms = 0.1 + spread / 1e4;
        run.load.latency.p99_ms = 1.0 + spread / 1e3;
        if let Some(node) = run.target.cluster.as_mut().and_then(|c| c.nodes.first_mut()) {
            let provider = providers[number as usize % providers.len()];
            node.provider_id = provider.map(str::to_owned);
            node.runtime = if provider.is_some() {
                "containerd://2.1"
            } else {
                "cncfdemo://0.1.0"
            }
            .to_owned();
        }
        store.add(&run)?;
    }
    Ok(())
}

/// The server as a process; ends when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(binary: &Path, file: &Path) -> anyhow::Result<Server> {
        // A free port, given back a moment before the server takes it.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .to_string();
        let child = Command::new(binary)
            .args(["results", "serve", "--listen", &address, "--data"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {}", binary.display()))?;
        let server = Server { child, address };
        let begun = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            anyhow::ensure!(
                begun.elapsed() < Duration::from_secs(10),
                "the results server does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Asks once, on a connection of its own; gives how long the whole answer took.
    fn ask(&self, path: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        anyhow::ensure!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{path} was answered {}",
            String::from_utf8_lossy(&answer[..answer.len().min(200)])
        );
        Ok(begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
