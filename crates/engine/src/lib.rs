//! Composes API server, controllers and node agents into a running cluster on this machine.
//!
//! A cluster is found from its name alone ([`Paths`], [`plan`]): its folder, its cgroups, its one host link. That is what
//! makes [`launch`] idempotent and [`destroy`] possible without any living process.
mod cgroup;
pub mod chaos;
pub mod destroy;
mod error;
pub mod kubeconfig;
pub mod launch;
mod lock;
mod outages;
mod owner;
mod paths;
pub mod pki;
pub mod plan;
mod process;
pub mod run;
pub mod status;

pub use cgroup::{CpuTime, cpu_time};
pub use error::Error;
pub use paths::Paths;
pub use plan::Plan;
