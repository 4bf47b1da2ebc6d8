//! The writer of the activity journal (`results::activity`): what this run of the program does, for whoever follows it.
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use results::activity::{Entry, State};

use crate::settings::Settings;

/// The journal is begun anew when it has become so long; its story is told by then.
const LONGEST: u64 = 4 << 20;

/// Appends to the journal of the cluster that the settings mean. That nothing can be written (no permission, a full disk) is
/// no reason for a command to fail: it is logged.
#[derive(Debug)]
pub struct Journal {
    file: PathBuf,
    /// A local cluster's folder is made by its bootstrap and by nobody else.
    may_make_folder: bool,
    run: String,
    kind: &'static str,
    /// Lines from before there was a folder.
    waiting: Mutex<Vec<u8>>,
}

impl Journal {
    /// For a run of this kind: `start`, `benchmark`, `chaos`.
    pub fn new(settings: &Settings, kind: &'static str) -> Result<Journal, engine::Error> {
        Ok(Journal {
            file: file(settings)?,
            may_make_folder: settings.context.is_some(),
            run: format!(
                "{}-{:04x}",
                jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"),
                std::process::id() & 0xffff
            ),
            kind,
            waiting: Mutex::default(),
        })
    }

    /// A part begins.
    pub fn begun(&self, step: &str, text: &str) {
        self.write(step, State::Begun, text, &[]);
    }

    /// A part goes on.
    pub fn progress(&self, step: &str, text: &str, figures: &[(&str, f64)]) {
        self.write(step, State::Progress, text, figures);
    }

    /// A part is done.
    pub fn done(&self, step: &str, text: &str, figures: &[(&str, f64)]) {
        self.write(step, State::Done, text, figures);
    }

    /// A part has failed.
    pub fn failed(&self, step: &str, text: &str) {
        self.write(step, State::Failed, text, &[]);
    }

    fn write(&self, step: &str, state: State, text: &str, figures: &[(&str, f64)]) {
        let now = jiff::Timestamp::now();
        let entry = Entry {
            time: format!("{now:.3}"),
            run: self.run.clone(),
            kind: self.kind.to_owned(),
            step: step.to_owned(),
            state,
            text: text.to_owned(),
            figures: figures
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect::<BTreeMap<_, _>>(),
        };
        if let Err(e) = self.append(entry.line().as_bytes()) {
            tracing::info!("failed to write {}: {e}", self.file.display());
        }
    }

    fn append(&self, line: &[u8]) -> std::io::Result<()> {
        let Ok(mut waiting) = self.waiting.lock() else {
            return Ok(());
        };
        waiting.extend_from_slice(line);
        if let Some(folder) = self.file.parent()
            && !folder.exists()
        {
            if !self.may_make_folder {
                return Ok(());
            }
            fs::create_dir_all(folder)?;
        }
        if fs::metadata(&self.file).is_ok_and(|m| m.len() > LONGEST) {
            fs::rename(&self.file, self.file.with_extension("jsonl.old"))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        // One write: two programs that append at once do not mix their lines.
        file.write_all(&waiting)?;
        waiting.clear();
        Ok(())
    }
}

/// Where the journal of the cluster is that the settings mean.
pub fn file(settings: &Settings) -> Result<PathBuf, engine::Error> {
    let folder = match &settings.context {
        Some(context) => settings.state.join("contexts").join(file_name(context)),
        None => settings.paths()?.dir(),
    };
    Ok(folder.join("activity.jsonl"))
}

/// What a load came to.
pub fn figures(load: &results::Load) -> [(&'static str, f64); 5] {
    [
        ("throughput", load.throughput),
        ("completed", load.completed as f64),
        ("failed", load.failed as f64),
        ("p50_ms", load.latency.p50_ms),
        ("p99_ms", load.latency.p99_ms),
    ]
}

/// A context's name as a file's: letters, digits, `.`, `-`, `_` stay, every other byte becomes `%XX`.
fn file_name(context: &str) -> String {
    let plain = |b: u8, first: bool| b.is_ascii_alphanumeric() || b"-_".contains(&b) || (b == b'.' && !first);
    context
        .bytes()
        .enumerate()
        .map(|(at, b)| {
            if plain(b, at == 0) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn journal(folder: &std::path::Path) -> Journal {
        Journal {
            file: folder.join("activity.jsonl"),
            may_make_folder: false,
            run: "r".into(),
            kind: "start",
            waiting: Mutex::default(),
        }
    }

    #[test]
    fn what_came_before_the_folder_is_written_once_it_is_there_and_the_folder_is_left_to_its_maker() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("clusters/x");
        let journal = journal(&folder);
        journal.begun("cluster", "local \"x\"");
        assert!(!folder.exists());
        fs::create_dir_all(&folder).unwrap();
        journal.done("cluster", "1 node Ready", &[("seconds", 0.2)]);
        let text = fs::read_to_string(folder.join("activity.jsonl")).unwrap();
        let entries: Vec<Entry> = text.lines().map(|l| Entry::read(l).unwrap()).collect();
        assert_eq!(
            entries.iter().map(|e| e.state).collect::<Vec<_>>(),
            [State::Begun, State::Done]
        );
        assert!(
            entries[0].time.ends_with('Z') && entries[0].time.len() == 24,
            "{}",
            entries[0].time
        );
    }

    #[test]
    fn names_of_contexts_stay_in_their_folder() {
        assert_eq!(file_name("../a/b"), "%2E.%2Fa%2Fb");
        assert_eq!(file_name("arn:aws:eks"), "arn%3Aaws%3Aeks");
    }
}
