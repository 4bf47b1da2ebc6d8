use std::time::Duration;

/// A part of an open loop during which the rate stays the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// For how long.
    pub time: Duration,
}

/// When the requests of an open loop are due: at even distances within each step, whatever the server does.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrivals(Vec<Step>);

impl Arrivals {
    /// One rate all the time.
    pub fn constant(rate: f64, time: Duration) -> Arrivals {
        Arrivals(vec![Step { rate, time }])
    }

    /// One rate after the other.
    pub fn steps(steps: Vec<Step>) -> Arrivals {
        Arrivals(steps)
    }

    /// How long all steps take.
    pub fn time(&self) -> Duration {
        self.0.iter().map(|s| s.time).sum()
    }

    /// Mean requests per second over all steps.
    pub fn mean_rate(&self) -> f64 {
        self.before(self.time().as_secs_f64()) / self.time().as_secs_f64().max(1e-9)
    }

    /// The highest rate of any step.
    pub fn peak_rate(&self) -> f64 {
        self.0.iter().map(|s| s.rate).fold(0.0, f64::max)
    }

    /// The same with the first rate for a while before.
    pub(crate) fn after(&self, warm_up: Duration) -> Arrivals {
        let rate = self.0.first().map_or(0.0, |s| s.rate);
        let before = (warm_up > Duration::ZERO).then_some(Step { rate, time: warm_up });
        Arrivals(before.into_iter().chain(self.0.iter().copied()).collect())
    }

    /// Whether every number makes sense.
    pub(crate) fn fits(&self) -> bool {
        let fits = |s: &Step| s.rate.is_finite() && s.rate >= 0.0;
        self.0.iter().all(fits) && self.peak_rate() > 0.0
    }

    /// When the request of this number (counted from 0, and between two numbers in proportion) is due, in seconds from the
    /// start; `None` after the last step.
    pub(crate) fn due(&self, number: f64) -> Option<f64> {
        let (mut begun, mut sent) = (0.0, 0.0);
        for step in &self.0 {
            let time = step.time.as_secs_f64();
            let count = step.rate * time;
            if number < sent + count {
                return Some(begun + (number - sent) / step.rate);
            }
            (begun, sent) = (begun + time, sent + count);
        }
        None
    }

    /// How many are due before this time, in seconds from the start.
    pub(crate) fn before(&self, time: f64) -> f64 {
        let mut rest = time;
        let mut sum = 0.0;
        for step in &self.0 {
            let part = rest.clamp(0.0, step.time.as_secs_f64());
            sum += step.rate * part;
            rest -= part;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances_within_each_step() {
        let step = |rate, secs| Step {
            rate,
            time: Duration::from_secs(secs),
        };
        let arrivals = Arrivals::steps(vec![step(10.0, 2), step(0.0, 1), step(100.0, 1)]);
        assert_eq!(arrivals.due(0.0), Some(0.0));
        assert_eq!(arrivals.due(19.0), Some(1.9));
        // Nothing is due in the step whose rate is 0.
        assert_eq!(arrivals.due(20.0), Some(3.0));
        assert!((arrivals.due(119.0).unwrap() - 3.99).abs() < 1e-9);
        assert_eq!(arrivals.due(120.0), None);
        assert!((arrivals.before(2.5) - 20.0).abs() < 1e-9);
        assert!((arrivals.before(99.0) - 120.0).abs() < 1e-9);
        assert!((arrivals.mean_rate() - 30.0).abs() < 1e-9);
        let warmed = arrivals.after(Duration::from_secs(1));
        assert_eq!((warmed.due(10.0), warmed.time().as_secs()), (Some(1.0), 5));
    }

    #[test]
    fn rates_that_are_no_rates_do_not_fit() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Arrivals::constant(rate, Duration::from_secs(1)).fits(), "{rate}");
        }
    }
}
