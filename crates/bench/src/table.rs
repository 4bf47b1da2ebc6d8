use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::cli::Settings;
use crate::machine::{self, Machine};
use crate::row::{Figures, Row};

/// Everything that was measured in one invocation.
#[derive(Debug, Serialize)]
pub struct Table {
    /// On what.
    pub machine: Machine,
    /// The program measured.
    pub binary: String,
    /// Its size in bytes.
    pub binary_bytes: u64,
    /// The kubeconfig of the cluster that was measured beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The lines.
    pub rows: Vec<Row>,
    /// What was not measured, and why.
    pub not_measured: Vec<String>,
    #[serde(skip)]
    failures: usize,
}

impl Table {
    /// An empty table.
    pub fn new(settings: &Settings) -> Table {
        Table {
            machine: Machine::look(),
            binary: settings.binary.display().to_string(),
            binary_bytes: settings.binary.metadata().map_or(0, |m| m.len()),
            rows: Vec::new(),
            not_measured: vec![match &settings.peer {
                None => "kind, k3d, minikube, upstream's components and mmdebstrap on this machine: not at hand; the goals \
                         were set against the figures recorded in the design's targets"
                    .to_owned(),
                Some(_) => "kind, k3d, minikube and mmdebstrap on this machine: not at hand".to_owned(),
            }],
            peer: settings.peer.as_ref().map(|p| p.kubeconfig.display().to_string()),
            failures: 0,
        }
    }

    /// Runs a group that `settings` want, and adds its lines. A group that fails leaves a line in `not_measured`.
    pub async fn group<F>(&mut self, settings: &Settings, name: &str, measure: F)
    where
        F: AsyncFnOnce() -> anyhow::Result<Vec<Row>>,
    {
        if !settings.wants(name) {
            return;
        }
        let before = machine::settle(settings.settle).await;
        eprintln!("{name} …");
        match Box::pin(measure()).await {
            Ok(mut rows) => {
                let after = machine::busy(Duration::from_millis(300)).await;
                let others = before.max(after);
                for row in &mut rows {
                    row.others_percent = (others * 100.0).round();
                    eprintln!("  {:<58} {}", row.what, row.measured);
                }
                self.rows.extend(rows);
            }
            Err(failure) => self.fail(name, &failure),
        }
    }

    /// Runs a group on the peer and puts its figures beside ours of the same name.
    pub async fn peer<F>(&mut self, settings: &Settings, name: &str, measure: F)
    where
        F: AsyncFnOnce() -> anyhow::Result<Vec<Row>>,
    {
        if !settings.wants(name) {
            return;
        }
        machine::settle(settings.settle).await;
        eprintln!("{name}, the peer …");
        match Box::pin(measure()).await {
            Ok(rows) => rows.into_iter().for_each(|row| self.beside(row)),
            Err(failure) => self.fail(&format!("{name}, the peer"), &failure),
        }
    }

    fn beside(&mut self, theirs: Row) {
        eprintln!("  {:<58} {}", theirs.what, theirs.measured);
        if let Some(ours) = self.rows.iter_mut().find(|row| row.what == theirs.what) {
            ours.peer = Some(Figures {
                measured: theirs.measured,
                values: theirs.values,
                runs: theirs.runs,
            });
        }
    }

    /// Leaves a line that this could not be measured.
    pub fn fail(&mut self, name: &str, failure: &anyhow::Error) {
        self.failures += 1;
        eprintln!("  failed: {failure:#}");
        self.not_measured.push(format!("{name}: {failure:#}"));
    }

    /// Whether every group could be measured.
    pub fn complete(&self) -> bool {
        self.failures == 0
    }

    /// The table for people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "machine   {}\nprogram   {} ({:.1} MB)\n\n",
            self.machine,
            self.binary,
            self.binary_bytes as f64 / 1e6
        );
        let width =
            |of: fn(&Row) -> usize, least: usize| self.rows.iter().map(of).max().unwrap_or(0).max(least);
        let what = width(|r| r.what.chars().count(), 4);
        let measured = width(|r| r.measured.chars().count(), 8);
        let peer = width(|r| r.peer.as_ref().map_or(0, |p| p.measured.chars().count()), 0);
        let goal = width(|r| r.goal.as_ref().map_or(0, |g| g.chars().count()), 4);
        // The column is there only where another cluster was measured.
        let beside = |figures: &str| match peer {
            0 => String::new(),
            width => format!("{figures:<width$}  ", width = width.max(8)),
        };
        let _ = writeln!(
            text,
            "{:<what$}  {:<measured$}  {:>5}  {}{:<goal$}  {:<3}  others",
            "what",
            "measured",
            "runs",
            beside("the peer"),
            "goal",
            "met"
        );
        let mut notes: Vec<&str> = Vec::new();
        for row in &self.rows {
            let met = match row.met {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let mark = if row.note.is_empty() {
                String::new()
            } else {
                let number = notes.iter().position(|n| *n == row.note).unwrap_or_else(|| {
                    notes.push(&row.note);
                    notes.len() - 1
                });
                format!(" [{}]", number + 1)
            };
            let line = format!(
                "{:<what$}  {:<measured$}  {:>5}  {}{:<goal$}  {met:<3}  {:>4.0} %{mark}",
                row.what,
                row.measured,
                row.runs,
                beside(row.peer.as_ref().map_or("", |p| &p.measured)),
                row.goal.as_deref().unwrap_or(""),
                row.others_percent
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.push_str("\nothers: share of the machine that other programs kept busy just before or after; their work makes figures worse\n");
        for (number, note) in notes.iter().enumerate() {
            let _ = writeln!(text, "[{}] {note}", number + 1);
        }
        for missing in &self.not_measured {
            let _ = writeln!(text, "not measured: {missing}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_show_goals_notes_once_and_what_is_missing() {
        let row = |what: &str| Row::new(what, "1 s", 3).goal("< 2 s", true).note("shared");
        let mut table = Table {
            machine: Machine::look(),
            binary: "x".into(),
            binary_bytes: 0,
            peer: None,
            rows: vec![row("a"), row("b"), Row::new("c", "9", 1).goal("< 2 s", false)],
            not_measured: vec!["wrk: absent".into()],
            failures: 1,
        };
        let text = table.text();
        assert_eq!(text.matches("[1] shared").count(), 1, "{text}");
        assert_eq!(text.matches(" yes     0 % [1]").count(), 2, "{text}");
        assert!(
            text.contains("  NO      0 %\n") && text.ends_with("not measured: wrk: absent\n"),
            "{text}"
        );
        assert!(!table.complete());

        assert!(!text.contains("the peer"), "{text}");
        table.beside(Row::new("b", "7 s", 1));
        let text = table.text();
        assert!(
            text.contains("runs  the peer  goal") && text.contains("3  7 s       < 2 s"),
            "{text}"
        );
    }
}
