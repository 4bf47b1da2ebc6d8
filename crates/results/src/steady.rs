//! From when on a load was steady.
use serde::{Deserialize, Serialize};

use crate::{Load, Second};

/// When a load settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Steady {
    /// The first second of the steady part; absent when it did not settle within the first half.
    pub from_s: Option<u64>,
}

/// Shorter loads say nothing about it.
const FEWEST: usize = 10;
/// A beginning that moves the mean by less than this share of it is not worth leaving out.
const MATTERS: f64 = 0.02;

impl Steady {
    /// From the whole seconds of a load of one rate: throughput and median latency both have to settle. `None` for a load that
    /// is too short to tell.
    pub fn of(load: &Load) -> Option<Steady> {
        let series = load.full_seconds();
        if series.len() < FEWEST || load.steps.len() > 1 {
            return None;
        }
        let values = |value: &dyn Fn(&Second) -> Option<f64>| -> Vec<f64> {
            // A second without an answer has no latency; it counts as the one before it.
            let mut last = 0.0;
            let known = |s: &Second| {
                last = value(s).unwrap_or(last);
                last
            };
            series.iter().map(known).collect()
        };
        let settled = [
            truncation(&values(&|s| Some(s.completed as f64))),
            truncation(&values(&|s| s.p50_ms)),
        ];
        let both = settled.into_iter().collect::<Option<Vec<usize>>>();
        Some(Steady {
            from_s: both.and_then(|both| both.into_iter().max()).map(|s| s as u64),
        })
    }
}

/// How many values of the beginning to leave out so that the mean of the rest is known best: the marginal standard error rule,
/// MSER (White 1997, "An effective truncation heuristic for bias reduction in simulation output"). `None` when that is half of
/// them or more: then there is no steady part.
fn truncation(values: &[f64]) -> Option<usize> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let error = |rest: &[f64]| {
        let middle = mean(rest);
        rest.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / (rest.len() as f64).powi(2)
    };
    let half = values.len() / 2;
    let best = (0..=half).min_by(|a, b| error(&values[*a..]).total_cmp(&error(&values[*b..])))?;
    let (whole, rest) = (mean(values), mean(&values[best..]));
    if (whole - rest).abs() <= MATTERS * rest.abs() {
        return Some(0);
    }
    (best < half).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_that_differs_is_found_and_noise_is_not_taken_for_one() {
        let noise = |n: usize| 100.0 + (n * 7919 % 13) as f64 / 10.0;
        let calm: Vec<f64> = (0..30).map(noise).collect();
        assert_eq!(truncation(&calm), Some(0));
        let warming: Vec<f64> = (0..30)
            .map(|n| if n < 6 { 300.0 - 30.0 * n as f64 } else { noise(n) })
            .collect();
        assert!(
            matches!(truncation(&warming), Some(5..=8)),
            "{:?}",
            truncation(&warming)
        );
        let drifting: Vec<f64> = (0..30).map(|n| 100.0 + 10.0 * f64::from(n)).collect();
        assert_eq!(truncation(&drifting), None);
    }
}
