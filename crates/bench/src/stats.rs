use std::time::Duration;

/// Sorted samples.
#[derive(Debug, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Takes samples in any order.
    pub fn new(samples: impl IntoIterator<Item = f64>) -> Samples {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Samples(sorted)
    }

    /// Durations in seconds.
    pub fn seconds<'a>(samples: impl IntoIterator<Item = &'a Duration>) -> Samples {
        Samples::new(samples.into_iter().map(Duration::as_secs_f64))
    }

    /// The smallest sample that at least this share of all does not exceed; NaN when there is none.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0
            .get(rank.clamp(1, self.0.len().max(1)) - 1)
            .copied()
            .unwrap_or(f64::NAN)
    }

    /// The middle one; the mean of the two middle ones when their number is even.
    pub fn median(&self) -> f64 {
        let (n, half) = (self.0.len(), self.0.len() / 2);
        match n {
            0 => f64::NAN,
            n if n % 2 == 1 => self.0[half],
            _ => f64::midpoint(self.0[half - 1], self.0[half]),
        }
    }

    /// The smallest.
    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    /// The largest.
    pub fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Seconds as people read them: `0.183 s`, `12.4 ms`, `310 µs`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.1 => format!("{s:.3} s"),
        s if s >= 0.01 => format!("{:.1} ms", s * 1e3),
        s if s >= 0.001 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples = Samples::new((1..=100).rev().map(f64::from));
        assert_eq!(
            (
                samples.quantile(0.5),
                samples.quantile(0.99),
                samples.quantile(1.0)
            ),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(
            (samples.median(), samples.least(), samples.most(), samples.len()),
            (50.5, 1.0, 100.0, 100)
        );
        assert_eq!(time(Samples::new([3.0]).quantile(0.99)), "3.00 s");
        assert!(Samples::new([]).median().is_nan() && Samples::new([]).quantile(0.5).is_nan());
    }

    #[test]
    fn times_have_a_fitting_unit() {
        assert_eq!(
            ["12.3 s", "0.200 s", "12.3 ms", "45 µs"].map(String::from),
            [12.34, 0.2, 0.01234, 0.000_045].map(time)
        );
    }
}
