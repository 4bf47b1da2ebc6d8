//! The node agent of the embedded engine: what upstream calls the kubelet.
//!
//! [`Config::build`] registers a Node, follows the pods bound to it, and gives each a worker: one task that owns everything known of
//! the pod. Decisions are pure functions (`policy`: what to start and to kill; `status`: what the API server is told; `env`, `names`,
//! `resources`, `container`: what a container is started with); the worker carries them out through the runtime daemon
//! (`engine-runtime`), the node's network (`engine-net`) and the image store (`image`), and writes back through a `kube::Client`.
//! Running containers outlive the agent and are taken over by the next one (`worker::adopt`).
//!
//! Behaviour, reasons, messages and events follow upstream's kubelet 1.36; where a file of it was the source, its path is named.

mod admission;
mod agent;
mod allocation;
mod backoff;
mod container;
mod disk;
mod downward;
mod env;
mod env_file;
mod error;
mod events;
mod images;
mod logs;
mod model;
mod names;
mod node;
mod objects;
mod policy;
mod probe;
mod resize;
mod resources;
mod server;
mod shared;
mod stats;
mod status;
mod streams;
mod users;
mod volumes;
mod worker;

pub use agent::{Config, NodeAgent};
pub use engine_runtime::usage::Usage;
pub use error::{Error, Result};
pub use node::{Capacity, KUBELET_VERSION};
pub use server::PORT;
pub use stats::window::{PodResources, Rate, ResourceUsage};
pub use stats::{ContainerStats, Network, NodeStats, PodStats};
pub use streams::Nodes;
