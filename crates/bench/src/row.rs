use std::collections::BTreeMap;

use serde::Serialize;

/// What was measured on the other cluster.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// The figures, for people.
    pub measured: String,
    /// The figures by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// How many runs or samples they are from.
    pub runs: usize,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figures, for people.
    pub measured: String,
    /// The figures by name, in the unit that the name ends in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, f64>,
    /// How many runs or samples the figures are from.
    pub runs: usize,
    /// The goal, where the design set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// Whether it was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// Percent of the machine that other programs kept busy just before or after.
    pub others_percent: f64,
    /// The same, measured on the other cluster in this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Figures>,
    /// How it was taken, and what to know about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Row {
    /// A line with its figures in words.
    pub fn new(what: impl Into<String>, measured: impl Into<String>, runs: usize) -> Row {
        Row {
            what: what.into(),
            measured: measured.into(),
            values: BTreeMap::new(),
            runs,
            goal: None,
            met: None,
            others_percent: 0.0,
            peer: None,
            note: String::new(),
        }
    }

    /// Adds a figure for machines.
    pub fn value(mut self, name: &str, value: f64) -> Row {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// Adds a figure for machines, where it is known.
    pub fn known(self, name: &str, value: Option<f64>) -> Row {
        match value {
            Some(value) => self.value(name, value),
            None => self,
        }
    }

    /// Adds the goal and whether it was met.
    pub fn goal(mut self, goal: &str, met: bool) -> Row {
        self.goal = Some(goal.to_owned());
        self.met = Some(met);
        self
    }

    /// Adds a remark.
    pub fn note(mut self, note: impl AsRef<str>) -> Row {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note.as_ref());
        self
    }
}
