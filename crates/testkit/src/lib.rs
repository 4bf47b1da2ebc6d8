//! A fluent harness for the tests of the binary.
//!
//! [`Test`] runs the program once and checks what a person sees. [`Cluster`] is a local cluster of a test's own, taken down
//! when dropped. [`Snapshot`] is what the machine looks like, so that a test can show that nothing is left behind.
//! [`Case`] is a script of kubectl commands with what upstream answered. [`machine`] lets tests that look at the whole machine have it for themselves.
mod cluster;
pub mod machine;
mod ports;
mod snapshot;
mod state;
mod test;
mod transcript;
mod wait;

pub use cluster::Cluster;
pub use ports::free_port;
pub use snapshot::{Difference, Snapshot};
pub use state::State;
pub use test::{Outcome, Running, Test, program};
pub use transcript::Case;
pub use wait::{PATIENCE, eventually};

use std::io::Write as _;

/// Groups of all clusters, in every cgroup hierarchy; the latter is what runs on idle CPU.
pub(crate) const CGROUPS: [&str; 2] = ["cncfdemo", "cncfdemo-idle"];

/// Whether a process, by its `/proc/PID/cgroup`, is in a group of ours: of a cluster by its name, of a part of one as `NAME/NODE`,
/// of any with the empty name.
pub(crate) fn in_group(cgroups: &str, of: &str) -> bool {
    CGROUPS.iter().any(|top| {
        let folder = format!("/{top}/{of}");
        let folder = folder.trim_end_matches('/');
        let below = format!("{folder}/");
        cgroups
            .lines()
            .any(|line| line.ends_with(folder) || line.contains(&below))
    })
}

/// Whether a test that needs root has to be passed over; says so, also when the test's output is captured.
///
/// ```no_run
/// if testkit::skipped_without_root("lifecycle") { return; }
/// ```
pub fn skipped_without_root(test: &str) -> bool {
    let without = !is_root();
    if without {
        skipped(test, "it needs root");
    }
    without
}

/// Says on stderr itself, which the test harness does not capture, that a test or a part of it did not run.
pub fn skipped(test: &str, reason: &str) {
    // Nobody to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Kills a process with SIGKILL; one that is gone already is fine.
///
/// # Panics
/// When it may not be killed.
pub fn kill(pid: i32) {
    cluster::kill(pid);
}

/// Whether a pod says that it is Ready.
pub fn is_ready(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    cluster::is_ready(pod)
}

/// Asks for a page by HTTP/1.0 and gives the answer's body.
///
/// # Errors
/// A sentence when it cannot be had or is no 200.
pub fn http_get(address: &str, path: &str) -> Result<String, String> {
    cluster::http_get(address, path)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
