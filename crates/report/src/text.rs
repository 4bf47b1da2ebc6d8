use std::fmt::Write as _;

use results::Run;

/// A few lines that a person reads on a terminal.
pub fn text(run: &Run) -> String {
    let load = &run.load;
    let mut out = String::new();
    let asked = load.rate.map(|r| format!(" of {r:.0}/s asked")).unwrap_or_default();
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
        "latency", ms(l.p50_ms), ms(l.p90_ms), ms(l.p99_ms), ms(l.p999_ms), ms(l.max_ms)
    );
    for (kind, count) in &load.errors {
        let _ = writeln!(out, "{:<12} {count} × {kind}", "failed");
    }
    for fault in &run.faults {
        let ready = fault.ready_s.map(|s| format!(", replacement ready after {s:.1} s")).unwrap_or_default();
        let _ = writeln!(
            out,
            "{:<12} {} after {:.1} s: {} requests lost, {} s degraded{ready}",
            "fault", fault.what, fault.t, fault.failed, fault.degraded_s
        );
    }
    for doubt in &load.doubts {
        let _ = writeln!(out, "{:<12} {doubt}", "void");
    }
    for missing in &run.missing {
        let _ = writeln!(out, "{:<12} {missing}", "not measured");
    }
    out
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
        assert_eq!([0.421, 12.4, 1340.0].map(super::ms), ["0.42 ms", "12 ms", "1.3 s"]);
    }
}
