//! tally beside nginx: throughput with the same generator, and memory by the number of devices.
mod profile;
mod store;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use self::store::Store;
use crate::cli::Settings;
use crate::generator::own;
use crate::process;
use crate::row::Row;
use crate::stats::Samples;
use crate::subject::find;
use crate::table::Table;

const CONNECTIONS: u32 = 64;
/// Devices in one bulk request.
const BULK: usize = 500;

/// Measures both groups.
pub async fn measure(settings: &Settings, table: &mut Table) {
    for program in ["redis-server", "redis-cli", "nginx"] {
        if find(program).is_none() {
            table.not_measured.push(format!(
                "tally: {program} is not at hand (apt-get install redis-server nginx-light)"
            ));
            return;
        }
    }
    table
        .group(settings, "tally throughput", async || {
            tokio::task::block_in_place(|| throughput(settings))
        })
        .await;
    if find("perf").is_none() {
        table
            .not_measured
            .push("tally: perf is not at hand, so nothing says where its CPU goes".to_owned());
    } else {
        table
            .group(settings, "tally profile", async || {
                tokio::task::block_in_place(|| hot(settings))
            })
            .await;
    }
    table
        .group(settings, "tally memory", async || {
            tokio::task::block_in_place(|| memory(settings))
        })
        .await;
}

/// A write that begins a session, against an empty answer of nginx; rounds in both orders.
fn throughput(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&settings.scratch)?;
    let store = Store::start(folder.path())?;
    let (tally, nginx) = (Server::tally(settings, &store)?, Server::nginx(folder.path())?);
    let write = format!(
        "http://{}/i?app_key=demo&device_id=bench&begin_session=1",
        tally.address
    );
    let empty = format!("http://{}/", nginx.address);
    let seconds = if settings.quick { 2 } else { 5 };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..settings.runs(6, 2) {
        let mut both = [(&write, &mut ours, &tally), (&empty, &mut theirs, &nginx)];
        if round % 2 == 1 {
            both.reverse();
        }
        for (url, outcomes, server) in both {
            outcomes.push(load(url, seconds, server)?);
        }
    }
    let median =
        |of: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| Samples::new(of.iter().map(which)).median();
    let (rate, peer) = (median(&ours, |o| o.0), median(&theirs, |o| o.0));
    let ratio = Samples::new(ours.iter().zip(&theirs).map(|(a, b)| a.0 / b.0)).median();
    let cpu = median(&ours, |o| o.1);
    let measured = format!(
        "{rate:.0}/s, {cpu:.1} µs CPU; nginx {peer:.0}/s: {:.0} %",
        ratio * 100.0
    );
    Ok(vec![
        Row::new("tally, stored writes, closed loop, 64 connections", measured, ours.len())
            .value("requests_per_s", rate)
            .value("cpu_us", cpu)
            .value("nginx_requests_per_s", peer)
            .value("nginx_cpu_us", median(&theirs, |o| o.1))
            .value("rate_ratio", ratio)
            .note(format!(
                "each in {seconds} s rounds on all processors together with the generator; tally also with six Redis members that \
                 write each batch to disk and replicate it before it is acknowledged; nginx answers an empty 200; CPU is the server's \
                 process alone"
            )),
    ])
}

/// Requests per second, and CPU microseconds of the server per request.
fn load(url: &str, seconds: u64, server: &Server) -> anyhow::Result<(f64, f64)> {
    let before = server.cpu()?;
    let output = own::command(url, CONNECTIONS, seconds, None)?.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (requests, rate) = own::parse(&String::from_utf8(output.stdout)?)?;
    let spent = server.cpu()?.saturating_sub(before);
    Ok((rate, spent.as_secs_f64() * 1e6 / requests))
}

