//! The results server: runs are submitted, listed, searched, shown and compared; demos that are under way are followed live.
//!
//! Documents are kept in one redb file; an answer of 201 means that the document is on the disk. A small summary of each is
//! kept in memory, so that listing and searching touch no document.
mod api;
mod demos;
mod error;
mod openapi;
mod pages;
mod store;
mod summary;

pub use api::{Config, router, serve};
pub use demos::{Demo, State};
pub use error::Error;
pub use openapi::document as openapi;
pub use store::{Added, Store};
pub use summary::{Page, Query, Summary};
