//! The table of findings: the bad ones with what they lead to and what to do, the rest counted.
use std::io::IsTerminal as _;

use preflight::{Finding, Level};

use crate::printer::Printer;
use crate::settings::Settings;

/// Prints findings for a person.
pub fn table(findings: &[Finding], settings: &Settings, printer: &Printer) {
    let colour = settings.colour && std::io::stdout().is_terminal();
    let word = |level| {
        let (text, code) = match level {
            Level::Fail => ("FAIL", "1;31"),
            Level::Warn => ("WARN", "1;33"),
            Level::Skip => ("skip", "2"),
            Level::Pass => ("pass", "32"),
        };
        if colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    };
    let name = |f: &Finding| {
        if f.machine.is_empty() {
            f.id.clone()
        } else {
            format!("{} {}", f.machine, f.id)
        }
    };
    let width = findings
        .iter()
        .map(|f| name(f).chars().count())
        .max()
        .unwrap_or(0)
        .clamp(18, 44);
    let mut shown: Vec<&Finding> = findings
        .iter()
        .filter(|f| settings.verbose || f.level >= Level::Warn)
        .collect();
    // Worst first; within a level the checks' own order.
    shown.sort_by_key(|f| std::cmp::Reverse(f.level));
    for f in shown {
        printer.text(format!("{}  {:<width$} {}", word(f.level), name(f), f.seen));
        if f.level < Level::Warn {
            continue;
        }
        let fix = if f.changes.is_empty() {
            f.fix.clone()
        } else {
            format!("{} (cncfdemo doctor --fix {})", f.fix, f.id)
        };
        let mut lines = vec![("later", &f.later), ("fix", &fix)];
        if settings.verbose {
            lines.extend([("undo", &f.undo), ("verify", &f.verify), ("more", &f.doc)]);
        }
        for (label, text) in lines.into_iter().filter(|(_, text)| !text.is_empty()) {
            printer.text(format!("      {label:<8} {text}"));
        }
    }
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let skipped = match count(Level::Skip) {
        0 => String::new(),
        n if settings.verbose => format!("  skip {n}"),
        n => format!("  skip {n} (--verbose lists them)"),
    };
    let bad = match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => String::new(),
        (0, warn) => format!("warn {warn}  "),
        (fail, 0) => format!("FAIL {fail}  "),
        (fail, warn) => format!("FAIL {fail}  warn {warn}  "),
    };
    printer.text(format!("{bad}pass {}{skipped}", count(Level::Pass)));
}
