//! The engine's store: an ordered map of JSON objects with one revision, watch events without a gap, and a write-ahead
//! log with group commit and snapshots.
//!
//! A write is acknowledged, and becomes visible to readers and watchers, only once it is durable. One thread owns the
//! files: it takes whatever requests are waiting, writes them as one frame, syncs once, publishes and acknowledges.
//! While nothing is written, nothing runs.
//!
//! - [`Config`] opens a store (recovery happens there) and [`Recovery`] says what was found.
//! - [`Store`] reads and writes; [`Stored`] is one version of one object; [`Watch`] is a stream of [`Event`]s.
//!
//! Files, all private to the owner: `snapshot-REVISION` (every object at that revision) and `log-REVISION` (the writes
//! from that revision on). See `frame.rs` for the format and for what counts as a torn tail.

mod config;
mod disk;
mod error;
mod frame;
mod memory;
mod object;
mod recover;
mod segment;
mod snapshot;
mod store;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::{Gone, OpenError, WriteError};
pub use object::{Event, EventKind, Stored, Worn};
pub use recover::{Recovery, TornTail};
pub use store::{Precondition, Snapshot, Store};
pub use watch::Watch;
