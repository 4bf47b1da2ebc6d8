//! The statistics against implementations that nobody here wrote: NumPy and SciPy. Skipped, with a note, where they are not
//! installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its helpers fail"
)]
use std::io::Write as _;
use std::process::{Command, Stdio};

use results::stats;
use serde_json::{Value, json};

/// What SciPy makes of pairs of samples. Its bootstrap knows no studentised interval, so that one is written out in NumPy,
/// with ten times the resamples and another generator,
/// and the same rule on resamples that say nothing of the spread.
const ORACLE: &str = r#"
import json, sys
import numpy as np
from scipy import stats
out = []
rng = np.random.default_rng(42)
def studentised(a, b, resamples=20000):
    a, b = np.asarray(a), np.asarray(b)
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    d = b.mean() - a.mean()
    x = rng.choice(a, (resamples, len(a))); y = rng.choice(b, (resamples, len(b)))
    s = np.sqrt(x.var(axis=1, ddof=1) / len(a) + y.var(axis=1, ddof=1) / len(b))
    different = lambda v: 1 + (np.diff(np.sort(v, axis=1), axis=1) > 0).sum(axis=1)
    fits = (s > 1e-9 * error) & (different(x) >= 3) & (different(y) >= 3)
    reach = np.quantile(np.abs((y.mean(1) - x.mean(1) - d)[fits]) / s[fits], .95) * error
    return [d - reach, d + reach]
for a, b in json.load(sys.stdin):
    welch = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    u = stats.mannwhitneyu(b, a).statistic
    n = len(a) + len(b) - 2
    pooled = np.sqrt(((len(a) - 1) * np.var(a, ddof=1) + (len(b) - 1) * np.var(b, ddof=1)) / n)
    out.append({
        "interval": studentised(a, b), "welch": [welch.low, welch.high],
        "delta": 2 * u / (len(a) * len(b)) - 1,
        "g": (np.mean(b) - np.mean(a)) / pooled * (1 - 3 / (4 * n - 1)),
        "quantile": np.quantile(a, .9),
    })
t = [float(stats.t.ppf(.975, f)) for f in (6, 8, 18, 38)]
print(json.dumps({"pairs": out, "t": t}))
"#;

fn ask(pairs: &Value) -> Option<Value> {
    let mut child = Command::new("python3")
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(pairs.to_string().as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("ModuleNotFoundError") {
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Samples from a fixed sequence: a shift and a spread per pair, and some of them long-tailed.
fn synthetic() -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut state = 12345u64;
    let mut unit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut normal = move || (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
    let mut pairs = Vec::new();
    for (n, m, shift, long) in [
        (5, 5, 0.4, false),
        (8, 8, 0.0, false),
        (10, 20, 1.0, false),
        (20, 20, -0.5, true),
        (30, 12, 0.2, true),
    ] {
        let mut draw = |count: usize, by: f64| -> Vec<f64> {
            (0..count)
                .map(|_| if long { normal().exp() + by } else { normal() + by })
                .collect()
        };
        pairs.push((draw(n, 0.0), draw(m, shift)));
    }
    pairs
}

/// p99 of tally's loads, recorded by `benchmark --repeat` on the demo in the embedded engine.
fn recorded() -> Vec<(Vec<f64>, Vec<f64>)> {
    let recorded: Value = serde_json::from_str(include_str!("data/recorded-p99.json")).unwrap();
    let values = |name: &str| {
        recorded[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap().ln())
            .collect::<Vec<f64>>()
    };
    vec![(values("base"), values("other"))]
}

#[test]
fn figures_agree_with_scipy() {
    let mut pairs = synthetic();
    pairs.extend(recorded());
    let Some(theirs) = ask(&json!(pairs)) else {
        println!("skipped: python3 with NumPy and SciPy is not there (pip install scipy)");
        return;
    };
    for (index, (a, b)) in pairs.iter().enumerate() {
        let theirs = &theirs["pairs"][index];
        let number = |v: &Value| v.as_f64().unwrap();
        let near = |ours: f64, theirs: f64, by: f64, what: &str| {
            assert!(
                (ours - theirs).abs() <= by,
                "pair {index}, {what}: {ours} here, {theirs} by SciPy"
            );
        };
        let ours = stats::difference(a, b, 1).unwrap();
        let width = number(&theirs["interval"][1]) - number(&theirs["interval"][0]);
        // Resampling scatters: 2,000 resamples place the 95th percentile to some percent.
        near(
            ours.low,
            number(&theirs["interval"][0]),
            0.06 * width,
            "lower end",
        );
        near(
            ours.high,
            number(&theirs["interval"][1]),
            0.06 * width,
            "upper end",
        );
        // Another method altogether gives the same middle and about the same width.
        let welch = [number(&theirs["welch"][0]), number(&theirs["welch"][1])];
        near(ours.value, f64::midpoint(welch[0], welch[1]), 1e-9, "difference");
        let ratio = (ours.high - ours.low) / (welch[1] - welch[0]);
        assert!(
            (0.7..1.45).contains(&ratio),
            "pair {index}: {ratio} times as wide as Welch's"
        );
        near(
            stats::cliffs_delta(a, b),
            number(&theirs["delta"]),
            1e-9,
            "Cliff's delta",
        );
        near(
            stats::hedges_g(a, b).unwrap(),
            number(&theirs["g"]),
            1e-9,
            "Hedges' g",
        );
        let mut sorted = a.clone();
        sorted.sort_by(f64::total_cmp);
        near(
            stats::quantile(&sorted, 0.9),
            number(&theirs["quantile"]),
            1e-9,
            "quantile",
        );
    }
    for (freedom, theirs) in [6.0, 8.0, 18.0, 38.0]
        .into_iter()
        .zip(theirs["t"].as_array().unwrap())
    {
        let (ours, theirs) = (stats::student_975(freedom), theirs.as_f64().unwrap());
        assert!(
            (ours / theirs - 1.0).abs() < 0.005,
            "t with {freedom}: {ours} here, {theirs} by SciPy"
        );
    }
}
