//! Where tally spends its CPU under load, by perf.
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Samples a process for so many seconds while `load` runs, and gives the symbols with the largest shares, largest first.
pub(super) fn top(
    pid: i32,
    folder: &Path,
    seconds: u64,
    load: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<(f64, String)>> {
    let file = folder.join("perf.data");
    // Virtual machines often count no cycles; the clock is there everywhere.
    let mut perf = Command::new("perf")
        .args([
            "record",
            "-q",
            "-e",
            "cpu-clock",
            "-F",
            "499",
            "-p",
            &pid.to_string(),
            "-o",
        ])
        .arg(&file)
        .args(["--", "sleep", &seconds.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to run perf")?;
    load()?;
    let recorded = perf.wait()?;
    ensure!(recorded.success(), "perf record ended with {recorded}");
    let output = Command::new("perf")
        .args(["report", "--stdio", "--no-children", "--sort", "symbol", "-i"])
        .arg(&file)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found = parse(&String::from_utf8_lossy(&output.stdout));
    ensure!(!found.is_empty(), "perf saw nothing");
    Ok(found)
}

/// Lines `  12.34%  [.] symbol`.
fn parse(report: &str) -> Vec<(f64, String)> {
    let lines = report.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    let symbols = lines.filter_map(|line| {
        let (share, symbol) = line.split_once('%')?;
        Some((share.trim().parse().ok()?, symbol.trim().to_owned()))
    });
    symbols.take(5).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shares_are_read() {
        let report = "# Samples: 6\n#\n    33.10%  [k] tcp_sendmsg\n     9.52%  [.] memchr::find\n\n";
        assert_eq!(
            parse(report),
            [
                (33.1, "[k] tcp_sendmsg".to_owned()),
                (9.52, "[.] memchr::find".to_owned())
            ]
        );
    }
}
