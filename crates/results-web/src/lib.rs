//! The results server: runs are submitted, listed, searched, shown and compared; demos that are under way are followed live.
//!
//! Documents are kept in one SQLite file; an answer of 201 means that the document is on the disk. Listing and searching touch
//! no document: each has a small summary, with indexes for every order and filter, and one of all threes of letters.
mod api;
mod demos;
mod error;
mod list;
mod openapi;
mod pages;
mod store;
mod summary;

pub use api::{Config, router, serve};
pub use demos::{Demo, State};
pub use error::Error;
pub use list::{Page, Query};
pub use openapi::document as openapi;
pub use store::{Added, Store};
pub use summary::Summary;
