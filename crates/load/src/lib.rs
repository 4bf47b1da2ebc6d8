//! HTTP/1.1 load: open loop at a rate or in steps, with latency counted from the time a request was meant to be sent, or
//! closed loop; on one address or several, with weighted mixes of requests.
//!
//! One event loop per thread, prebuilt requests, one request in flight per connection, a histogram per thread, no shared
//! state. The generator watches itself: how much of a core it used and how long it waited for one, how late it sent, how much
//! of the asked rate it sent, and what it could send if the server cost nothing ([`ceiling`]). Several generators, on several
//! machines, make one [`Recording`]: they begin at one instant, and what they print is merged without loss.
mod arrivals;
mod ceiling;
mod connection;
mod lane;
mod mix;
mod null_server;
mod plan;
mod processor;
mod recording;
mod response;
mod run;
mod target;
mod task;
mod wire;
mod worker;

pub use arrivals::{Arrivals, Step};
pub use ceiling::ceiling;
pub use mix::{Mix, MixError, Parameter, Template};
pub use null_server::{NullServer, Stall};
pub use plan::{Lane, Mode, Plan, PlanError};
pub use recording::{Recording, Second};
pub use run::{run, run_told};
pub use target::{Target, TargetError};
pub use task::{Pace, Task};
pub use wire::WireError;
pub use worker::OnSecond;
