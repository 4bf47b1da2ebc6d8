//! The API server driven through its in-memory client: no socket, no root, no containers.
mod common;
mod objects;
mod pods;
mod rbac;
mod streams;
mod watches;
