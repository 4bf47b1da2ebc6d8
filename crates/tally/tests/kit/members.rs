//! Members of a Redis Cluster at addresses of their own, as pods have them, kept together by the demo's own script.
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Members at `127.A.B.1`, `.2`, …, port 6379, where A and B are this process's.
pub struct Members {
    net: String,
    children: Vec<Option<Child>>,
    folder: tempfile::TempDir,
}

impl Members {
    /// `None`, having said why, where Redis is not installed.
    pub fn start(count: usize) -> Option<Members> {
        if !super::has("redis-server") || !super::has("redis-cli") {
            eprintln!(
                "skipped: redis-server and redis-cli are not installed (Debian: apt-get install redis-server)"
            );
            return None;
        }
        let process = std::process::id();
        let mut members = Members {
            // 127.0.0 and 127.0.1 are what machines use themselves.
            net: format!("127.{}.{}", 16 + (process >> 8) % 200, process & 0xff),
            children: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        members.grow(count);
        Some(members)
    }

    /// Starts further members, until there are so many.
    pub fn grow(&mut self, count: usize) {
        while self.children.len() < count {
            let child = self.spawn(self.children.len());
            self.children.push(Some(child));
        }
    }

    pub fn address(&self, member: usize) -> String {
        format!("{}.{}", self.net, member + 1)
    }

    /// `HOST:PORT` of all members.
    pub fn nodes(&self) -> Vec<String> {
        (0..self.children.len())
            .map(|m| format!("{}:6379", self.address(m)))
            .collect()
    }

    fn data(&self, member: usize) -> PathBuf {
        self.folder.path().join(member.to_string())
    }

    fn spawn(&self, member: usize) -> Child {
        let (data, address) = (self.data(member), self.address(member));
        std::fs::create_dir_all(&data).unwrap();
        // The demo's own file; what the template fills in and where data lie comes after it.
        let demo = std::fs::read_to_string(apps().join("redis/config/redis.conf.j2")).unwrap();
        let conf = demo
            .replace("{{ redis.node_timeout_ms }}", super::NODE_TIMEOUT_MS)
            .replace(
                "dir /data",
                &format!(
                    "dir {}\nbind {address}\ncluster-announce-ip {address}",
                    data.display()
                ),
            );
        let file = data.join("redis.conf");
        std::fs::write(&file, conf).unwrap();
        Command::new("redis-server")
            .arg(file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Runs the demo's script, as the Job does.
    pub fn init(&self, shards: usize) -> Command {
        let addresses: Vec<String> = (0..self.children.len()).map(|m| self.address(m)).collect();
        let mut script = Command::new("sh");
        script
            .arg(apps().join("redis/config/init.sh"))
            .env("MEMBERS", addresses.join(" "))
            .env("SHARDS", shards.to_string())
            .env("REPLICAS", "1");
        script
    }

    /// A member is gone at once.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.children[member].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// It comes back with its disk.
    pub fn restart(&mut self, member: usize) {
        self.children[member] = Some(self.spawn(member));
    }

    /// It comes back with an empty disk, as another node.
    pub fn replace(&mut self, member: usize) {
        self.kill(member);
        std::fs::remove_dir_all(self.data(member)).unwrap();
        self.restart(member);
    }

    pub fn ask(&self, member: usize, request: &[&str]) -> String {
        let answer = Command::new("redis-cli")
            .args(["-h", &self.address(member)])
            .args(request)
            .output()
            .unwrap();
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }

    /// What a member says of the cluster: for each master with slots its address, its slots and its replicas that are well.
    pub fn shards(&self, of: usize) -> Vec<(String, usize, usize)> {
        let text = self.ask(of, &["cluster", "nodes"]);
        let nodes: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
        let host = |node: &[&str]| node[1].split(':').next().unwrap().to_owned();
        let slots = |node: &[&str]| -> usize {
            let ranges = node[8..].iter().filter(|r| !r.starts_with('['));
            let size = |range: &&str| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                to.parse::<usize>().unwrap() - from.parse::<usize>().unwrap() + 1
            };
            ranges.map(size).sum()
        };
        let follows = |node: &[&str], master: &str| {
            node[3] == master && !node[2].contains("fail") && node[7] == "connected"
        };
        let mut shards: Vec<_> = nodes
            .iter()
            .filter(|n| n[2].contains("master") && !n[2].contains("fail") && slots(n) > 0)
            .map(|n| {
                let replicas = nodes.iter().filter(|other| follows(other, n[0])).count();
                (host(n), slots(n), replicas)
            })
            .collect();
        shards.sort();
        shards
    }

    /// The members that are masters with slots.
    pub fn masters(&self, asked: usize) -> Vec<usize> {
        let shards = self.shards(asked);
        (0..self.children.len())
            .filter(|m| shards.iter().any(|(host, ..)| *host == self.address(*m)))
            .collect()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in 0..self.children.len() {
            self.kill(member);
        }
    }
}

fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps")
}

/// What a script said, when it has failed.
pub fn succeeded(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    text
}
