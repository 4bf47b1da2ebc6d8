//! The checks, by what they look at. The order here is the order of the table.
mod engine;
mod fleet;
mod kernel;
mod mongodb;
mod network;
mod node;
mod parameters;
mod runtime;
mod storage;

use crate::check::{Check, Profile};

/// Profiles of machines that become nodes.
const NODES: &[Profile] = &[Profile::Node, Profile::ControlPlane, Profile::Mongodb];

/// Every check there is: of machines, fleets, clusters and clouds.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        engine::CHECKS,
        storage::CHECKS,
        parameters::CHECKS,
        network::CHECKS,
        kernel::CHECKS,
        runtime::CHECKS,
        node::CHECKS,
        mongodb::CHECKS,
        fleet::CHECKS,
        crate::cluster::CHECKS,
        crate::cloud::CHECKS,
    ]
    .into_iter()
    .flatten()
}
