//! A run of the benchmark: the load, and what is observed of the cluster meanwhile.
mod cluster_info;
mod endpoint;
mod fault;
mod load_run;
mod prometheus;
mod report_files;

pub use endpoint::endpoint;
pub use load_run::{Order, Subject, run};
pub use report_files::{default_name, save};
