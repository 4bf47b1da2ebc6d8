//! The API server driven through its in-memory client: no socket, no root, no containers.
#![allow(
    clippy::unwrap_used,
    clippy::items_after_statements,
    reason = "tests panic; constants stand where they are used"
)]

mod common;
mod objects;
mod pods;
mod rbac;
mod streams;
mod watches;
