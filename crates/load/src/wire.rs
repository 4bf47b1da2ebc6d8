//! A recording as lines of text, as a worker in a cluster prints it into its log; nothing is lost on the way.
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::recording::{LATENCY_DIGITS, SECOND_DIGITS, histogram};
use crate::{Recording, Second};

/// Why lines are no recording.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// A line that cannot be read.
    #[error("a line of the recording is damaged: {0}")]
    Line(#[from] serde_json::Error),
    /// A histogram that cannot be read, or is of another form.
    #[error("a histogram of the recording is damaged: {0}")]
    Histogram(String),
    /// Lines are missing.
    #[error("the recording is not whole: it has {got} of {want} lines")]
    Short {
        /// Lines that are there.
        got: usize,
        /// Lines that there should be.
        want: usize,
    },
}

/// What begins every line, so that others can stand between them.
const MARK: &str = "{\"load\":";

#[derive(Serialize, Deserialize)]
struct Line<T> {
    load: T,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Whole(Box<Whole>),
    Second(Box<OneSecond>),
}

#[derive(Serialize, Deserialize)]
struct Whole {
    seconds: usize,
    latency: String,
    lag: String,
    errors: BTreeMap<String, u64>,
    scheduled: u64,
    sent: u64,
    completed: u64,
    warm_up: u64,
    cpu: Duration,
    waited: Duration,
    wall: Duration,
    threads: u32,
}

#[derive(Serialize, Deserialize)]
struct OneSecond {
    at: usize,
    completed: u64,
    failed: u64,
    latency: String,
}

fn text(histogram: &Histogram<u64>) -> Result<String, WireError> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|e| WireError::Histogram(e.to_string()))?;
    Ok(STANDARD.encode(bytes))
}

/// Reads a histogram, which must have the bounds that all recordings have: others could not be added without loss.
fn read(text: &str, digits: u8) -> Result<Histogram<u64>, WireError> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|e| WireError::Histogram(e.to_string()))?;
    let found: Histogram<u64> = Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|e| WireError::Histogram(e.to_string()))?;
    let ours = histogram(digits);
    if (found.low(), found.high(), found.sigfig()) == (ours.low(), ours.high(), ours.sigfig()) {
        Ok(found)
    } else {
        Err(WireError::Histogram(
            "its bounds are not those of a recording".to_owned(),
        ))
    }
}

impl Recording {
    /// As lines.
    pub fn to_lines(&self) -> Result<String, WireError> {
        let whole = Part::Whole(Box::new(Whole {
            seconds: self.series.len(),
            latency: text(&self.latency)?,
            lag: text(&self.lag)?,
            errors: self.errors.clone(),
            scheduled: self.scheduled,
            sent: self.sent,
            completed: self.completed,
            warm_up: self.warm_up,
            cpu: self.cpu,
            waited: self.waited,
            wall: self.wall,
            threads: self.threads,
        }));
        let mut out = serde_json::to_string(&Line { load: whole })?;
        out.push('\n');
        for (at, second) in self.series.iter().enumerate() {
            let part = Part::Second(Box::new(OneSecond {
                at,
                completed: second.completed,
                failed: second.failed,
                latency: text(&second.latency)?,
            }));
            out.push_str(&serde_json::to_string(&Line { load: part })?);
            out.push('\n');
        }
        Ok(out)
    }

    /// From lines, among which others may stand.
    pub fn from_lines(lines: &str) -> Result<Recording, WireError> {
        let mut found = None;
        let mut series: BTreeMap<usize, Second> = BTreeMap::new();
        for line in lines.lines().filter(|l| l.starts_with(MARK)) {
            match serde_json::from_str::<Line<Part>>(line)?.load {
                Part::Whole(whole) => found = Some(whole),
                Part::Second(one) => {
                    let second = Second {
                        completed: one.completed,
                        failed: one.failed,
                        latency: read(&one.latency, SECOND_DIGITS)?,
                    };
                    series.insert(one.at, second);
                }
            }
        }
        let whole = found.ok_or(WireError::Short { got: 0, want: 1 })?;
        let in_order = series.keys().enumerate().all(|(index, at)| index == *at);
        if series.len() != whole.seconds || !in_order {
            return Err(WireError::Short {
                got: series.len() + 1,
                want: whole.seconds + 1,
            });
        }
        Ok(Recording {
            latency: read(&whole.latency, LATENCY_DIGITS)?,
            lag: read(&whole.lag, LATENCY_DIGITS)?,
            series: series.into_values().collect(),
            errors: whole.errors,
            scheduled: whole.scheduled,
            sent: whole.sent,
            completed: whole.completed,
            warm_up: whole.warm_up,
            cpu: whole.cpu,
            waited: whole.waited,
            wall: whole.wall,
            threads: whole.threads,
        })
    }
}
