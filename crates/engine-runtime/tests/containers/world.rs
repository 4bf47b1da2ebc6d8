//! A cluster folder with a daemon in it, and a look at what is left when it is gone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::future::Future;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use engine_runtime::cgroup::Layout;
use engine_runtime::proto::{ContainerSpec, Exit, Limits};
use engine_runtime::{Client, DaemonConfig, client};

/// How long anything may take; a bound for what is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A test.
pub type Case = for<'a> fn(&'a mut World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a test has.
pub struct World {
    /// The cluster's folder.
    pub dir: PathBuf,
    /// The image's only layer.
    pub layer: PathBuf,
    /// Below `cncfdemo/`.
    pub name: String,
    /// Connected.
    pub client: Client,
    /// Whether there are controllers (not in a v2 tree beside v1).
    pub has_limits: bool,
    /// Pure v2.
    pub is_unified: bool,
    /// All exits.
    pub exits: tokio::sync::mpsc::UnboundedReceiver<Exit>,
}

/// The hidden daemon command.
pub fn daemon(dir: &Path, name: &str) -> ExitCode {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let me = std::env::current_exe().expect("own path");
    let mut config = DaemonConfig::new(dir, vec![OsString::from(me), "__engine".into()]);
    config.system_cgroup = Some(format!("cncfdemo/{name}/system"));
    // One test waits for it to be over; to the others, which may be fifty at once on a slow machine, it is not to matter.
    let waits_it_out = name.ends_with("starts_are_limited");
    config.start_limit = if waits_it_out {
        Duration::from_secs(5)
    } else {
        PATIENCE
    };
    match engine_runtime::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("daemon: {e}");
            ExitCode::FAILURE
        }
    }
}

/// An engine that only lives.
pub fn engine() -> ExitCode {
    loop {
        std::thread::sleep(Duration::from_mins(10));
    }
}

fn busybox() -> Result<PathBuf, String> {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("busybox");
    let binary = cache.join("x/bin/busybox");
    if binary.exists() {
        return Ok(binary);
    }
    std::fs::create_dir_all(&cache).map_err(|e| e.to_string())?;
    let script = "apt-get download -q busybox-static && dpkg-deb -x busybox-static_*.deb x";
    let done = Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(&cache)
        .output()
        .map_err(|e| e.to_string())?;
    if binary.exists() {
        return Ok(binary);
    }
    Err(format!(
        "no busybox-static: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    ))
}

/// Whether this machine can run the tests.
pub fn possible() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
    if !status.lines().any(|l| l.starts_with("Uid:\t0\t0")) {
        return Err("not root".into());
    }
    busybox().map(drop)
}

fn has_limits() -> bool {
    std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|c| c.contains("memory"))
        || Path::new("/sys/fs/cgroup/memory").exists()
}

