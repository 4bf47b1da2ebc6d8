//! Findings as JSON and JUnit XML, and checks as reference pages.
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::check::{Check, Finding, Judge, Level, Wanted};
use crate::checks;

fn xml(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            // XML 1.0 has no way to write most control characters.
            c if c.is_control() && c != '\n' && c != '\t' => "\u{fffd}".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// JUnit XML: one test case a finding. Warnings are passed cases with their text as output.
pub fn junit(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"cncfdemo doctor\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
        findings.len(),
        count(Level::Fail),
        count(Level::Skip)
    );
    for f in findings {
        let class = if f.machine.is_empty() {
            "doctor".to_owned()
        } else {
            format!("doctor.{}", f.machine)
        };
        let _ = write!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\"",
            xml(&class),
            xml(&f.id)
        );
        let details = xml(&format!(
            "seen: {}\nlater: {}\nfix: {}\nverify: {}",
            f.seen, f.later, f.fix, f.verify
        ));
        let _ = match f.level {
            Level::Pass => writeln!(out, "/>"),
            Level::Skip => writeln!(out, "><skipped message=\"{}\"/></testcase>", xml(&f.seen)),
            Level::Warn => writeln!(out, "><system-out>warning\n{details}</system-out></testcase>"),
            Level::Fail => writeln!(
                out,
                "><failure message=\"{}\">{details}</failure></testcase>",
                xml(&f.seen)
            ),
        };
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// A check's reference page, in Markdown.
pub fn page(check: &Check) -> String {
    let subject = match check.judge {
        Judge::Machine(_) => "a machine",
        Judge::Fleet(_) => "several machines together (`--facts` more than once)",
        Judge::Cluster(_) => "a cluster (`--context`)",
        Judge::Cloud(_) => "a cloud account (`--cloud`)",
    };
    let mut out = format!(
        "# {}\n\n{}.\n\n{}\n\n",
        check.id,
        capital(check.title),
        check.story
    );
    let profiles: Vec<String> = check
        .profiles
        .iter()
        .filter_map(|p| Some(format!("`{}`", serde_json::to_value(p).ok()?.as_str()?)))
        .collect();
    let _ = writeln!(out, "| | |\n|---|---|\n| judges | {subject} |");
    if !profiles.is_empty() {
        let _ = writeln!(out, "| profiles | {} |", profiles.join(", "));
    }
    for (name, text) in [
        ("looks at", check.looks_at),
        ("later", check.later),
        ("fix", check.fix),
        ("undo", check.undo),
        ("verify", check.verify),
    ] {
        let _ = writeln!(out, "| {name} | {} |", text.replace('|', "\\|"));
    }
    out
}

/// The list of all checks, in Markdown.
fn index<'a>(checks: impl Iterator<Item = &'a Check>) -> String {
    let mut out = "# What `cncfdemo doctor` checks\n\nThese pages are written from the checks themselves (`cncfdemo doctor explain --write DIR`); a test compares them.\n\n| check | what should be so | later, when it is not |\n|---|---|---|\n".to_owned();
    for check in checks {
        let _ = writeln!(
            out,
            "| [{0}]({0}.md) | {1} | {2} |",
            check.id,
            check.title.replace('|', "\\|"),
            check.later.replace('|', "\\|")
        );
    }
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Every reference file: name and text.
pub fn reference() -> Vec<(String, String)> {
    let mut files = vec![
        ("README.md".to_owned(), index(checks::all())),
        ("findings.schema.json".to_owned(), format!("{:#}\n", schema())),
    ];
    files.extend(checks::all().map(|check| (format!("{}.md", check.id), page(check))));
    files
}

/// Name and version of the findings' form.
const FORMAT: &str = "cncfdemo.doctor.findings/1";

/// The findings as one JSON document; [`schema`] describes it.
pub fn document(findings: &[Finding], wanted: &Wanted) -> Value {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    json!({
        "format": FORMAT,
        "profile": wanted.profile,
        "kubernetes": format!("1.{}", wanted.kubernetes),
        "counts": {"pass": count(Level::Pass), "skip": count(Level::Skip), "warn": count(Level::Warn), "fail": count(Level::Fail)},
        "findings": findings,
    })
}

/// JSON schema of what `doctor --output json` prints.
pub fn schema() -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What cncfdemo doctor found",
        "type": "object",
        "required": ["format", "profile", "kubernetes", "counts", "findings"],
        "properties": {
            "format": {"const": FORMAT},
            "profile": {"enum": ["node", "control-plane", "local-engine", "mongodb"]},
            "kubernetes": {"type": "string", "pattern": "^1\\.[0-9]+$"},
            "counts": {
                "type": "object",
                "required": ["pass", "skip", "warn", "fail"],
                "properties": {"pass": count, "skip": count, "warn": count, "fail": count},
            },
            "findings": {"type": "array", "items": {
                "type": "object",
                "required": ["id", "level", "title", "seen", "later", "fix", "undo", "verify", "doc"],
                "properties": {
                    "id": {"enum": checks::all().map(|c| c.id).collect::<Vec<_>>()},
                    "level": {"enum": ["pass", "skip", "warn", "fail"]},
                    "machine": text("host name, where several machines are judged"),
                    "title": text("what should be so"),
                    "seen": text("what was seen, or why it was not judged"),
                    "later": text("what is seen later, when nothing is done"),
                    "fix": text("what to do, so that it lasts over a reboot"),
                    "undo": text("how to take that back"),
                    "verify": text("how to see that it worked"),
                    "doc": text("the reference page"),
                    "changes": {"type": "array", "description": "what --fix would do", "items": {
                        "type": "object", "required": ["kind"],
                        "properties": {"kind": {"enum": ["write-file", "set-sysctl", "load-module", "swap-off"]}},
                    }},
                },
            }},
        },
    })
}
