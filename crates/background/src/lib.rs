//! The demo's low-priority work, and what is told of it.
//!
//! [`docking`] docks drug molecules to a protein with AutoDock Vina, the program that the search for Zika drugs on World Community
//! Grid ran: real work that needs no network.
//! [`boinc`] tells what a BOINC client does for World Community Grid or any other project, where there is a network.
//! [`primes`] is work that needs nothing but this program: what the engine's tests keep a CPU busy with.
//! Each role serves `/metrics` for Prometheus and `/healthz`.
pub mod boinc;
pub mod docking;
mod error;
mod page;
pub mod primes;

pub use error::Error;
