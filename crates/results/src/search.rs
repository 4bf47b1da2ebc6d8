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

impl std::fmt::Display for Objective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} < {} ms", self.percentile, self.below_ms)
    }
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

/// A rate that was tried, and how often it held.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tried {
    rate: f64,
    probes: u32,
    held: u32,
}

impl Tried {
    /// Kept in more than half of the probes: a single slow second of the machine does not decide.
    fn kept(&self) -> bool {
        2 * self.held > self.probes
    }
}

/// What was tried, by rate from low to high.
fn tried(probes: &[Probe]) -> Vec<Tried> {
    let mut all: Vec<Tried> = Vec::new();
    for probe in probes {
        let held = u32::from(probe.held);
        match all.iter_mut().find(|t| (t.rate - probe.rate).abs() < 1e-9) {
            Some(found) => (found.probes, found.held) = (found.probes + 1, found.held + held),
            None => all.push(Tried {
                rate: probe.rate,
                probes: 1,
                held,
            }),
        }
    }
    all.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    all
}

/// The highest rate that was kept below the lowest that was not (above that it was luck), and that lowest.
fn bounds(tried: &[Tried]) -> (Option<Tried>, Option<f64>) {
    let lost = tried.iter().find(|t| !t.kept()).map(|t| t.rate);
    let best = tried
        .iter()
        .rfind(|t| t.kept() && lost.is_none_or(|l| t.rate < l));
    (best.copied(), lost)
}

impl Search {
    /// The next rate to try; `None` when the gap is within a twentieth and the best rate was tried three times. It doubles the
    /// rate until the objective is lost, halves the gap, and asks again wherever one probe would decide.
    pub fn next(first: f64, probes: &[Probe]) -> Option<f64> {
        const CLOSE: f64 = 1.05;
        const CONFIRM: u32 = 3;
        let Some(last) = probes.last() else {
            return Some(first);
        };
        let tried = tried(probes);
        // A lost probe is asked again, and a third decides between two that disagree.
        if let Some(t) = tried.iter().find(|t| (t.rate - last.rate).abs() < 1e-9)
            && t.held < t.probes
            && t.probes < 3
            && (t.held > 0 || t.probes < 2)
        {
            return Some(t.rate);
        }
        match bounds(&tried) {
            (Some(best), None) => Some(best.rate * 2.0),
            (None, Some(lost)) => (lost >= 2.0).then(|| (lost / 2.0).round()),
            (Some(best), Some(lost)) if lost / best.rate > CLOSE && lost - best.rate >= 2.0 => {
                Some(best.rate.midpoint(lost).round())
            }
            (Some(best), Some(_)) => (best.probes < CONFIRM).then_some(best.rate),
            (None, None) => None,
        }
    }

    /// Sums the probes up.
    pub fn conclude(objective: Objective, probes: Vec<Probe>, limit: Option<String>) -> Search {
        let (best, failed_rate) = bounds(&tried(&probes));
        let what = objective.to_string();
        let mut verdict = match best {
            None => format!("{what} held at no rate that was tried"),
            Some(Tried { rate, probes, held }) => {
                let bound = failed_rate.map_or_else(String::new, |f| format!("; {f:.0}/s did not keep it"));
                let sure = 100.0 * at_least(held, probes);
                format!(
                    "{rate:.0}/s kept {what} in {held} of {probes} probes \
                     (so with 95 % confidence in at least {sure:.0} % of such probes){bound}"
                )
            }
        };
        if let Some(limit) = limit {
            verdict = format!("{verdict}; {limit}");
        }
        let best_rate = best.map(|b| b.rate);
        let confirmed = best.map_or(0, |b| b.held);
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

/// One-sided lower bound of 95 % confidence of Clopper and Pearson: the share below which `held` of `probes` would be seen in
/// less than 5 of 100 cases.
fn at_least(held: u32, probes: u32) -> f64 {
    let seen = |share: f64| -> f64 {
        let mut term = (1.0 - share).powi(probes as i32);
        let mut sum = if held == 0 { term } else { 0.0 };
        for k in 1..=probes {
            term *= f64::from(probes - k + 1) / f64::from(k) * share / (1.0 - share);
            sum += if k >= held { term } else { 0.0 };
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0 - 1e-12);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if seen(middle) < 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
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

    #[test]
    fn confidence_is_that_of_clopper_and_pearson() {
        // scipy.stats.binomtest(k, n).proportion_ci(0.90, method="exact").low
        for (held, probes, bound) in [
            (3, 3, 0.368_403),
            (2, 3, 0.135_350),
            (5, 5, 0.549_280),
            (1, 1, 0.05),
        ] {
            assert!(
                (at_least(held, probes) - bound).abs() < 1e-4,
                "{held} of {probes}: {}",
                at_least(held, probes)
            );
        }
    }

    /// Searches a server that keeps up to some rate, with every so many-th probe spoilt.
    fn search(limit: f64, spoilt: usize) -> Search {
        let mut probes = Vec::new();
        while let Some(rate) = Search::next(400.0, &probes) {
            assert!(probes.len() < 60, "the search does not end");
            let held = rate <= limit && (spoilt == 0 || probes.len() % spoilt != spoilt - 1);
            probes.push(probe(rate, held));
        }
        Search::conclude(Objective::parse("p99<50ms").unwrap(), probes, None)
    }

    #[test]
    fn the_search_ends_near_the_limit_also_when_a_probe_is_spoilt_now_and_then() {
        for limit in [3.0, 90.0, 400.0, 1234.0, 50_000.0] {
            for spoilt in [0, 4, 5, 7] {
                let found = search(limit, spoilt);
                let best = found.best_rate.unwrap();
                assert!(
                    best <= limit && (best > limit / 1.06 || limit - best < 2.0),
                    "{limit}, {spoilt}: {found:?}"
                );
            }
        }
        assert_eq!(search(0.0, 0).best_rate, None);
    }
}
