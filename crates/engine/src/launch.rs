//! Brings a cluster up as a supervised background process; running it again finds what is there and mends it.
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::lock::Lock;
use crate::outages::Outages;
use crate::plan::{FORMAT, Lifecycle};
use crate::{Error, Paths, Plan, kubeconfig, owner, pki, status};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Number of virtual nodes, 1 to 50; `None` takes what an existing cluster has, else 1.
    pub nodes: Option<u32>,
    /// Port of the API server on 127.0.0.1; `None` chooses a free one.
    pub api_port: Option<u16>,
    /// How soon the loss of a node is acted upon; what is `None` is taken from an existing cluster, else from upstream.
    pub lifecycle: AskedLifecycle,
    /// This program, to be run as `PROGRAM __runtime DIR` and `PROGRAM __engine DIR`.
    pub program: PathBuf,
    /// How long to wait for the nodes to be Ready.
    pub patience: Duration,
}

/// What is asked of [`Lifecycle`], in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct AskedLifecycle {
    /// Silence after which a node counts as lost.
    pub node_monitor_grace: Option<u32>,
    /// How long pods stay on a node that is not ready.
    pub not_ready_toleration: Option<u32>,
    /// How long pods stay on a node that cannot be reached.
    pub unreachable_toleration: Option<u32>,
}

impl AskedLifecycle {
    fn over(self, base: Lifecycle) -> Lifecycle {
        Lifecycle {
            node_monitor_grace: self.node_monitor_grace.unwrap_or(base.node_monitor_grace),
            not_ready_toleration: self.not_ready_toleration.unwrap_or(base.not_ready_toleration),
            unreachable_toleration: self.unreachable_toleration.unwrap_or(base.unreachable_toleration),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Launched {
    /// The cluster's plan.
    pub plan: Plan,
    /// Whether it was made now, rather than found.
    pub created: bool,
    /// From the call to every node Ready.
    pub took: Duration,
}

/// Decides what a bootstrap would do, without changing anything.
pub fn plan(paths: &Paths, request: &Request) -> Result<(Plan, bool), Error> {
    owner::check(paths)?;
    if let Some(plan) = Plan::read(paths)? {
        check_same(&plan, request)?;
        return Ok((plan, false));
    }
    let others: Vec<Plan> = Paths::existing(paths.state())
        .into_iter()
        .filter(|other| other != paths.name())
        .filter_map(|other| Plan::read(&Paths::new(paths.state(), &other).ok()?).ok()?)
        .collect();
    let taken: Vec<u8> = others.iter().map(|p| p.index).collect();
    let index = engine_net::choose_index(&taken).map_err(|e| Error::part("pod network")(Box::new(e)))?;
    let plan = Plan {
        format: FORMAT,
        name: paths.name().to_owned(),
        index,
        nodes: request.nodes.unwrap_or(1),
        api_port: api_port(request.api_port, index, &others)?,
        lifecycle: request.lifecycle.over(Lifecycle::default()),
        created_by: env!("CARGO_PKG_VERSION").to_owned(),
        created: jiff::Timestamp::now()
            .round(jiff::Unit::Second)
            .unwrap_or_default()
            .to_string(),
    };
    Ok((plan, true))
}

/// An existing cluster is what it is: whoever asks for something else is told.
fn check_same(plan: &Plan, request: &Request) -> Result<(), Error> {
    let different = |existing: String, asked: String| Error::Different {
        name: plan.name.clone(),
        existing,
        asked,
    };
    if let Some(asked) = request.nodes.filter(|asked| *asked != plan.nodes) {
        return Err(different(format!("{} node(s)", plan.nodes), asked.to_string()));
    }
    let (has, wants) = (plan.lifecycle, request.lifecycle.over(plan.lifecycle));
    for (flag, has, wants) in [
        (
            "--node-monitor-grace-period",
            has.node_monitor_grace,
            wants.node_monitor_grace,
        ),
        (
            "--default-not-ready-toleration-seconds",
            has.not_ready_toleration,
            wants.not_ready_toleration,
        ),
        (
            "--default-unreachable-toleration-seconds",
            has.unreachable_toleration,
            wants.unreachable_toleration,
        ),
    ] {
        if has != wants {
            return Err(different(format!("{flag} {has} s"), format!("{wants} s")));
        }
    }
    Ok(())
}

/// The asked port if it is free, else the first free one from 7443 on that no other cluster has.
fn api_port(asked: Option<u16>, index: u8, others: &[Plan]) -> Result<u16, Error> {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop);
    let part = |port: u16, e: std::io::Error| Error::Part {
        part: "API server",
        reason: format!("port {port} on 127.0.0.1 is taken ({e}): free it or choose another --api-port"),
    };
    if let Some(port) = asked {
        return free(port).map(|()| port).map_err(|e| part(port, e));
    }
    let first = 7443 + u16::from(index);
    (first..first + 500)
        .find(|&port| others.iter().all(|o| o.api_port != port) && free(port).is_ok())
        .ok_or_else(|| part(first, std::io::ErrorKind::AddrInUse.into()))
}

/// Creates the cluster or finds it, starts what does not run, and waits until the API answers and every node is Ready.
pub fn launch(paths: &Paths, request: &Request) -> Result<Launched, Error> {
    let begun = Instant::now();
    // Refusals come before anything is written; the lock below makes the decision again.
    plan(paths, request)?;
    fs::create_dir_all(paths.run()).map_err(Error::file("create", paths.run()))?;
    let _lock = Lock::wait(&paths.run().join("bootstrap.lock"))?;
    // Addresses and ports are free for the choosing until the cluster is up; two that choose at once would take the same.
    let choosing = if Plan::read(paths)?.is_none() {
        Some(Lock::machine()?)
    } else {
        None
    };
    let (plan, created) = plan(paths, request)?;
    if created {
        plan.write(paths)?;
    }
    let keys = pki::Pki::ensure(paths, &plan)?;
    kubeconfig::write(paths, &plan, &keys)?;
    forget_before_reboot(paths)?;
    fs::write(paths.enabled(), "").map_err(Error::file("write", paths.enabled()))?;
    start_daemon(paths, request)?;
    wait_ready(paths, &plan, request.patience)?;
    drop(choosing);
    Ok(Launched {
        plan,
        created,
        took: begun.elapsed(),
    })
}

/// After a reboot sockets, locks and namespaces in `run/` stand for nothing.
fn forget_before_reboot(paths: &Paths) -> Result<(), Error> {
    let now = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let path = paths.run().join("boot_id");
    match fs::read_to_string(&path) {
        Ok(then) if then == now => return Ok(()),
        Ok(_) => {
            for stale in ["netns", "runtime.sock", "control.sock", "outages.json", "pids"] {
                let stale = paths.run().join(stale);
                let removed = if stale.is_dir() {
                    fs::remove_dir_all(&stale)
                } else {
                    fs::remove_file(&stale)
                };
                match removed {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::file("remove", stale)(e));
                    }
                    _ => {}
                }
            }
        }
        Err(_) => {}
    }
    fs::write(&path, now).map_err(Error::file("write", path))
}

