//! What a person sees: data on stdout, progress and errors on stderr.
use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Output;
use crate::exit::Hinted;
use crate::settings::Settings;

/// Prints according to the settings.
#[derive(Debug)]
pub struct Printer {
    output: Output,
    bars: bool,
    colour: bool,
}

impl Printer {
    /// A printer for these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            output: settings.output,
            bars: settings.bars,
            colour: settings.colour,
        }
    }

    /// Whether stdout is to carry JSON.
    pub fn json(&self) -> bool {
        self.output == Output::Json
    }

    /// Data as text; nothing when JSON was asked for. A closed pipe is not an error.
    pub fn text(&self, line: impl AsRef<str>) {
        if !self.json() {
            let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
        }
    }

    /// Raw bytes on stdout, whatever the output form.
    pub fn raw(&self, bytes: &[u8]) {
        let _ = std::io::stdout().write_all(bytes);
    }

    /// Data as JSON; nothing when text was asked for.
    pub fn data(&self, value: &serde_json::Value) {
        if self.json() {
            let _ = writeln!(std::io::stdout(), "{value:#}");
        }
    }

    /// A line on stderr.
    pub fn note(&self, line: impl AsRef<str>) {
        let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
    }

    /// A failure with its hint.
    pub fn failure(&self, failure: &anyhow::Error) {
        let (red, plain) = if self.colour {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let mut text = String::new();
        for cause in failure.chain() {
            // An API server's answer in its own words, without its other fields.
            let cause = match cause.downcast_ref::<kube::Error>() {
                Some(kube::Error::Api(status)) => status.message.clone(),
                _ => cause.to_string(),
            };
            if text.is_empty() {
                text = cause;
            } else if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        self.note(format!("{red}error{plain}: {text}"));
        let hint = failure
            .downcast_ref::<Hinted>()
            .map(|h| h.hint.as_str())
            .or_else(|| {
                failure
                    .downcast_ref::<deploy::Error>()
                    .and_then(deploy::Error::hint)
            });
        if let Some(hint) = hint {
            self.note(format!("hint: {hint}"));
        }
    }

    /// A line that lives until its step is done: a moving bar on a terminal, one plain line when finished elsewhere.
    pub fn step(&self, name: &str, title: &str) -> StepLine {
        let bar = if self.bars {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{prefix:10} {wide_msg} {elapsed} {spinner}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.set_prefix(name.to_owned());
            bar.set_message(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        StepLine {
            bar,
            moving: self.bars,
            name: name.to_owned(),
            title: title.to_owned(),
        }
    }
}

/// One step's line.
#[derive(Debug)]
pub struct StepLine {
    bar: ProgressBar,
    moving: bool,
    name: String,
    title: String,
}

impl StepLine {
    /// What the step is doing or waiting for now.
    pub fn waiting(&self, what: &str) {
        if self.moving {
            // In place of the title: what is waited for is often as long as the line.
            self.bar.set_message(what.to_owned());
        } else {
            let _ = writeln!(std::io::stderr(), "{:<10} {what}", self.name);
        }
    }

    /// The step is done.
    pub fn done(self, took: Duration, summary: &str) {
        self.bar.finish_and_clear();
        let line = format!(
            "{:<10} {:<44} {:>8}   {summary}",
            self.name,
            self.title,
            seconds(took)
        );
        let _ = writeln!(std::io::stderr(), "{}", line.trim_end());
    }
}

impl Drop for StepLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// `0.21 s`, `4.8 s`, `12 s`.
pub fn seconds(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    if s < 1.0 {
        format!("{s:.2} s")
    } else if s < 100.0 {
        format!("{s:.1} s")
    } else {
        format!("{s:.0} s")
    }
}
