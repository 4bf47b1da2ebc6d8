//! Watching a demo: what happens on a cluster, what is measured of it and what is done with it, as one story, live.
//!
//! [`story`] is the pure part: facts in, changes of what is shown out. [`Config::build`] begins to follow a cluster by watches of
//! its API, by queries of its Prometheus and by the journal of activity; it begins before there is a cluster, and goes on when
//! the API is restarted or another cluster takes its place. [`Hub`] has the story and tells it to any number of viewers: the
//! page ([`serve`]) and the terminal ([`terminal`]).
mod follow;
mod hub;
mod server;
pub mod story;
pub mod terminal;

pub use follow::{Config, Dashboard};
pub use hub::{Full, Hub, Update, View};
pub use server::{router, serve};
