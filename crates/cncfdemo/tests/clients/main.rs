//! Clients that nobody here wrote, at pinned versions, on a real cluster: they say whether it is Kubernetes. Each lives in a folder
//! of its own with its list of packages; they are installed below `target/`.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
mod helm;
mod javascript;
mod kube_rs;
mod kubectl;
mod packages;
mod python;

use testkit::{Cluster, State};

/// A cluster, and the name of an image with a shell in it.
fn cluster(name: &str) -> (Cluster, String) {
    let state = State::shared();
    let image = state.build("busybox");
    let cluster = Cluster::new(&state, name);
    cluster.bootstrap();
    (cluster, image)
}