/// Starts the runtime daemon, which starts the engine. Where one runs already, nothing happens.
fn start_daemon(paths: &Paths, request: &Request) -> Result<(), Error> {
    let dir = paths.dir();
    let argv = [request.program.as_os_str(), "__runtime".as_ref(), dir.as_os_str()];
    engine_runtime::client::ensure_daemon(&dir, &argv, request.patience)
        .map(drop)
        .map_err(|e| Error::part("runtime daemon")(Box::new(e)))
}

/// An engine that has failed so often in a row will not come up by being started again.
const HOPELESS: usize = 4;

fn wait_ready(paths: &Paths, plan: &Plan, patience: Duration) -> Result<(), Error> {
    let begun = Instant::now();
    let log_before = fs::metadata(paths.engine_log()).map_or(0, |m| m.len());
    // Nodes that somebody has taken out for a while are not waited for.
    let out = Outages::read(paths)?.len() as u32;
    let wanted = plan.nodes.saturating_sub(out);
    loop {
        let reason = match status::ready_nodes(paths) {
            Ok(ready) if ready >= wanted => return Ok(()),
            Ok(ready) => format!("{ready} of {wanted} nodes are Ready"),
            Err(reason) => reason,
        };
        let failures = failures_since(paths, log_before);
        if begun.elapsed() > patience || failures.len() >= HOPELESS {
            return Err(Error::NotReady {
                name: plan.name.clone(),
                seconds: begun.elapsed().as_secs(),
                reason: failures.last().cloned().unwrap_or(reason),
                log: paths.engine_log(),
            });
        }
        // Nothing tells another process that a node has become Ready; 3 ms is below what a person or a figure notices.
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// What engines that ended since then said last.
fn failures_since(paths: &Paths, offset: u64) -> Vec<String> {
    // Looked at only when it has grown: a healthy start writes nothing.
    if fs::metadata(paths.engine_log()).map_or(0, |m| m.len()) <= offset {
        return Vec::new();
    }
    let text = fs::read(paths.engine_log()).unwrap_or_default();
    let new = String::from_utf8_lossy(text.get(offset as usize..).unwrap_or_default()).into_owned();
    new.lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .map(str::to_owned)
        .collect()
}
