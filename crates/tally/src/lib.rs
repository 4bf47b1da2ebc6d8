//! The analytics server of the demo: Countly's HTTP API on a Redis Cluster.
//!
//! So far the write API's sessions and events (`/i`), `/o/ping` and `/o/analytics/sessions`. A request is acknowledged only
//! after Redis has acknowledged its writes, which go to one hash slot in one transaction.
mod api;
mod metrics;
mod request;
mod server;
mod store;

pub use request::{Event, Request, Rejection};
pub use server::{Config, Error};
pub use store::{DaySessions, Store, StoreError, wait_until_ready};
