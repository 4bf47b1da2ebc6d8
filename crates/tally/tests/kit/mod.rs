//! A real Redis Cluster on loopback and a tally on it, for tests. Everything it starts ends with it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test kit; each test uses a part of it"
)]

pub mod crowd;
pub mod members;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// How long anything may take; a bound for what is broken.
const PATIENCE: Duration = Duration::from_secs(180);
/// After which a silent member counts as failed: a busy machine is not to make it so.
pub const NODE_TIMEOUT_MS: &str = "5000";

/// Masters and replicas, three each.
pub struct Redis {
    pub ports: Vec<u16>,
    children: Vec<Option<Child>>,
    folder: tempfile::TempDir,
    fsync: &'static str,
}

pub fn has(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

impl Redis {
    /// `None`, having said why, where Redis is not installed.
    pub async fn start() -> Option<Redis> {
        Redis::start_with("always", true).await
    }

    pub async fn start_with(fsync: &'static str, replicas: bool) -> Option<Redis> {
        if !has("redis-server") || !has("redis-cli") {
            eprintln!(
                "skipped: redis-server and redis-cli are not installed (Debian: apt-get install redis-server)"
            );
            return None;
        }
        let members = if replicas { 6 } else { 3 };
        let mut redis = Redis {
            ports: free_ports(members),
            children: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            fsync,
        };
        for member in 0..members {
            let child = redis.member(member);
            redis.children.push(Some(child));
        }
        for port in redis.ports.clone() {
            until("a member answers", || cli(port, &["ping"]).trim() == "PONG").await;
        }
        let addresses: Vec<String> = redis
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(&addresses).args([
            "--cluster-replicas",
            if replicas { "1" } else { "0" },
            "--cluster-yes",
        ]);
        assert!(create.stdout(Stdio::null()).status().unwrap().success());
        for port in redis.ports.clone() {
            until("the cluster is ok", || {
                cli(port, &["cluster", "info"]).contains("cluster_state:ok")
            })
            .await;
        }
        if replicas {
            until("replicas follow", || {
                redis.masters().iter().all(|m| replicas_of(redis.ports[*m]) == 1)
            })
            .await;
        }
        Some(redis)
    }

    fn member(&self, member: usize) -> Child {
        let folder = self.folder.path().join(member.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        // As apps/redis/config/redis.conf.j2 has it.
        Command::new("redis-server")
            .args([
                "--port",
                &self.ports[member].to_string(),
                "--bind",
                "127.0.0.1",
                "--dir",
            ])
            .arg(&folder)
            .args([
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                NODE_TIMEOUT_MS,
                "--cluster-require-full-coverage",
                "no",
            ])
            .args([
                "--cluster-replica-validity-factor",
                "0",
                "--appendonly",
                "yes",
                "--appendfsync",
                self.fsync,
            ])
            .args([
                "--repl-diskless-sync-delay",
                "0",
                "--save",
                "",
                "--maxmemory-policy",
                "noeviction",
            ])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn nodes(&self) -> Vec<String> {
        self.ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect()
    }

    /// Members that are masters of some slots.
    pub fn masters(&self) -> Vec<usize> {
        let is_master = |m: &usize| cli(self.ports[*m], &["role"]).starts_with("master");
        (0..self.ports.len())
            .filter(|m| self.children[*m].is_some())
            .filter(is_master)
            .collect()
    }

    /// SIGKILL.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.children[member].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn restart(&mut self, member: usize) {
        assert!(self.children[member].is_none());
        self.children[member] = Some(self.member(member));
    }

    pub fn memory(&self) -> u64 {
        let used = |member: usize| {
            let info = cli(self.ports[member], &["info", "memory"]);
            info.lines()
                .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.masters().into_iter().map(used).sum()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn cli(port: u16, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn replicas_of(port: u16) -> usize {
    let info = cli(port, &["info", "replication"]);
    info.lines()
        .filter(|line| line.starts_with("slave") && line.contains("state=online"))
        .count()
}

pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ports whose bus port (+10000) is free too. Both are below those that the kernel gives to connections: nobody gets them by chance.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 200) as u16 * 50;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let ports = (0..10_000).map(|_| 12_000 + own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    ports
        .filter(|port| is_free(*port) && is_free(port + 10_000))
        .take(count)
        .collect()
}

/// A tally that serves.
pub struct Tally {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
}

pub const APPS: &str = r#"[{"key":"demo","id":"000000000000000000000001","timezone":"UTC"},
    {"key":"salted","id":"000000000000000000000002","salt":"pepper"},{"key":"locked","locked":true},{"key":"paused","active":false}]"#;

impl Tally {
    pub async fn start(redis: &Redis) -> Tally {
        Tally::start_with(redis, |_| {}).await
    }

    pub async fn start_with(redis: &Redis, adjust: impl FnOnce(&mut tally::Config)) -> Tally {
        Tally::on(redis.nodes(), adjust).await
    }

    /// One on any store.
    pub async fn on(nodes: Vec<String>, adjust: impl FnOnce(&mut tally::Config)) -> Tally {
        day_lasts().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = tally::Config::new(address, nodes, tally::Apps::from_json(APPS).unwrap());
        adjust(&mut config);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            let shutdown = async {
                let _: Result<(), _> = stopped.await;
            };
            if let Err(e) = config.serve(listener, shutdown).await {
                eprintln!("tally ended: {e}");
            }
        });
        let tally = Tally {
            address,
            stop: Some(stop),
        };
        let begun = Instant::now();
        while tally.get("/o/ping").await.0 != 200 {
            assert!(begun.elapsed() < PATIENCE, "tally does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tally
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").as_bytes())
            .await
    }

    /// What `/o` answers, which must be JSON.
    pub async fn read(&self, path: &str) -> serde_json::Value {
        let (code, body) = self.get(path).await;
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub async fn post(&self, path: &str, kind: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(format!("{head}{body}").as_bytes()).await
    }

    /// Sends bytes and reads to the end; status 0 if there was no answer.
    pub async fn raw(&self, request: &[u8]) -> (u16, String) {
        self.exchange(request, false).await
    }

    /// The same, and nothing more is going to be sent: what is not a whole request is over.
    pub async fn raw_and_no_more(&self, request: &[u8]) -> (u16, String) {
        self.exchange(request, true).await
    }

    async fn exchange(&self, request: &[u8], no_more: bool) -> (u16, String) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(request).await?;
            if no_more {
                stream.shutdown().await?;
            }
            let mut answer = Vec::new();
            // Who answers before it has read everything may end with a reset: what came before that is the answer.
            let _ = stream.read_to_end(&mut answer).await;
            std::io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, exchange)
            .await
            .unwrap_or(Ok(Vec::new()))
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let code = text
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        (
            code,
            text.split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned())
                .unwrap_or_default(),
        )
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// Waits for the next day when this one ends soon: the tests ask for today's figures after they have sent them.
async fn day_lasts() {
    let left = 86_400 - jiff::Timestamp::now().as_second().rem_euclid(86_400);
    if left < 600 {
        tokio::time::sleep(Duration::from_secs(left.unsigned_abs() + 1)).await;
    }
}

pub fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

pub fn sdk_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

/// Milliseconds that no other request of this process has.
pub fn unique_ms() -> i64 {
    use std::sync::atomic::AtomicI64;
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = jiff::Timestamp::now().as_millisecond();
    let next = |last: i64| now.max(last + 1);
    next(
        LAST.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)))
            .unwrap(),
    )
}
