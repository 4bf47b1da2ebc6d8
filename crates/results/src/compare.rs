use serde::{Deserialize, Serialize};

use crate::stats::{self, Estimate};
use crate::{Axis, Load, Run, axes};

/// Version of the comparison's form.
pub const COMPARISON_SCHEMA: &str = "cncfdemo.io/comparison/v1";

/// Two sides compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`COMPARISON_SCHEMA`].
    pub schema: String,
    /// What it is compared with.
    pub base: Side,
    /// What is compared.
    pub other: Side,
    /// Whether loads ran in turn, so that each is compared with its neighbour.
    pub paired: bool,
    /// Axes on which the sides differ apart from what is compared.
    pub differ: Vec<Axis>,
    /// Metric by metric.
    pub changes: Vec<Change>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// Loads that count.
    pub loads: usize,
    /// Loads left out because the generator was the bottleneck.
    pub void: usize,
}

/// What became of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Name, such as `p99`.
    pub metric: String,
    /// Unit of both sides' values.
    pub unit: String,
    /// Typical value of the base: the geometric mean (the mean, for shares).
    pub base: f64,
    /// Typical value of the other side.
    pub other: f64,
    /// Change in percent (in percentage points, for shares).
    pub change: f64,
    /// 95 % interval of the change, when there are enough loads.
    pub interval: Option<(f64, f64)>,
    /// Cliff's delta, -1 to 1.
    pub effect: f64,
    /// Hedges' g.
    pub effect_in_deviations: Option<f64>,
    /// What it comes to.
    pub verdict: Verdict,
    /// Repeats of each side that would make the interval no wider than `settles_at` to either side.
    pub repeats: Option<u32>,
    /// The precision in percent (in points, for shares) that `repeats` is for.
    pub settles_at: f64,
}

/// What a change comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The interval lies wholly on the better side of no change.
    Better,
    /// The interval lies wholly on the worse side.
    Worse,
    /// The interval holds no change.
    NoDifferenceDetectable,
    /// Too few loads to tell.
    TooFew,
}

/// How to compare.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Precision in percent that the repeats are computed for, and the smallest change that counts as a regression.
    pub matters: f64,
    /// Seed of the resampling.
    pub seed: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            matters: 1.0,
            seed: 0x00c0_ffee,
        }
    }
}

type Value = fn(&Load) -> f64;

/// Name, unit, whether more is better, whether changes are ratios, value.
const METRICS: &[(&str, &str, bool, bool, Value)] = &[
    ("throughput", "1/s", true, true, |l| l.throughput),
    ("p50", "ms", false, true, |l| l.latency.p50_ms),
    ("p90", "ms", false, true, |l| l.latency.p90_ms),
    ("p99", "ms", false, true, |l| l.latency.p99_ms),
    ("p99.9", "ms", false, true, |l| l.latency.p999_ms),
    ("failed", "%", false, false, |l| 100.0 * l.failed_share()),
];

/// Compares two groups of runs; each load of each run is one observation, but for [those with faults](Run::observed).
pub fn compare(base: &[&Run], other: &[&Run], rules: Rules) -> Comparison {
    let loads = |runs: &[&Run]| {
        runs.iter()
            .flat_map(|r| r.observed())
            .cloned()
            .collect::<Vec<Load>>()
    };
    let name = |runs: &[&Run]| runs.iter().map(|r| r.id.as_str()).collect::<Vec<_>>().join(", ");
    let mut differ = Vec::new();
    if let Some(first) = base.first() {
        for run in base.iter().skip(1).chain(other) {
            for axis in axes(first, run) {
                if !differ.contains(&axis) {
                    differ.push(axis);
                }
            }
        }
    }
    of_loads(
        &name(base),
        &loads(base),
        &name(other),
        &loads(other),
        false,
        differ,
        rules,
    )
}

/// Compares two arms of one run, whose loads ran in turn: the first of one with the first of the other, and so on.
pub fn compare_arms(run: &Run, base: &str, other: &str, rules: Rules) -> Comparison {
    let arm = |name: &str| {
        run.observed()
            .filter(|l| l.arm.as_deref() == Some(name))
            .cloned()
            .collect::<Vec<_>>()
    };
    of_loads(base, &arm(base), other, &arm(other), true, Vec::new(), rules)
}

