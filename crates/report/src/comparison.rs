use std::fmt::Write as _;

use askama::Template;
use results::{Change, Comparison, Verdict};

/// A comparison as text; axes that were allowed to differ are named.
pub fn text(comparison: &Comparison, allowed: &[String]) -> String {
    let mut out = String::new();
    let (a, b) = (&comparison.base, &comparison.other);
    let how = if comparison.paired {
        ", load by load in turn"
    } else {
        ""
    };
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "{} ({} loads) → {} ({} loads){how}",
        a.name, a.loads, b.name, b.loads
    );
    for change in &comparison.changes {
        let _ = writeln!(out, "{}", line(change));
    }
    if comparison.changes.is_empty() {
        let _ = writeln!(out, "nothing can be compared: one side has no sound load");
    }
    if a.void + b.void > 0 {
        let _ = writeln!(
            out,
            "left out: {} void loads, in which the generator was the bottleneck",
            a.void + b.void
        );
    }
    for axis in &comparison.differ {
        let why = if allowed.iter().any(|a| a == "all" || *a == axis.name) {
            " (allowed)"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "not compared as equals: {} {} → {}{why}",
            axis.name, axis.base, axis.other
        );
    }
    out
}

fn line(change: &Change) -> String {
    let points = if change.unit == "%" { " points" } else { " %" };
    let interval = match change.interval {
        Some((low, high)) => format!("  [95 % interval {low:+.1}{points} … {high:+.1}{points}]"),
        None => String::new(),
    };
    format!(
        "{:<11} {:>8} → {:>8} {:<4} {:>+7.1}{points}{interval}   {}",
        change.metric,
        figure(change.base),
        figure(change.other),
        change.unit,
        change.change,
        verdict(change)
    )
}

fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn verdict(change: &Change) -> String {
    let unit = if change.unit == "%" { "point" } else { "%" };
    let settle = match change.repeats {
        Some(n) => format!("{n} repeats of each would settle {} {unit}", change.settles_at),
        None => format!(
            "no number of repeats up to 10,000 would settle {} {unit}",
            change.settles_at
        ),
    };
    match change.verdict {
        Verdict::Better => "better".to_owned(),
        Verdict::Worse => "worse".to_owned(),
        Verdict::NoDifferenceDetectable => format!("no difference detectable ({settle})"),
        Verdict::TooFew if change.repeats.is_some() => format!("too few loads to tell ({settle})"),
        Verdict::TooFew => "too few loads to tell: at least 5 of each, see --repeat".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    comparisons: &'a [Comparison],
    style: &'static str,
}

impl Page<'_> {
    /// The interval as a bar on a scale that all changes share: left and width in percent, and where no change is.
    #[allow(clippy::unused_self, reason = "askama calls methods of the page")]
    fn bar(&self, comparison: &Comparison, change: &Change) -> Option<(f64, f64, f64)> {
        let ends = comparison
            .changes
            .iter()
            .filter(|c| c.unit != "%")
            .filter_map(|c| c.interval);
        let (low, high) = ends.fold((-1.0f64, 1.0f64), |(low, high), (a, b)| (low.min(a), high.max(b)));
        let (from, to) = change.interval.filter(|_| change.unit != "%")?;
        let at = |v: f64| 100.0 * (v - low) / (high - low);
        Some((at(from), (at(to) - at(from)).max(0.4), at(0.0)))
    }

    #[allow(clippy::unused_self, reason = "askama calls methods of the page")]
    fn verdict(&self, change: &Change) -> String {
        verdict(change)
    }

    #[allow(
        clippy::unused_self,
        clippy::trivially_copy_pass_by_ref,
        reason = "askama passes fields by reference"
    )]
    fn figure(&self, value: &f64) -> String {
        figure(*value)
    }
}

/// Comparisons as one page.
pub fn html(comparisons: &[Comparison]) -> Result<String, askama::Error> {
    Page {
        comparisons,
        style: include_str!("../templates/style.css"),
    }
    .render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use results::{Axis, Side};

    fn comparison() -> Comparison {
        let side = |name: &str| Side {
            name: name.to_owned(),
            loads: 5,
            void: 0,
        };
        let change = |metric: &str, verdict, interval| Change {
            metric: metric.to_owned(),
            unit: "ms".to_owned(),
            base: 2.1,
            other: 3.4,
            change: 61.9,
            interval,
            effect: 1.0,
            effect_in_deviations: Some(3.0),
            verdict,
            repeats: Some(22),
            settles_at: 1.0,
        };
        Comparison {
            schema: results::COMPARISON_SCHEMA.to_owned(),
            base: side("a<b"),
            other: side("c"),
            paired: false,
            differ: vec![Axis {
                name: "kernel".into(),
                base: "6.12".into(),
                other: "6.18".into(),
            }],
            changes: vec![
                change("p99", Verdict::Worse, Some((41.0, 80.0))),
                change("p50", Verdict::NoDifferenceDetectable, Some((-4.0, 2.0))),
                change("p90", Verdict::TooFew, None),
            ],
        }
    }

    #[test]
    fn no_difference_is_said_plainly_and_what_would_settle_it() {
        let text = text(&comparison(), &["kernel".to_owned()]);
        assert!(
            text.contains("[95 % interval +41.0 % … +80.0 %]   worse"),
            "{text}"
        );
        assert!(
            text.contains("no difference detectable (22 repeats of each would settle 1 %)"),
            "{text}"
        );
        assert!(
            text.contains("not compared as equals: kernel 6.12 → 6.18 (allowed)"),
            "{text}"
        );
    }

    #[test]
    fn the_page_holds_every_change_and_escapes_names() {
        let page = html(&[comparison()]).unwrap();
        assert!(page.contains("a&#60;b") && !page.contains("a<b"), "{page}");
        assert!(page.contains("no difference detectable") && page.contains("too few loads"));
    }
}
