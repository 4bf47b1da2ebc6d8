use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Two minutes in nanoseconds: longer waits are recorded as this.
pub(crate) const LONGEST: u64 = 120_000_000_000;
/// Significant digits of a run's latencies.
pub(crate) const LATENCY_DIGITS: u8 = 3;
/// Significant digits of a second's latencies.
pub(crate) const SECOND_DIGITS: u8 = 2;

/// One second of a run, by the time at which answers arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Second {
    /// Answers with a 2xx status.
    pub completed: u64,
    /// Failed requests.
    pub failed: u64,
    /// Latencies of the completed ones, nanoseconds.
    pub latency: Histogram<u64>,
}

impl Default for Second {
    fn default() -> Self {
        Self {
            completed: 0,
            failed: 0,
            latency: histogram(SECOND_DIGITS),
        }
    }
}

/// What a run measured. All latencies are nanoseconds, in open loop from the intended time of sending.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Latencies of all completed requests.
    pub latency: Histogram<u64>,
    /// How late requests were sent although a connection was free: the generator's own lag.
    pub lag: Histogram<u64>,
    /// Second by second, from the start.
    pub series: Vec<Second>,
    /// Failed requests by kind: `connect`, `reset`, `timeout`, `malformed`, `status 503`, …
    pub errors: BTreeMap<String, u64>,
    /// Requests that should have been sent (closed loop: that were).
    pub scheduled: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Answers with a 2xx status.
    pub completed: u64,
    /// Requests that were answered before anything counted.
    pub warm_up: u64,
    /// CPU time the generator used, all threads.
    pub cpu: Duration,
    /// Time in which its threads could have run and had no processor, all threads.
    pub waited: Duration,
    /// Wall-clock time of the run.
    pub wall: Duration,
    /// Threads.
    pub threads: u32,
}

pub(crate) fn histogram(digits: u8) -> Histogram<u64> {
    // These bounds are constant and valid: the lowest discernible value is 1 µs, the highest two minutes.
    #[allow(clippy::unwrap_used)]
    Histogram::new_with_bounds(1_000, LONGEST, digits).unwrap()
}

impl Recording {
    /// Nothing yet.
    pub fn empty() -> Self {
        Self {
            latency: histogram(LATENCY_DIGITS),
            lag: histogram(LATENCY_DIGITS),
            series: Vec::new(),
            errors: BTreeMap::new(),
            scheduled: 0,
            sent: 0,
            completed: 0,
            warm_up: 0,
            cpu: Duration::ZERO,
            waited: Duration::ZERO,
            wall: Duration::ZERO,
            threads: 0,
        }
    }

    fn second(&mut self, at: Duration) -> &mut Second {
        let index = at.as_secs() as usize;
        while self.series.len() <= index {
            self.series.push(Second::default());
        }
        &mut self.series[index]
    }

    /// Counts an answer at a time since the start.
    pub fn complete(&mut self, at: Duration, latency: Duration) {
        let nanoseconds = (latency.as_nanos() as u64).min(LONGEST);
        self.completed += 1;
        self.latency.saturating_record(nanoseconds);
        let second = self.second(at);
        second.completed += 1;
        second.latency.saturating_record(nanoseconds);
    }

    /// Counts a failure at a time since the start.
    pub fn fail(&mut self, at: Duration, kind: &str) {
        self.second(at).failed += 1;
        match self.errors.get_mut(kind) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(kind.to_owned(), 1)),
        }
    }

    /// Adds another thread's or worker's recording of the same run; nothing is lost, and the order does not matter.
    pub fn merge(&mut self, other: &Recording) {
        // All recordings have the same bounds, so nothing can be out of range.
        let _ = self.latency.add(&other.latency);
        let _ = self.lag.add(&other.lag);
        for (index, theirs) in other.series.iter().enumerate() {
            let ours = self.second(Duration::from_secs(index as u64));
            ours.completed += theirs.completed;
            ours.failed += theirs.failed;
            let _ = ours.latency.add(&theirs.latency);
        }
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.completed += other.completed;
        self.warm_up += other.warm_up;
        self.cpu += other.cpu;
        self.waited += other.waited;
        self.wall = self.wall.max(other.wall);
        self.threads += other.threads;
    }

    /// Failed requests of all kinds.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Completed requests per second of wall-clock time.
    pub fn throughput(&self) -> f64 {
        self.completed as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// A time of all threads as a share of the run's length.
    fn of_the_time(&self, time: Duration) -> f64 {
        time.as_secs_f64() / (self.wall.as_secs_f64() * f64::from(self.threads.max(1))).max(1e-9)
    }

    /// The share of the time in which a thread could have run and had no processor, 0 to 1.
    pub fn starved(&self) -> f64 {
        self.of_the_time(self.waited).min(1.0)
    }

    /// Why this run says more about the generator than about the server; empty when it is sound.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let share = self.of_the_time(self.cpu);
        if share > 0.85 {
            doubts.push(format!(
                "the generator used {:.0} % of a core per thread",
                share * 100.0
            ));
        }
        let starved = self.starved();
        if starved > 0.1 {
            doubts.push(format!(
                "the generator was starved: {:.0} % of the time it could have run and was given no processor",
                starved * 100.0
            ));
        }
        if self.scheduled > 0 && (self.sent as f64) < 0.99 * self.scheduled as f64 {
            let percent = 100.0 * self.sent as f64 / self.scheduled as f64;
            doubts.push(format!(
                "only {percent:.1} % of the asked rate was sent: every connection was waiting for an answer"
            ));
        }
        let lag = Duration::from_nanos(self.lag.value_at_quantile(0.99));
        if lag > Duration::from_millis(10) {
            doubts.push(format!(
                "requests were sent up to {:.1} ms late (p99) with connections free",
                lag.as_secs_f64() * 1e3
            ));
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_everything() {
        let mut a = Recording::empty();
        a.complete(Duration::from_millis(100), Duration::from_millis(2));
        a.fail(Duration::from_millis(2100), "reset");
        let mut b = Recording::empty();
        b.complete(Duration::from_millis(1500), Duration::from_millis(4));
        b.fail(Duration::from_millis(200), "reset");
        a.merge(&b);
        let counts: Vec<_> = a.series.iter().map(|s| (s.completed, s.failed)).collect();
        assert_eq!(counts, [(1, 1), (1, 0), (0, 1)]);
        assert_eq!(
            (a.completed, a.failed(), a.latency.len(), a.errors["reset"]),
            (2, 2, 2, 2)
        );
    }

    #[test]
    fn a_starved_generator_doubts_itself() {
        let mut run = Recording::empty();
        (run.threads, run.wall, run.cpu) = (1, Duration::from_secs(10), Duration::from_secs(9));
        (run.scheduled, run.sent) = (1000, 900);
        run.waited = Duration::from_secs(2);
        assert_eq!(run.doubts().len(), 3);
        (run.cpu, run.waited) = (Duration::from_secs(1), Duration::ZERO);
        run.sent = 1000;
        assert!(run.doubts().is_empty());
    }
}
