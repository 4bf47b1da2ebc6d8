use std::net::SocketAddr;
use std::time::Duration;

use crate::{Arrivals, Lane};

/// A lane as one thread sees it.
pub(crate) struct LaneState<'a> {
    lane: &'a Lane,
    share: f64,
    index: f64,
    threads: f64,
    phase: f64,
    /// Connections of this thread.
    pub(crate) connections: usize,
    /// Of these, the ones without a request in flight.
    pub(crate) idle: Vec<usize>,
    /// Requests sent.
    sent: u64,
    /// The next request's place in the lane's list.
    next: usize,
}

impl<'a> LaneState<'a> {
    pub(crate) fn new(
        lane: &'a Lane,
        share: f64,
        index: u32,
        threads: u32,
        connections: u32,
        phase: f64,
    ) -> LaneState<'a> {
        LaneState {
            lane,
            share,
            index: f64::from(index),
            threads: f64::from(threads),
            phase,
            connections: connections as usize,
            idle: Vec::with_capacity(connections as usize),
            sent: 0,
            // Threads begin at different places.
            next: index as usize * 7919 % lane.requests.len(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.lane.address
    }

    /// The request to send next.
    pub(crate) fn request(&self) -> &'a [u8] {
        &self.lane.requests[self.next]
    }

    /// It was sent.
    pub(crate) fn advance(&mut self) {
        self.sent += 1;
        self.next = (self.next + 1) % self.lane.requests.len();
    }

    /// The number of this thread's next request among those of all threads and lanes: threads take turns within a lane.
    pub(crate) fn number(&self) -> f64 {
        self.number_of(self.sent)
    }

    fn number_of(&self, sent: u64) -> f64 {
        (sent as f64 * self.threads + self.index + self.phase) / self.share
    }

    /// How many requests of this thread are due between two times from the beginning.
    pub(crate) fn scheduled(&self, arrivals: &Arrivals, from: Duration, until: Duration) -> u64 {
        let before = |time: Duration| {
            let numbers = arrivals.before(time.as_secs_f64()) * self.share;
            ((numbers - self.index - self.phase) / self.threads - 1e-9)
                .ceil()
                .max(0.0)
        };
        (before(until) - before(from)).max(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_lanes_share_the_rate_without_gap_or_overlap() {
        let lane = Lane {
            address: "127.0.0.1:1".parse().unwrap(),
            requests: vec![vec![0]].into(),
            weight: 1,
        };
        let arrivals = Arrivals::constant(100.0, Duration::from_secs(10));
        // A quarter of 100/s, on three threads.
        let mut due: Vec<f64> = Vec::new();
        let mut scheduled = 0;
        for index in 0..3 {
            let mut state = LaneState::new(&lane, 0.25, index, 3, 1, 0.5);
            scheduled += state.scheduled(&arrivals, Duration::from_secs(2), Duration::from_secs(10));
            while let Some(at) = arrivals.due(state.number()) {
                due.push(at);
                state.advance();
            }
        }
        due.sort_by(f64::total_cmp);
        assert_eq!(due.len(), 250);
        assert!(due.windows(2).all(|w| (w[1] - w[0] - 0.04).abs() < 1e-9));
        assert_eq!(scheduled, 200);
    }
}
