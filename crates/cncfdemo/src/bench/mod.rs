//! A run of the benchmark: the load, and what is observed of the cluster meanwhile.
mod background;
mod cluster_info;
mod endpoint;
mod environment;
mod fault;
mod interrupt;
mod load_run;
pub mod plans;
mod prometheus;
mod report_files;

pub use endpoint::endpoint;
pub use load_run::{Order, Subject, run};
pub use report_files::{default_name, save};
