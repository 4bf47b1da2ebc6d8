//! Line charts as plain SVG: they need no script, print well, and carry their meaning in a label and a table.
use std::fmt::Write as _;

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Points in order of x; `None` breaks the line.
    pub(crate) points: Vec<(f64, Option<f64>)>,
}

/// What runs along the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Along {
    /// Seconds since the load began; charts over seconds share one cursor.
    Seconds,
    /// Percentiles, each nine as wide as the one before: x is -log10(1 - quantile).
    Nines,
}

/// A chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) log: bool,
    pub(crate) along: Along,
    /// How far the axis reaches at least, so that charts of one run line up.
    pub(crate) until: f64,
    pub(crate) lines: Vec<Line>,
    /// Instants to mark, with their labels.
    pub(crate) marks: Vec<(f64, String)>,
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 30.0;

impl Chart {
    /// Where the plot lies in the picture's width, as shares, and its largest x: what a cursor needs.
    pub(crate) fn frame(&self) -> (f64, f64, f64) {
        (LEFT / WIDTH, (WIDTH - RIGHT) / WIDTH, self.x_max())
    }

    /// What stands below the axis.
    fn x_ticks(&self, x_max: f64) -> Vec<(f64, String)> {
        match self.along {
            Along::Seconds => (0..=5)
                .map(|step| x_max * f64::from(step) / 5.0)
                .map(|t| (t, format!("{} s", short(t))))
                .collect(),
            Along::Nines => [
                "p0",
                "p90",
                "p99",
                "p99.9",
                "p99.99",
                "p99.999",
                "p99.9999",
                "p99.99999",
            ]
            .iter()
            .enumerate()
            .map(|(nines, name)| (nines as f64, (*name).to_owned()))
            .take_while(|(at, _)| *at <= x_max)
            .collect(),
        }
    }

    /// Largest x of all points, at least 1.
    fn x_max(&self) -> f64 {
        let last = self.lines.iter().filter_map(|l| l.points.last()).map(|p| p.0);
        last.fold(self.until.max(1.0), f64::max)
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.lines
            .iter()
            .flat_map(|l| &l.points)
            .filter_map(|p| p.1)
            .filter(|y| y.is_finite())
    }

    pub(crate) fn svg(&self) -> String {
        let scale = Scale::new(self.log, self.values());
        let x_max = self.x_max();
        let x = |t: f64| LEFT + t / x_max * (WIDTH - LEFT - RIGHT);
        let y = |v: f64| TOP + (1.0 - scale.share(v)) * (HEIGHT - TOP - BOTTOM);
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"xMidYMid meet\">",
            escape(&self.describe())
        );
        // Writing to a String does not fail.
        for tick in scale.ticks() {
            let at = y(tick);
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                short(tick)
            );
        }
        for (t, label) in self.x_ticks(x_max) {
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\">{label}</text>",
                x(t),
                HEIGHT - 8.0,
                // What is written at the right end would run out of the picture.
                if t >= x_max { "end" } else { "middle" }
            );
        }
        for (at, label) in &self.marks {
            let _ = write!(
                out,
                "<line class=\"mark\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1:.1}\"><title>{2}</title></line>",
                x(at.clamp(0.0, x_max)),
                HEIGHT - BOTTOM,
                escape(label)
            );
        }
        for (index, line) in self.lines.iter().enumerate() {
            let _ = write!(out, "<path class=\"line c{}\" d=\"", index % 8);
            let mut pen_down = false;
            for &(t, value) in &line.points {
                match value.filter(|v| v.is_finite()) {
                    Some(v) => {
                        let _ = write!(out, "{}{:.1} {:.1}", if pen_down { 'L' } else { 'M' }, x(t), y(v));
                        pen_down = true;
                    }
                    None => pen_down = false,
                }
            }
            let _ = write!(out, "\"><title>{}</title></path>", escape(&line.name));
        }
        out.push_str("</svg>");
        out
    }

    /// One sentence for those who do not see the chart.
    fn describe(&self) -> String {
        let ranges = self.lines.iter().filter_map(|line| {
            let values = || line.points.iter().filter_map(|p| p.1).filter(|v| v.is_finite());
            let low = values().reduce(f64::min)?;
            let high = values().reduce(f64::max)?;
            Some(format!(
                "{} from {} to {} {}",
                line.name,
                short(low),
                short(high),
                self.unit
            ))
        });
        let along = match self.along {
            Along::Seconds => format!("over {} seconds", short(self.x_max())),
            Along::Nines => "by percentile".to_owned(),
        };
        format!(
            "{} {along}: {}",
            self.title,
            ranges.collect::<Vec<_>>().join("; ")
        )
    }
}

/// Maps values to 0..1.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
}

impl Scale {
    fn new(log: bool, values: impl Iterator<Item = f64>) -> Scale {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for v in values.filter(|v| !log || *v > 0.0) {
            low = low.min(v);
            high = high.max(v);
        }
        if log {
            let low = if low.is_finite() { low.max(1e-3) } else { 0.1 };
            let (low, high) = (
                10f64.powf(low.log10().floor()),
                10f64.powf(high.max(low * 1.01).log10().ceil()),
            );
            return Scale { log, low, high };
        }
        Scale {
            log,
            low: 0.0,
            high: nice(high.max(1e-9)),
        }
    }

    fn share(&self, v: f64) -> f64 {
        let share = if self.log {
            (v.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            v / self.high
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = (self.high.log10() - self.low.log10()).round() as i32;
            return (0..=decades).map(|d| self.low * 10f64.powi(d)).collect();
        }
        (0..=4).map(|i| self.high * f64::from(i) / 4.0).collect()
    }
}

/// The next of 1, 2, 4, 5, 8 or 10 times a power of ten: these divide into quarters that are short to write.
fn nice(v: f64) -> f64 {
    let power = 10f64.powf(v.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps
        .into_iter()
        .map(|s| s * power)
        .find(|s| *s >= v * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// A number as short as it can be read: `1.2k`, `35`, `0.25`.
pub(crate) fn short(v: f64) -> String {
    let (value, suffix) = match v.abs() {
        a if a >= 1e9 => (v / 1e9, "G"),
        a if a >= 1e6 => (v / 1e6, "M"),
        a if a >= 1e4 => (v / 1e3, "k"),
        _ => (v, ""),
    };
    let digits = match value.abs() {
        a if a >= 100.0 || a == 0.0 => 0,
        a if a >= 10.0 => 1,
        a if a >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{suffix}")
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.25, 7.0, 35.5, 1234.0, 12_340.0, 2e6].map(short),
            ["0", "0.25", "7", "35.5", "1234", "12.3k", "2M"]
        );
    }

    #[test]
    fn charts_of_nothing_and_of_hostile_names_are_still_valid() {
        let line = Line {
            name: "<b>\"".into(),
            points: vec![(0.0, None), (1.0, Some(f64::NAN)), (2.0, Some(3.0))],
        };
        for log in [false, true] {
            for lines in [Vec::new(), vec![line.clone()]] {
                let along = if log { Along::Nines } else { Along::Seconds };
                let chart = Chart {
                    title: "t".into(),
                    unit: "u".into(),
                    log,
                    along,
                    until: 0.0,
                    lines,
                    marks: vec![(1.0, "x<".into())],
                };
                let svg = chart.svg();
                assert!(
                    svg.ends_with("</svg>") && !svg.contains("NaN") && !svg.contains("<b>"),
                    "{svg}"
                );
            }
        }
    }
}
