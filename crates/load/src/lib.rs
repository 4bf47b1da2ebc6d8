//! HTTP/1.1 load: open loop at a rate, with latency counted from the time a request was meant to be sent, or closed loop.
//!
//! One event loop per thread, prebuilt requests, one request in flight per connection, a histogram per thread, no shared
//! state. The generator watches itself: how much of a core it used, how late it sent, how much of the asked rate it sent.
mod connection;
mod plan;
mod recording;
mod response;
mod worker;

pub use plan::{Mode, Plan, PlanError, Target, http_request};
pub use recording::{Recording, Second};
pub use worker::run;
