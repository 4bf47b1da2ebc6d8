//! How long a command takes that does nothing but start.
use std::process::Command;
use std::time::Instant;

use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};
use crate::subject::{find, succeed};

/// Measures `cncfdemo version`, and kubectl's if there is one.
pub fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let own = sample(settings.runs(50, 10), || {
        let mut command = Command::new(&settings.binary);
        command.arg("version");
        command
    })?;
    let mut rows = vec![
        row("command start-up: cncfdemo version", &own)
            .goal("< 10 ms", own.median() < 0.010)
            .note("wall-clock time from spawning to having waited for it"),
    ];
    if let Some(kubectl) = find("kubectl") {
        let peer = sample(settings.runs(20, 5), || {
            let mut command = Command::new(&kubectl);
            command.args(["version", "--client"]);
            command
        })?;
        rows.push(row("command start-up: kubectl version --client", &peer).note("the peer, on this machine"));
    } else {
        rows[0] = rows[0]
            .clone()
            .note("kubectl is not at hand and was not measured");
    }
    Ok(rows)
}

fn sample(runs: usize, command: impl Fn() -> Command) -> anyhow::Result<Samples> {
    succeed(&mut command())?;
    let mut samples = Vec::new();
    for _ in 0..runs {
        let mut command = command();
        let begun = Instant::now();
        succeed(&mut command)?;
        samples.push(begun.elapsed());
    }
    Ok(Samples::seconds(&samples))
}

fn row(what: &str, samples: &Samples) -> Row {
    let (median, p95) = (samples.median(), samples.quantile(0.95));
    Row::new(
        what,
        format!("median {}, p95 {}", time(median), time(p95)),
        samples.len(),
    )
    .value("median_s", median)
    .value("p95_s", p95)
}
