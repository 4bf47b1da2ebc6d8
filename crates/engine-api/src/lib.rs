//! The API server of the embedded engine: store, watch, admission, patches, discovery, tables and the HTTP front.
//!
//! A request comes in by `server`, is understood by `route`, authenticated and authorised by `auth`, and answered by
//! `dispatch`, which hands it to the `registry` (objects), `watch`, `reviews`, `subresources`, `streams` (logs, exec,
//! port-forward), `proxy` or `discovery`. `admission` stands between the registry and the store.

mod admission;
mod answer;
mod api;
mod audit;
mod auth;
mod bootstrap;
mod config;
mod convert;
mod discovery;
mod dispatch;
mod json;
mod keys;
mod metrics;
mod negotiate;
mod proxy;
mod query;
mod registry;
mod reviews;
mod route;
mod selector;
mod server;
mod status;
mod streams;
mod subresources;
mod time;
mod user;
mod watch;

pub use audit::AuditEvent;
pub use config::{AuditHook, BuildError, Config};
pub use proxy::NodeProxy;
pub use server::ApiServer;