fn make_layer(dir: &Path) {
    let make = |p: &str| std::fs::create_dir_all(dir.join(p)).expect("create");
    for folder in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "var"] {
        make(folder);
    }
    std::fs::copy(busybox().expect("busybox"), dir.join("bin/busybox")).expect("copy");
    for tool in "sh ls cat echo sleep env id hostname true false touch mkdir rm seq yes dd kill ps tty stty grep head wc stat mount mknod ipcs pwd readlink"
        .split(' ')
    {
        symlink("busybox", dir.join("bin").join(tool)).expect("link");
    }
    std::fs::write(
        dir.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n",
    )
    .expect("passwd");
    std::fs::write(dir.join("bin/broken"), "not a program").expect("broken");
    std::fs::set_permissions(
        dir.join("bin/broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("chmod");
}

impl World {
    /// Runs one test; complains about whatever is left afterwards.
    pub fn run(name: &str, case: Case) -> Result<(), String> {
        let before = Leftovers::now();
        let dir = PathBuf::from(format!("/var/tmp/rt-test-{}-{name}", std::process::id()));
        let cluster = format!("test-{}-{name}", std::process::id());
        let cleaner = Cleaner {
            dir: dir.clone(),
            group: format!("cncfdemo/{cluster}"),
        };
        let layer = dir.join("layer");
        make_layer(&layer);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("tokio").block_on(async {
            start_daemon(&dir, &cluster);
            let client = Client::connect(dir.join("run/runtime.sock"))
                .await
                .expect("connect");
            let exits = client.events();
            let mut world = Self {
                dir: dir.clone(),
                layer,
                name: cluster.clone(),
                client,
                has_limits: has_limits(),
                is_unified: Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
                exits,
            };
            case(&mut world).await;
            world.remove_all().await;
        });
        let log = std::fs::read_to_string(dir.join("runtime.log")).unwrap_or_default();
        if let Some(line) = log.lines().find(|l| l.contains("panicked")) {
            return Err(line.to_owned());
        }
        drop(cleaner);
        let after = Leftovers::now();
        if after != before {
            return Err(format!("left behind: {:?}", after.more_than(&before)));
        }
        Ok(())
    }

    /// A container that runs `sh -c script`.
    pub fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        let dir = self.dir.join("nodes/n1/pods/uid/containers").join(name).join("0");
        ContainerSpec {
            id: format!("uid.{name}.0"),
            log_path: dir.join("0.log"),
            dir,
            lower_dirs: vec![self.layer.clone()],
            args: ["/bin/sh", "-c", script].map(String::from).to_vec(),
            cgroup: format!("cncfdemo/{}/n1/besteffort/poduid/{name}", self.name),
            hostname: Some("pod-0".into()),
            limits: Limits {
                pids: self.has_limits.then_some(200),
                ..Limits::default()
            },
            ..ContainerSpec::default()
        }
    }

    /// Starts it and waits for its end.
    pub async fn complete(&mut self, spec: ContainerSpec) -> Exit {
        let id = spec.id.clone();
        self.client.create_start(spec).await.expect("start");
        self.exit_of(&id).await
    }

    /// Waits for an exit; those of others are dropped.
    pub async fn exit_of(&mut self, id: &str) -> Exit {
        loop {
            let exit = tokio::time::timeout(PATIENCE, self.exits.recv())
                .await
                .expect("in time")
                .expect("events");
            if exit.id == id {
                return exit;
            }
        }
    }

    /// The contents of a log without times, such as `stdout F line`. One that is being written is left out.
    pub fn log(&self, name: &str) -> Vec<String> {
        let path = self
            .dir
            .join("nodes/n1/pods/uid/containers")
            .join(name)
            .join("0/0.log");
        let text = std::fs::read_to_string(path).expect("log");
        let whole = text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n'));
        whole
            .map(|l| l.split_once(' ').expect("a time").1.to_owned())
            .collect()
    }

    /// Waits until the log has this line.
    pub async fn logged(&self, name: &str, line: &str) {
        let has = || self.log(name).iter().any(|l| l == line);
        assert!(
            eventually(has).await,
            "log of {name} never had {line:?}: {:?}",
            self.log(name)
        );
    }

    /// SIGKILL for the daemon.
    pub async fn kill_daemon(&self) -> i32 {
        let pid = self.client.ping().await.expect("ping").pid;
        kill(pid);
        pid
    }

    /// A new daemon.
    pub fn start_daemon(&self) {
        start_daemon(&self.dir, &self.name);
    }

    /// Waits until memory holds only what the daemon knows: what an earlier one did not finish is cleaned away in passing.
    pub async fn cleaned(&self) {
        let (begun, mut kept) = (Instant::now(), Vec::new());
        while begun.elapsed() < PATIENCE {
            let known = self.client.list().await.expect("list");
            let live = std::fs::read_dir(self.dir.join("run/live/containers")).expect("live");
            let there = live.flatten().map(|entry| entry.file_name());
            kept = there
                .filter(|name| known.iter().all(|i| name != i.id.as_str()))
                .collect();
            if kept.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("kept in memory: {kept:?}");
    }

    async fn remove_all(&self) {
        for info in self.client.list().await.expect("list") {
            let _ = self.client.kill_all(&info.id).await;
            let begun = Instant::now();
            while self.client.remove(&info.id).await.is_err() && begun.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert_eq!(self.client.list().await.expect("list"), []);
        self.cleaned().await;
        self.client
            .remove_cgroup(&format!("cncfdemo/{}/n1", self.name), true)
            .await
            .expect("cgroup");
        // All of it is gone while the daemon still lives; the daemon itself is the cleaner's.
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let own: Vec<_> = points.filter(|p| Path::new(p).starts_with(&self.dir)).collect();
        assert_eq!(
            own,
            [self.dir.join("run/live").to_string_lossy()],
            "mounts are left"
        );
        self.client.shutdown().await.expect("shutdown");
    }
}

/// Whether it comes true.
pub async fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    true
}

/// SIGKILL.
pub fn kill(pid: i32) {
    let done = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .expect("kill");
    assert!(done.success());
}

fn start_daemon(dir: &Path, name: &str) {
    std::fs::create_dir_all(dir.join("run")).expect("create");
    let me = std::env::current_exe().expect("own path");
    let argv = [
        me.as_os_str(),
        "__runtime".as_ref(),
        dir.as_os_str(),
        name.as_ref(),
    ];
    client::ensure_daemon(dir, &argv, PATIENCE).expect("daemon");
}

/// Cleans up also after a panic, with nothing but the names.
struct Cleaner {
    dir: PathBuf,
    group: String,
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        let layout = Layout::detect().expect("layout");
        layout.kill(&self.group).expect("kill");
        if let Err(e) = layout.remove(&self.group, PATIENCE) {
            println!("cleaner: {e}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        for line in mounts.lines().rev() {
            let point = line.split(' ').nth(4).unwrap_or_default();
            if Path::new(point).starts_with(&self.dir) {
                let _ = Command::new("umount").args(["-l", point]).status();
            }
        }
        if let Err(e) = std::fs::remove_dir_all(&self.dir) {
            println!("cleaner: {e}");
        }
        // Shared with real clusters: goes only if it is empty.
        let _ = layout.remove_if_empty("cncfdemo");
    }
}

/// What the machine holds of this run's; another run of these tests is at liberty.
#[derive(Debug, PartialEq)]
struct Leftovers {
    mounts: BTreeSet<String>,
    groups: BTreeSet<PathBuf>,
}

impl Leftovers {
    fn now() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let mounts = mounts
            .lines()
            .filter_map(|l| l.split(' ').nth(4))
            .filter(|p| p.contains(&format!("rt-test-{}-", std::process::id())))
            .map(str::to_owned)
            .collect();
        let mut groups = BTreeSet::new();
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(root).expect("cgroups").flatten();
        // In a pure v2 tree the root is the only one.
        for hierarchy in hierarchies.map(|e| e.path()).chain([root.to_owned()]) {
            if let Ok(entries) = std::fs::read_dir(hierarchy.join("cncfdemo")) {
                let own = format!("/test-{}-", std::process::id());
                let ours = |p: &PathBuf| p.to_string_lossy().contains(&own);
                groups.extend(
                    entries
                        .flatten()
                        .map(|e| e.path())
                        .filter(|p| p.is_dir())
                        .filter(ours),
                );
            }
        }
        Self { mounts, groups }
    }

    fn more_than(&self, before: &Self) -> (Vec<String>, Vec<PathBuf>) {
        (
            self.mounts.difference(&before.mounts).cloned().collect(),
            self.groups.difference(&before.groups).cloned().collect(),
        )
    }
}
