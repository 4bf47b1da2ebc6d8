//! wrk.
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

/// One run of wrk with one thread.
pub fn command(wrk: &Path, url: &str, connections: u32, seconds: u64) -> Command {
    let mut command = Command::new(wrk);
    let (connections, seconds) = (format!("-c{connections}"), format!("-d{seconds}s"));
    command.args(["-t1", &connections, &seconds, "--latency", url]);
    command
}

/// Requests and requests per second from what it printed.
pub fn parse(text: &str) -> anyhow::Result<(f64, f64)> {
    let requests = text
        .lines()
        .find_map(|l| l.split_once(" requests in "))
        .context("wrk printed no count")?
        .0
        .trim()
        .parse()?;
    let rate = text
        .lines()
        .find_map(|l| l.strip_prefix("Requests/sec:"))
        .context("wrk printed no rate")?
        .trim()
        .parse()?;
    anyhow::ensure!(
        !text.contains("Socket errors") && !text.contains("Non-2xx"),
        "wrk saw errors: {text}"
    );
    Ok((requests, rate))
}

/// The 99th percentile in milliseconds from what it printed.
pub fn parse_p99(text: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|l| l.trim().strip_prefix("99%"));
    let value = line.context("wrk printed no 99th percentile")?.trim();
    for (unit, factor) in [("us", 1e-3), ("ms", 1.0), ("s", 1e3)] {
        if let Some(number) = value.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Ok(number * factor);
        }
    }
    anyhow::bail!("wrk's 99th percentile is `{value}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 1 connections\n  Thread Stats   Avg\n    Latency    28.44us\n  66046 requests in 2.10s, 2.58MB read\nRequests/sec:  31450.23\nTransfer/sec:      1.23MB\n";

    #[test]
    fn figures_are_read_and_errors_are_not_overlooked() {
        assert_eq!(parse(PRINTED).unwrap(), (66046.0, 31450.23));
        assert!(
            parse(&format!(
                "{PRINTED}  Socket errors: connect 0, read 1, write 0, timeout 0\n"
            ))
            .is_err()
        );
        assert!(parse("unable to connect").is_err());
        for (value, milliseconds) in [("28.44us", 0.02844), ("5.25ms", 5.25), ("1.05s", 1050.0)] {
            let read = parse_p99(&format!(
                "  Latency Distribution\n     90%   1.00us\n     99%  {value}\n"
            ))
            .unwrap();
            assert!((read - milliseconds).abs() < 1e-9, "{value}: {read}");
        }
    }
}
