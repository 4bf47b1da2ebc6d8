use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Arrivals, TargetError};

/// When requests are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// When they are due, whatever the server does.
    Open(Arrivals),
    /// For so long, the next request on a connection as soon as its answer is there.
    Closed(Duration),
}

/// One address, and what is sent to it. Every lane has connections of its own, so that a lane that stalls holds up no other.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Where to connect.
    pub address: SocketAddr,
    /// Complete HTTP/1.1 requests, sent in turn.
    pub requests: Arc<[Vec<u8>]>,
    /// This lane's part of the rate (closed loop: of the connections), in proportion to the others'.
    pub weight: u32,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is loaded.
    pub lanes: Arc<[Lane]>,
    /// When to send.
    pub mode: Mode,
    /// Load as in the first step for so long before anything counts.
    pub warm_up: Duration,
    /// Connections over all threads and lanes; every lane has at least one.
    pub connections: u32,
    /// Threads.
    pub threads: u32,
    /// A request that takes longer counts as failed, and its connection is made anew.
    pub timeout: Duration,
    /// When the warm-up begins; at once when it is `None`.
    pub start: Option<Instant>,
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A target cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A number makes no sense.
    #[error("{0}")]
    Number(&'static str),
    /// An event loop could not be made or failed.
    #[error("failed to run an event loop: {0}")]
    Loop(#[from] std::io::Error),
}

impl Plan {
    /// For how long requests are counted, without the warm-up.
    pub fn time(&self) -> Duration {
        match &self.mode {
            Mode::Open(arrivals) => arrivals.time(),
            Mode::Closed(time) => *time,
        }
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let rate_fits = match &self.mode {
            Mode::Open(arrivals) => arrivals.fits(),
            Mode::Closed(_) => true,
        };
        match () {
            () if !rate_fits => Err(PlanError::Number(
                "the rate must be a positive number of requests per second",
            )),
            () if self.connections == 0 || self.threads == 0 => Err(PlanError::Number(
                "at least one connection and one thread are needed",
            )),
            () if self.weight() == 0 || self.lanes.iter().any(|l| l.requests.is_empty()) => {
                Err(PlanError::Number("there is no request to send"))
            }
            () => Ok(()),
        }
    }

    fn weight(&self) -> u64 {
        self.lanes.iter().map(|l| u64::from(l.weight)).sum()
    }

    /// What each lane has of the whole, all lanes together 1.
    pub(crate) fn share(&self, lane: &Lane) -> f64 {
        f64::from(lane.weight) / self.weight() as f64
    }

    /// Connections of a lane.
    pub(crate) fn connections_of(&self, lane: &Lane) -> u32 {
        ((f64::from(self.connections) * self.share(lane)).round() as u32).max(1)
    }
}
