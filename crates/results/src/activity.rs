//! The activity journal: what the program does for a person, as it happens, one JSON object per line.
//!
//! The program appends; whoever wants to tell the story of a running demo (the dashboard) follows the file. A line is written
//! whole, in one write. Readers skip what they cannot read: a newer program may write more.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, RFC 3339 in UTC, to the millisecond: `2026-11-26T11:05:29.123Z`.
    pub time: String,
    /// Which run of the program wrote it; the lines of one run belong together.
    pub run: String,
    /// What the run is for: `start`, `benchmark`, `chaos`.
    pub kind: String,
    /// The part of it: for `start` the step (`cluster`, `images`, `monitor`, …), else `load`, or the fault (`pod`, `node`, …).
    pub step: String,
    /// Where the part stands.
    pub state: State,
    /// For a person, in plain words.
    #[serde(default)]
    pub text: String,
    /// Numbers by name with their unit, such as `seconds`, `p99_ms`, `rate`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

/// Where a part of a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It begins.
    Begun,
    /// It goes on; the text says what it does or waits for.
    Progress,
    /// It has come to a good end.
    Done,
    /// It has failed; the text says why.
    Failed,
}

impl Entry {
    /// The line, with its end.
    pub fn line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{json}\n")
    }

    /// Reads a line; `None` for what is no entry: half a line, or one of another kind.
    pub fn read(line: &str) -> Option<Entry> {
        serde_json::from_str(line).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_half_of_it_is_not() {
        let entry = Entry {
            time: "2026-11-26T11:05:29.123Z".into(),
            run: "1a2b".into(),
            kind: "start".into(),
            step: "store".into(),
            state: State::Progress,
            text: "waiting 12 s: pod redis-3 is\nPending".into(),
            figures: BTreeMap::from([("seconds".to_owned(), 12.0)]),
        };
        let line = entry.line();
        assert_eq!(line.matches('\n').count(), 1, "an entry is one line: {line}");
        assert_eq!(Entry::read(&line), Some(entry));
        assert_eq!(Entry::read(&line[..line.len() / 2]), None);
        let newer = line.replace("\"run\"", "\"unheard\":1,\"run\"");
        assert!(Entry::read(&newer).is_some(), "a newer program may write more");
    }
}
