use std::fmt::Write as _;

use results::{Cost, NodePrice, Run};

/// A few lines that a person reads on a terminal.
pub fn text(run: &Run) -> String {
    let load = &run.load;
    let mut out = String::new();
    let asked = load
        .rate
        .map(|r| format!(" of {r:.0}/s asked"))
        .unwrap_or_default();
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "{:<12} {:.0}/s{asked}, {} completed, {} failed in {:.0} s",
        "throughput", load.throughput, load.completed, load.failed, load.seconds
    );
    let l = &load.latency;
    let _ = writeln!(
        out,
        "{:<12} p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
        "latency",
        ms(l.p50_ms),
        ms(l.p90_ms),
        ms(l.p99_ms),
        ms(l.p999_ms),
        ms(l.max_ms)
    );
    for (kind, count) in &load.errors {
        let _ = writeln!(out, "{:<12} {count} × {kind}", "failed");
    }
    crate::recovery::text(run, &mut out);
    if !run.repeats.is_empty() {
        let values: Vec<String> = run
            .observed()
            .map(|l| format!("{:.2}", l.latency.p99_ms))
            .collect();
        let _ = writeln!(
            out,
            "{:<12} {} loads, p99 in ms: {}",
            "repeats",
            values.len(),
            values.join(" ")
        );
    }
    if let Some(search) = &run.search {
        let _ = writeln!(out, "{:<12} {}", "highest rate", search.verdict);
    }
    if let Some(us) = run.cpu_us_per_request("tally") {
        let _ = writeln!(out, "{:<12} {us:.0} µs of tally's CPU per request", "CPU");
    }
    if let Some(priced) = &run.cost {
        let _ = writeln!(out, "{:<12} {}", "cost", cost(priced));
    }
    if let Some(steady) = &load.steady {
        let text = match steady.from_s {
            Some(0) => "from the first second on".to_owned(),
            Some(from) => format!("from second {from} on: --warm-up {from}s leaves out what was before"),
            None => "never: throughput or latency drifted to the end".to_owned(),
        };
        let _ = writeln!(out, "{:<12} {text}", "steady");
    }
    for doubt in &load.doubts {
        let _ = writeln!(out, "{:<12} {doubt}", "void");
    }
    for missing in &run.missing {
        let _ = writeln!(out, "{:<12} {missing}", "not measured");
    }
    out
}

/// What it cost, in words.
pub(crate) fn cost(cost: &Cost) -> String {
    let from = match &cost.node {
        NodePrice::Listed { id, date, .. } => match date {
            Some(date) => format!("{id} as of {date}"),
            None => format!("{id}, whose price nobody has looked up yet"),
        },
        NodePrice::Given { .. } => "price as given".to_owned(),
        NodePrice::Own {
            usd,
            years,
            watts,
            usd_per_kwh,
            electricity,
        } => {
            let from = electricity
                .as_ref()
                .map_or_else(String::new, |e| format!(" ({e})"));
            format!("own machine: ${usd} over {years} years, {watts} W at ${usd_per_kwh}/kWh{from}")
        }
    };
    let (Some(hour), Some(run)) = (cost.usd_per_hour, cost.usd_for_run) else {
        return format!("unknown ({from})");
    };
    let million = cost
        .usd_per_million
        .map_or_else(|| "unknown".to_owned(), |m| format!("${m:.4}"));
    let objective = cost
        .objective
        .as_ref()
        .map_or_else(String::new, |o| format!(" at {o}"));
    format!(
        "{million} per million requests{objective}, ${run:.4} for the run, ${hour:.4}/h for {} node(s) ({from})",
        cost.nodes
    )
}

/// `0.42 ms`, `12 ms`, `1.3 s`.
pub(crate) fn ms(milliseconds: f64) -> String {
    match milliseconds {
        m if m < 10.0 => format!("{m:.2} ms"),
        m if m < 1000.0 => format!("{m:.0} ms"),
        m => format!("{:.1} s", m / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn milliseconds_are_short_and_have_units() {
        assert_eq!(
            [0.421, 12.4, 1340.0].map(super::ms),
            ["0.42 ms", "12 ms", "1.3 s"]
        );
    }
}
