//! The open loop against a server that stalls on a known schedule: what arithmetic predicts, what was measured, and what wrk
//! says of the same server.
use std::time::Duration;

use load::Stall;

use super::{Server, output, own, peer};
use crate::cli::Settings;
use crate::row::Row;
use crate::stats::Samples;
use crate::subject::find;

/// Nothing is answered in the last second of every ten.
const STALL: Stall = Stall {
    time: Duration::from_secs(1),
    period: Duration::from_secs(10),
};
/// Requests per second: so few that what piled up in a stall is answered in no time after it.
const RATE: f64 = 200.0;
/// Connections: enough for every request of a stall, so that none waits for a connection.
const CONNECTIONS: u32 = 256;

/// The 99th percentile that the schedule alone makes, in milliseconds: a request that is due while nothing is answered waits
/// for the stall's end, every other waits for nothing.
fn predicted() -> f64 {
    let (period, time) = (STALL.period.as_secs_f64(), STALL.time.as_secs_f64());
    let requests = (RATE * period) as u32;
    let waits = (0..requests).map(|number| {
        let due = f64::from(number) / RATE;
        if due >= period - time { period - due } else { 0.0 }
    });
    Samples::new(waits).quantile(0.99) * 1e3
}

/// Measures.
pub fn measure(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    /// The histogram's three digits, and the distance of two requests, at which the stall may begin anywhere.
    const ERROR_MS: f64 = 1.0 + 1e3 / RATE;
    let periods = settings.runs(3, 1) as u64;
    let seconds = periods * STALL.period.as_secs();
    let server = Server::start(Some(STALL))?;
    let (text, _) = output(own::command(&server.url, CONNECTIONS, seconds, Some(RATE))?)?;
    let (predicted, measured) = (predicted(), own::parse_p99(&text)?);
    let mut row = Row::new(
        "open loop, server stalls 1 s in 10: p99",
        format!("{measured:.1} ms; arithmetic says {predicted:.1} ms"),
        1,
    )
    .value("p99_ms", measured)
    .value("predicted_ms", predicted)
    .goal(
        "within the histogram's error",
        (measured - predicted).abs() <= ERROR_MS,
    )
    .note(format!(
        "{RATE} requests/s for {seconds} s; the error is three digits of the histogram and the {:.0} ms between two requests; \
         wrk is a closed loop, in which a stall is one slow request per connection",
        1e3 / RATE
    ));
    if let Some(wrk) = find("wrk") {
        let (text, _) = output(peer::command(&wrk, &server.url, 16, seconds))?;
        let theirs = peer::parse_p99(&text)?;
        row.measured = format!("{}; wrk says {theirs:.2} ms", row.measured);
        row = row.value("wrk_p99_ms", theirs);
    }
    Ok(vec![row])
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_second_in_ten_makes_a_p99_of_nine_tenths_of_a_second() {
        assert!(
            (super::predicted() - 900.0).abs() < 10.0,
            "{}",
            super::predicted()
        );
    }
}
