//! Faults under load: who is chosen, how it is broken, how it is undone, and what the cluster did meanwhile.
//!
//! A `kube::Client` is all that is needed; for local clusters the binary adds [`Means`], what no API can do. Whatever lasts has a
//! deadline that holds without this program: whoever carries a fault out (a pod on the node, the engine) undoes it by itself, so that
//! nothing stays broken when the injector is killed or loses its connection. [`Chaos::left`] finds what is still broken from the
//! cluster alone.
//!
//! [`Observer`] watches the API while a load runs; what the happenings say is computed in `results`.
mod chaos;
mod error;
mod fault;
mod helper;
mod inject;
mod means;
mod store;
mod timeline;
mod victim;

pub use chaos::{Chaos, Injected, Left};
pub use error::Error;
pub use fault::{Count, Disk, Effect, Fault, KillBy, Kind, NodeBy, Role, Target};
pub use means::{BrokenNode, Means, MeansError};
pub use store::StoreWatch;
pub use timeline::Observer;
