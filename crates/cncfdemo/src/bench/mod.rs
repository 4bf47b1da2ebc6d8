//! A run of the benchmark: the load, and what is observed of the cluster meanwhile.
mod background;
mod cluster_info;
mod count;
mod endpoint;
mod environment;
mod faults;
mod interrupt;
mod load_run;
mod neighbours;
pub mod plans;
mod prometheus;
pub mod publish;
mod report_files;
mod workers;

pub use endpoint::{application, endpoint, inside};
pub use faults::{Faults, Planned};
pub use interrupt::Interrupt;
pub use load_run::{Order, Subject, run};
pub use report_files::{default_name, save};
