//! The only crate that looks at the machine for preflight, and changes it when asked. [`collect`] gathers facts and judges
//! nothing; [`mend`] does what a finding's changes say, keeps a journal of it, and takes it back.
mod collect;
mod local_engine;
pub mod mend;
mod network_probe;

pub use collect::{Collect, collect};
pub use local_engine::local_engine_facts;