/// Where the CPU goes under the same load.
fn hot(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&settings.scratch)?;
    let store = Store::start(folder.path())?;
    let tally = Server::tally(settings, &store)?;
    let write = format!(
        "http://{}/i?app_key=demo&device_id=bench&begin_session=1",
        tally.address
    );
    let seconds = if settings.quick { 2 } else { 10 };
    let top = profile::top(tally.pid(), folder.path(), seconds, || {
        load(&write, seconds, &tally).map(drop)
    })?;
    let told: Vec<String> = top
        .iter()
        .map(|(share, symbol)| format!("{share:.1} % {symbol}"))
        .collect();
    let row = Row::new("tally's CPU under load, top five", told.join("; "), 1).note(
        "perf, cpu-clock, the process with its part of the kernel; names of the program's own functions need a build that keeps them \
         (CARGO_PROFILE_RELEASE_STRIP=none)",
    );
    Ok(vec![row])
}

/// Resident memory of a tally that has seen so many devices; each is in the store.
fn memory(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&settings.scratch)?;
    let store = Store::start(folder.path())?;
    let tally = Server::tally(settings, &store)?;
    let counts: &[usize] = if settings.quick {
        &[1, 10_000]
    } else {
        &[1, 100_000, 1_000_000]
    };
    let (mut sent, mut row) = (0, Row::new("", "", counts.len()));
    let mut told = Vec::new();
    for &count in counts {
        let begun = Instant::now();
        while sent < count {
            let part = BULK.min(count - sent);
            bulk(tally.address, sent, part)?;
            sent += part;
        }
        let own = process::memory(tally.pid())?.pss;
        let stored = store.memory()?;
        let seconds = begun.elapsed().as_secs_f64();
        told.push(format!(
            "{count}: {:.1} MB ({:.0} MB in the store, {seconds:.0} s)",
            own as f64 / 1e6,
            stored as f64 / 1e6
        ));
        row = row
            .value(&format!("devices_{count}_bytes"), own as f64)
            .value(&format!("devices_{count}_store_bytes"), stored as f64);
    }
    row.what = "tally's memory by devices seen".to_owned();
    row.measured = told.join("; ");
    Ok(vec![row.note(format!(
        "PSS after as many devices began a session, {BULK} to a bulk request; the store is three masters and three replicas"
    ))])
}

/// Sessions of `count` devices from a number on, in one request.
fn bulk(address: SocketAddr, from: usize, count: usize) -> anyhow::Result<()> {
    let items: Vec<_> = (from..from + count)
        .map(|n| serde_json::json!({"device_id": format!("device-{n}"), "begin_session": "1"}))
        .collect();
    let body = form("requests", &serde_json::to_string(&items)?);
    let body = format!("app_key=demo&{body}");
    let head = format!(
        "POST /i/bulk HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "/i/bulk answered {answer}");
    Ok(())
}

fn form(name: &str, value: &str) -> String {
    let escaped: String = value
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(b).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("{name}={escaped}")
}

/// A server as a process; ends when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn tally(settings: &Settings, store: &Store) -> anyhow::Result<Server> {
        let address = free()?;
        let mut command = Command::new(&settings.binary);
        command
            .args(["serve", "tally", "--listen", &address.to_string()])
            .args(["--redis", &store.nodes()]);
        Server::start(command, address, "/o/ping")
    }

    fn nginx(folder: &Path) -> anyhow::Result<Server> {
        let address = free()?;
        let conf = format!(
            "daemon off; master_process on; worker_processes auto; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; server {{ listen {address}; location / {{ return 200; }} }} }}\n",
            folder.display()
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, conf)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&file);
        Server::start(command, address, "/")
    }

    fn start(mut command: Command, address: SocketAddr, path: &str) -> anyhow::Result<Server> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to run {command:?}"))?;
        let server = Server { child, address };
        let begun = Instant::now();
        while !answers(address, path) {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "{command:?} does not answer {path}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// CPU time of the process and its workers.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let mut sum = process::cpu(self.pid())?;
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid()))?;
        for child in children.split_whitespace() {
            sum += process::cpu(child.parse()?)?;
        }
        Ok(sum)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master ends its workers when it is asked to end, not when it is killed.
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    };
    ask().unwrap_or(false)
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
