//! The only crate that looks at the machine for preflight. It collects facts and judges nothing.
mod local_engine;
mod network_probe;

pub use local_engine::local_engine_facts;