fn of_loads(
    base_name: &str,
    base: &[Load],
    other_name: &str,
    other: &[Load],
    paired: bool,
    differ: Vec<Axis>,
    rules: Rules,
) -> Comparison {
    let sound = |l: &Load| l.doubts.is_empty() && l.completed > 0;
    let side = |name: &str, loads: &[Load], kept: usize| Side {
        name: name.to_owned(),
        loads: kept,
        void: loads.len() - kept,
    };
    let (a, b): (Vec<&Load>, Vec<&Load>) = if paired {
        // A pair of which one is void says nothing.
        base.iter()
            .zip(other)
            .filter(|(a, b)| sound(a) && sound(b))
            .unzip()
    } else {
        (
            base.iter().filter(|l| sound(l)).collect(),
            other.iter().filter(|l| sound(l)).collect(),
        )
    };
    let changes = METRICS
        .iter()
        .filter_map(|&(name, unit, more_is_better, ratio, value)| {
            let (a, b): (Vec<f64>, Vec<f64>) = (
                a.iter().map(|l| value(l)).collect(),
                b.iter().map(|l| value(l)).collect(),
            );
            let mut change = one(&a, &b, paired, ratio, rules)?;
            name.clone_into(&mut change.metric);
            unit.clone_into(&mut change.unit);
            change.verdict = match change.interval {
                None => Verdict::TooFew,
                Some((low, high)) if low <= 0.0 && high >= 0.0 => Verdict::NoDifferenceDetectable,
                Some((low, _)) if (low > 0.0) == more_is_better => Verdict::Better,
                Some(_) => Verdict::Worse,
            };
            Some(change)
        });
    Comparison {
        schema: COMPARISON_SCHEMA.to_owned(),
        changes: changes.collect(),
        base: side(base_name, base, a.len()),
        other: side(other_name, other, b.len()),
        paired,
        differ,
    }
}

/// One metric. Ratios are differences of logarithms: +100 % and -50 % are the same step, and long tails weigh less.
fn one(a: &[f64], b: &[f64], paired: bool, ratio: bool, rules: Rules) -> Option<Change> {
    if a.is_empty() || b.is_empty() || (ratio && a.iter().chain(b).any(|v| *v <= 0.0)) {
        return None;
    }
    let scaled = |values: &[f64]| {
        values
            .iter()
            .map(|v| if ratio { v.ln() } else { *v })
            .collect::<Vec<f64>>()
    };
    let (x, y) = (scaled(a), scaled(b));
    let percent = |d: f64| if ratio { 100.0 * (d.exp() - 1.0) } else { d };
    let typical = |values: &[f64]| {
        if ratio {
            stats::mean(values).exp()
        } else {
            stats::mean(values)
        }
    };
    let steps: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y - x).collect();
    let estimate: Option<Estimate> = if paired {
        stats::paired(&steps, rules.seed)
    } else {
        stats::difference(&x, &y, rules.seed)
    };
    let reach = if ratio {
        (rules.matters / 100.0).ln_1p()
    } else {
        rules.matters
    };
    let (spread_x, spread_y) = if paired {
        (stats::variance(&steps), 0.0)
    } else {
        (stats::variance(&x), stats::variance(&y))
    };
    Some(Change {
        metric: String::new(),
        unit: String::new(),
        base: typical(&x),
        other: typical(&y),
        change: percent(stats::mean(&y) - stats::mean(&x)),
        interval: estimate.map(|e| (percent(e.low), percent(e.high))),
        effect: stats::cliffs_delta(&x, &y),
        effect_in_deviations: stats::hedges_g(&x, &y),
        verdict: Verdict::TooFew,
        repeats: (x.len() > 1 && y.len() > 1)
            .then(|| stats::repeats_for(spread_x, spread_y, reach))
            .flatten(),
        settles_at: rules.matters,
    })
}

impl Comparison {
    /// What got worse by more than matters.
    pub fn regressions(&self) -> impl Iterator<Item = &Change> {
        self.changes
            .iter()
            .filter(|c| c.verdict == Verdict::Worse && c.change.abs() >= c.settles_at)
    }

    /// Axes that differ and were not allowed to. `all` allows every one.
    pub fn not_allowed(&self, allowed: &[String]) -> Vec<&Axis> {
        let fits = |axis: &&Axis| !allowed.iter().any(|a| a == "all" || *a == axis.name);
        self.differ.iter().filter(fits).collect()
    }
}
