//! The container runtime daemon: single-threaded, starts containers by libcontainer, keeps their logs and exit codes.
//!
//! Two halves share the types in [`proto`]:
//! - [`daemon`]: an epoll loop without threads. It forks a short-lived worker for whatever may block (starting, removing, exec), so
//!   that libcontainer's clones never come from a threaded process, and stays the parent of every container.
//! - [`client`]: the async side that the node agent uses; it reconnects, and replays exits that were missed.
//!
//! What is deliberately not here: device filtering on pure cgroup v2 (there `CAP_MKNOD` is left out of the default capabilities
//! instead).
//!
//! What a dead daemon costs: containers go on. Their output waits in the FIFOs (64 KiB, then writers block) until the daemon is back.
//! A container that ends meanwhile is reported with the code 137 and `unknown: true` unless the kernel still tells the real code
//! (Linux 6.15 and newer keep it with the pidfd, if the daemon came back first). A container with a terminal gets SIGHUP.

pub mod cgroup;
pub mod client;
pub mod daemon;
mod error;
pub mod proto;
mod seccomp;
mod spec;
mod sys;
pub mod usage;
mod wire;
mod worker;

pub use client::Client;
pub use daemon::{DaemonConfig, run};
pub use error::{Error, Result};
pub use sys::mount_memory;
