use serde::{Deserialize, Serialize};

use crate::Load;

/// An objective such as `p99<50ms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Objective {
    /// `p50`, `p90`, `p99`, `p99.9` or `max`.
    pub percentile: String,
    /// Milliseconds that it must stay below.
    pub below_ms: f64,
    /// Largest share of requests that may fail.
    pub failed_share: f64,
}

/// Why an objective cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an objective: write p50, p90, p99, p99.9 or max, then < and a time, such as p99<50ms")]
pub struct ObjectiveError(String);

/// The search for the highest rate that keeps an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Search {
    /// What had to hold.
    pub objective: Objective,
    /// Every probe, in the order in which they ran.
    pub probes: Vec<Probe>,
    /// The highest rate that held in every probe at that rate.
    pub best_rate: Option<f64>,
    /// How often it was tried and held.
    pub confirmed: u32,
    /// The lowest rate at which it did not hold.
    pub failed_rate: Option<f64>,
    /// What the result means, in words.
    pub verdict: String,
}

/// One try at one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Probe {
    /// Requests per second asked for.
    pub rate: f64,
    /// Whether the objective held.
    pub held: bool,
    /// The percentile, in milliseconds.
    pub value_ms: f64,
    /// Requests per second completed.
    pub throughput: f64,
    /// Requests that failed.
    pub failed: u64,
    /// Why it did not hold; empty when it did.
    pub why: String,
}

impl Objective {
    /// Reads `p99<50ms`.
    pub fn parse(text: &str) -> Result<Objective, ObjectiveError> {
        let bad = || ObjectiveError(text.to_owned());
        let (percentile, limit) = text.split_once('<').ok_or_else(bad)?;
        let (percentile, limit) = (percentile.trim(), limit.trim().trim_start_matches('=').trim());
        let factors = [("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("s", 1e3)];
        let (number, factor) = factors
            .iter()
            .find_map(|(unit, f)| Some((limit.strip_suffix(unit)?, *f)))
            .ok_or_else(bad)?;
        let number: f64 = number.trim().parse().map_err(|_| bad())?;
        let known = ["p50", "p90", "p99", "p99.9", "max"].contains(&percentile);
        if !known || !number.is_finite() || number <= 0.0 {
            return Err(bad());
        }
        Ok(Objective {
            percentile: percentile.to_owned(),
            below_ms: number * factor,
            failed_share: 0.001,
        })
    }

    /// Whether a load kept it. A rate that was not sent was not kept either.
    pub fn probe(&self, load: &Load) -> Probe {
        let l = &load.latency;
        let value_ms = match self.percentile.as_str() {
            "p50" => l.p50_ms,
            "p90" => l.p90_ms,
            "p99.9" => l.p999_ms,
            "max" => l.max_ms,
            _ => l.p99_ms,
        };
        let share = load.sent as f64 / load.scheduled.max(1) as f64;
        let why = if load.completed == 0 {
            "nothing was answered".to_owned()
        } else if load.failed_share() > self.failed_share {
            format!("{:.2} % of the requests failed", 100.0 * load.failed_share())
        } else if value_ms >= self.below_ms {
            format!("{} was {value_ms:.1} ms", self.percentile)
        } else if share < 0.99 {
            format!("only {:.1} % of the rate could be sent", 100.0 * share)
        } else {
            String::new()
        };
        Probe {
            rate: load.rate.unwrap_or(load.throughput),
            held: why.is_empty(),
            value_ms,
            throughput: load.throughput,
            failed: load.failed,
            why,
        }
    }
}

impl Search {
    /// Sums the probes up. A rate counts as kept when every probe at it held; `best_rate` is the highest of these below the
    /// lowest that failed, since a rate above a failed one was luck.
    pub fn conclude(objective: Objective, probes: Vec<Probe>, limit: Option<String>) -> Search {
        let failed_rate = probes.iter().filter(|p| !p.held).map(|p| p.rate).reduce(f64::min);
        let below = |rate: f64| failed_rate.is_none_or(|f| rate < f);
        let best_rate = probes
            .iter()
            .filter(|p| p.held && below(p.rate))
            .map(|p| p.rate)
            .reduce(f64::max);
        let confirmed = probes
            .iter()
            .filter(|p| p.held && best_rate.is_some_and(|b| (p.rate - b).abs() < 1e-9))
            .count() as u32;
        let what = format!("{} < {} ms", objective.percentile, objective.below_ms);
        let mut verdict = match (best_rate, failed_rate) {
            (None, _) => format!("{what} held at no rate that was tried"),
            (Some(best), failed) => {
                let bound = failed.map_or_else(String::new, |f| format!("; {f:.0}/s did not keep it"));
                // One-sided Clopper-Pearson for n of n: 0.05^(1/n).
                let sure = 100.0 * 0.05f64.powf(1.0 / f64::from(confirmed.max(1)));
                format!(
                    "{best:.0}/s kept {what} in {confirmed} of {confirmed} probes \
                     (so with 95 % confidence in at least {sure:.0} % of such probes){bound}"
                )
            }
        };
        if let Some(limit) = limit {
            verdict = format!("{verdict}; {limit}");
        }
        Search {
            objective,
            probes,
            best_rate,
            confirmed,
            failed_rate,
            verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(rate: f64, held: bool) -> Probe {
        Probe {
            rate,
            held,
            value_ms: 1.0,
            throughput: rate,
            failed: 0,
            why: String::new(),
        }
    }

    #[test]
    fn objectives_are_read_or_refused() {
        let read = Objective::parse("p99<50ms").unwrap();
        assert_eq!((read.percentile.as_str(), read.below_ms), ("p99", 50.0));
        assert!((Objective::parse("p99.9 < 1.5s").unwrap().below_ms - 1500.0).abs() < 1e-9);
        for bad in [
            "", "p99", "p99>5ms", "p98<5ms", "p99<5", "p99<-1ms", "p99<xms", "p99<infs",
        ] {
            assert!(Objective::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn luck_above_a_failed_rate_does_not_count() {
        let objective = Objective::parse("p99<50ms").unwrap();
        let probes = vec![
            probe(100.0, true),
            probe(200.0, false),
            probe(300.0, true),
            probe(100.0, true),
        ];
        let search = Search::conclude(objective.clone(), probes, None);
        assert_eq!(
            (search.best_rate, search.failed_rate, search.confirmed),
            (Some(100.0), Some(200.0), 2)
        );
        assert!(search.verdict.contains("2 of 2"), "{}", search.verdict);
        assert_eq!(
            Search::conclude(objective, vec![probe(100.0, false)], None).best_rate,
            None
        );
    }
}
