//! A Redis Cluster as the demo has it: three masters with a replica each.
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

const MEMBERS: usize = 6;

/// Its members as processes; they end when it is dropped.
pub(super) struct Store {
    children: Vec<Child>,
    ports: Vec<u16>,
}

impl Store {
    pub(super) fn start(folder: &Path) -> anyhow::Result<Store> {
        let mut store = Store {
            children: Vec::new(),
            ports: ports()?,
        };
        for port in store.ports.clone() {
            let data = folder.join(port.to_string());
            fs::create_dir_all(&data)?;
            // As apps/redis/config/redis.conf.j2 has it, but for the limit of memory.
            let child = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
                .arg(&data)
                .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
                .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
                .args(["--repl-diskless-sync-delay", "0"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .context("failed to run redis-server")?;
            store.children.push(child);
        }
        store.until("PONG", &["ping"])?;
        let addresses = store.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .stdout(Stdio::null())
            .status()?;
        ensure!(created.success(), "redis-cli could not create a cluster");
        store.until("cluster_state:ok", &["cluster", "info"])?;
        Ok(store)
    }

    /// `HOST:PORT` of all members, as tally takes them.
    pub(super) fn nodes(&self) -> String {
        let nodes: Vec<String> = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        nodes.join(",")
    }

    /// Bytes that the members hold.
    pub(super) fn memory(&self) -> anyhow::Result<u64> {
        self.ports.iter().try_fold(0, |sum, port| {
            let info = ask(*port, &["info", "memory"])?;
            let line = info.lines().find_map(|l| l.strip_prefix("used_memory:"));
            let bytes: u64 = line.context("redis says nothing of its memory")?.trim().parse()?;
            Ok(sum + bytes)
        })
    }

    fn until(&self, wanted: &str, request: &[&str]) -> anyhow::Result<()> {
        let begun = Instant::now();
        for port in &self.ports {
            while !ask(*port, request)?.contains(wanted) {
                ensure!(
                    begun.elapsed() < Duration::from_secs(20),
                    "no {wanted} from the store"
                );
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn ask(port: u16, request: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(request)
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ports whose bus port (10,000 more) is free too.
fn ports() -> anyhow::Result<Vec<u16>> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let found: Vec<u16> = (20_000..30_000)
        .step_by(7)
        .filter(|port| free(*port) && free(*port + 10_000))
        .take(MEMBERS)
        .collect();
    ensure!(found.len() == MEMBERS, "no {MEMBERS} free ports");
    Ok(found)
}
