//! The analytics server of the demo: Countly's HTTP API on a Redis Cluster.
//!
//! A request goes `api` (HTTP) → `params` (what was sent) → `request` (what it means) → `plan` (what it changes) → `store` (batches,
//! applied once, acknowledged after a replica has them). Reading goes `api::read` → `store::reads`.
mod api;
mod app;
mod metrics;
mod params;
mod plan;
mod request;
mod server;
mod store;
mod when;

pub use app::{App, Apps, AppsError};
pub use params::Params;
pub use request::{Crash, Event, Rejection, Request, UserChange};
pub use server::{Config, Error};
pub use store::{Store, StoreError, Written, wait_until_ready};
