//! A cluster network of its own for each test, removed at its end, also of a failed one.
#![allow(dead_code, clippy::unwrap_used, clippy::print_stderr, missing_docs)]

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use engine_net::{AddressPlan, ClusterNet, Error, NetPlan, NodeNet, choose_index, destroy};

/// How long anything may take that comes at last; a bound for what is broken. What is waited for in vain is waited for less.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Index numbers are taken one test at a time, in this process and between test processes (by a lock file).
static TAKEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

pub struct Cluster {
    pub net: Arc<ClusterNet>,
    pub dir: tempfile::TempDir,
}

impl Cluster {
    pub async fn new(name: &str, nodes: u8) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let lock = File::create(std::env::temp_dir().join("cncfdemo-engine-net-tests.lock")).unwrap();
        lock.lock().unwrap();
        let dir = tempfile::tempdir().unwrap();
        // Somebody else's cluster may take the index between choosing and having it.
        let net = loop {
            let index = {
                let mut taken = TAKEN.lock().unwrap();
                let index = choose_index(&taken).unwrap();
                taken.push(index);
                index
            };
            let plan = NetPlan {
                name: format!("engine-net-test-{name}-{}", std::process::id()),
                run_dir: dir.path().to_owned(),
                addresses: AddressPlan::new(index).unwrap(),
            };
            match ClusterNet::ensure(plan.clone()).await {
                Err(Error::RangeTaken(_)) => assert!(destroy(&plan.run_dir, &plan.name).is_empty()),
                outcome => break outcome.unwrap(),
            }
        };
        let cluster = Self { net, dir };
        for node in 1..=nodes {
            cluster
                .net
                .ensure_node(node, &format!("node-{node}"))
                .await
                .unwrap();
        }
        Some(cluster)
    }

    pub fn node(&self, index: u8) -> Arc<NodeNet> {
        self.net.node(index).unwrap()
    }

    /// What a restarted engine would have.
    pub async fn again(&self) -> Arc<ClusterNet> {
        ClusterNet::ensure(self.net.plan().clone()).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let plan = self.net.plan();
        let failures = destroy(&plan.run_dir, &plan.name);
        let left: Vec<PathBuf> = std::fs::read_dir(self.dir.path())
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        let link = PathBuf::from(format!("/sys/class/net/{}", plan.host_link()));
        if !std::thread::panicking() {
            assert!(failures.is_empty(), "{failures:?}");
            assert!(left.is_empty(), "{left:?}");
            assert!(!link.exists());
            assert!(
                destroy(&plan.run_dir, &plan.name).is_empty(),
                "destroy can be run again"
            );
        }
    }
}

pub fn has(tool: &str) -> bool {
    let found = std::process::Command::new("sh")
        .args(["-c", "command -v \"$0\"", tool])
        .output();
    found.is_ok_and(|found| found.status.success())
}

pub fn run(command: &str) -> String {
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
