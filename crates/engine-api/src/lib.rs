//! The API server of the embedded engine: store, watch, admission, patches, discovery, tables and the HTTP front.
//!
//! A request comes in by `server`, is understood by `route`, authenticated and authorised by `auth`, and answered by
//! `dispatch`, which hands it to the `registry` (objects), `watch`, `reviews`, `subresources`, `streams` (logs, exec,
//! port-forward), `proxy`, `resource_metrics`, `aggregation` (APIs of other servers) or `discovery`. Kinds that clients define are `custom`. `admission` stands
//! between the registry and the store, and asks webhooks by `outward`.

mod abrupt;
mod admission;
mod aggregation;
mod answer;
mod api;
mod aside;
mod audit;
mod auth;
mod bare;
mod bootstrap;
mod classify;
mod config;
mod convert;
mod custom;
mod discovery;
mod dispatch;
mod encode;
mod expiry;
mod flow;
mod health;
mod json;
mod keys;
mod memory;
mod metrics;
mod negotiate;
mod openapi;
mod options;
mod outward;
mod pretty;
mod proxy;
mod query;
mod registry;
mod resource_metrics;
mod reviews;
mod route;
mod said;
mod selector;
mod server;
mod spread;
mod status;
mod streams;
mod subresources;
mod time;
mod user;
mod watch;
mod yaml;
mod zpages;

pub use aggregation::{ClientIdentity, FrontProxy, Network};
pub use audit::AuditEvent;
pub use config::{AuditHook, BuildError, Config};
pub use resource_metrics::{MetricsSource, NodeUsage, PodUsage, Usage};
pub use server::ApiServer;
