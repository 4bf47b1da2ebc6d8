//! Deploys templates and manifests on any cluster: render, order, apply, wait, and tell what is being waited for.
//!
//! A `kube::Client` is all that is known of the cluster; nothing here may depend on which one it is.
mod apply;
mod bundle;
mod configmap;
mod error;
mod manifest;
mod steps;
mod template;
mod wait;

pub use apply::{Applier, Outcome};
pub use bundle::{Bundle, File};
pub use configmap::{ConfigMapSource, config_map};
pub use error::Error;
pub use manifest::{Manifest, parse};
pub use steps::{Event, Step, StepTiming, Steps, render_app, run, teardown};
pub use template::{Templates, Values};
pub use wait::{Readiness, explain, readiness};
