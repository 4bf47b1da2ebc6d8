//! Phases as a flame chart: what lies wholly within another phase stands below it, what runs beside another has a row of its own.
use std::fmt::Write as _;

use results::Phase;

use crate::chart::{escape, short};

/// The chart, and what it shows for those who do not see it.
pub(crate) struct Flame<'a> {
    pub(crate) svg: String,
    pub(crate) bars: Vec<Bar<'a>>,
}

/// One phase and its row.
pub(crate) struct Bar<'a> {
    pub(crate) phase: &'a Phase,
    pub(crate) row: usize,
}

const WIDTH: f64 = 860.0;
const ROW: f64 = 26.0;
const BOTTOM: f64 = 24.0;
const EDGE: f64 = 6.0;
/// Ends that differ by less than this are the same moment.
const MOMENT: f64 = 1e-3;

fn end(phase: &Phase) -> f64 {
    phase.begun_s + phase.seconds
}

/// Gives each phase its row: below the lowest of those that contain it, in the first row that is free then.
fn rows(phases: &[Phase]) -> Vec<Bar<'_>> {
    let mut order: Vec<&Phase> = phases.iter().collect();
    order.sort_by(|a, b| {
        a.begun_s
            .total_cmp(&b.begun_s)
            .then(b.seconds.total_cmp(&a.seconds))
    });
    let mut placed: Vec<Bar<'_>> = Vec::new();
    for phase in order {
        let contains = |bar: &&Bar<'_>| {
            bar.phase.begun_s <= phase.begun_s + MOMENT
                && end(bar.phase) + MOMENT >= end(phase)
                && bar.phase.seconds > phase.seconds + MOMENT
        };
        let least = placed
            .iter()
            .filter(contains)
            .map(|bar| bar.row + 1)
            .max()
            .unwrap_or(0);
        let free = |row: &usize| {
            placed
                .iter()
                .filter(|bar| bar.row == *row)
                .all(|bar| end(bar.phase) <= phase.begun_s + MOMENT)
        };
        // So many rows are taken at most, so the one after them is free.
        let row = (least..=least + placed.len()).find(free).unwrap_or(least);
        placed.push(Bar { phase, row });
    }
    placed
}

impl<'a> Flame<'a> {
    /// Draws them; `None` when there are none.
    pub(crate) fn of(phases: &'a [Phase]) -> Option<Flame<'a>> {
        let bars = rows(phases);
        let whole = phases.iter().map(end).fold(0.0, f64::max);
        if bars.is_empty() || whole <= 0.0 || !whole.is_finite() {
            return None;
        }
        let height = ROW * (bars.iter().map(|b| b.row).max().unwrap_or(0) + 1) as f64 + BOTTOM;
        let x = |t: f64| EDGE + t / whole * (WIDTH - 2.0 * EDGE);
        let told: Vec<String> = bars
            .iter()
            .map(|b| format!("{} {} s", b.phase.name, short(b.phase.seconds)))
            .collect();
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{} seconds in all: {}\">",
            short(whole),
            escape(&told.join(", "))
        );
        // Writing to a String does not fail.
        for step in 0..=5 {
            let t = whole * f64::from(step) / 5.0;
            let anchor = ["start", "middle", "middle", "middle", "middle", "end"][step as usize];
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{1:.1}\"/><text class=\"tick\" x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"{anchor}\">{3} s</text>",
                x(t),
                height - BOTTOM,
                height - 7.0,
                short(t)
            );
        }
        for (index, bar) in bars.iter().enumerate() {
            let (left, right) = (x(bar.phase.begun_s), x(end(bar.phase)));
            let (top, width) = (bar.row as f64 * ROW + 2.0, (right - left).max(1.5));
            let _ = write!(
                svg,
                "<g><title>{}: {} s from {} s on</title><rect class=\"f{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"3\"/>",
                escape(&bar.phase.title),
                short(bar.phase.seconds),
                short(bar.phase.begun_s),
                index % 8,
                ROW - 4.0
            );
            // A name that does not fit is in the table and under the pointer.
            if width > 8.0 * bar.phase.name.chars().count() as f64 + 8.0 {
                let _ = write!(
                    svg,
                    "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    left + 5.0,
                    top + ROW - 10.0,
                    escape(&bar.phase.name)
                );
            }
            svg.push_str("</g>");
        }
        svg.push_str("</svg>");
        Some(Flame { svg, bars })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, begun_s: f64, seconds: f64) -> Phase {
        Phase {
            name: name.to_owned(),
            title: format!("<{name}>"),
            begun_s,
            seconds,
        }
    }

    #[test]
    fn what_is_inside_stands_below_and_what_is_beside_has_its_own_row() {
        let phases = [
            phase("store", 1.0, 4.0),
            phase("cluster", 0.0, 1.0),
            phase("redis-init", 3.0, 2.0),
            phase("slots", 3.5, 1.0),
            phase("monitor", 2.0, 5.0),
        ];
        let placed: Vec<(&str, usize)> = rows(&phases)
            .iter()
            .map(|b| (b.phase.name.as_str(), b.row))
            .collect();
        assert_eq!(
            placed,
            [
                ("cluster", 0),
                ("store", 0),
                ("monitor", 1),
                ("redis-init", 2),
                ("slots", 3)
            ]
        );
        let flame = Flame::of(&phases).unwrap();
        assert!(
            flame.svg.ends_with("</svg>") && !flame.svg.contains("<store>"),
            "{}",
            flame.svg
        );
        assert!(Flame::of(&[]).is_none());
        assert!(Flame::of(&[phase("x", 0.0, f64::NAN)]).is_none());
    }
}
