//! The API server driven through its in-memory client: no socket, no root, no containers.
#![allow(
    clippy::unwrap_used,
    clippy::items_after_statements,
    reason = "tests panic; constants stand where they are used"
)]

mod admission;
mod admitted;
mod aggregation;
mod answers;
mod common;
mod conversions;
mod custom;
mod extensions;
mod forms;
mod hostile;
mod https;
mod mutations;
mod nodes;
mod objects;
mod odd;
mod openapi;
mod oracle;
mod pod_security;
mod pods;
mod policies;
mod questions;
mod rbac;
mod resizes;
mod routes;
mod rules;
mod signing;
mod streams;
mod watch_model;
mod watches;
