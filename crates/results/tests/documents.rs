//! Documents of every version open, and an altered headline does not go unnoticed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its helpers fail"
)]
use proptest::prelude::*;
use results::{Run, verify};
use serde_json::Value;

/// Recorded by version 0.1.0 on the demo in the embedded engine (pods and events shortened).
const OLDEST: &str = include_str!("data/run-of-0.1.0.json");

#[test]
fn the_oldest_version_opens_and_its_headlines_follow_from_its_data() {
    let run = Run::read(OLDEST).unwrap();
    // It counted the last, partial second as degraded; that figure is the only one that is computed differently now.
    let wrong: Vec<_> = verify(&run)
        .into_iter()
        .filter(|f| !f.place.starts_with("faults["))
        .collect();
    assert_eq!(wrong, [], "{wrong:?}");
}

#[test]
fn what_is_no_run_document_is_refused() {
    let mut unknown: Value = serde_json::from_str(OLDEST).unwrap();
    unknown["schema"] = "cncfdemo.io/run/v9".into();
    let mut path: Value = serde_json::from_str(OLDEST).unwrap();
    path["id"] = "../../etc/passwd".into();
    for bad in [
        String::new(),
        "[]".into(),
        "{\"schema\":\"cncfdemo.io/run/v1\"}".into(),
        unknown.to_string(),
        path.to_string(),
    ] {
        assert!(Run::read(&bad).is_err(), "{bad:.60}");
    }
}

fn sound() -> Value {
    let mut run = Run::read(OLDEST).unwrap();
    let full = run.load.full_seconds().to_vec();
    run.faults.iter_mut().for_each(|f| f.measure(&full));
    run.cost = Some(results::Cost::of(
        &run,
        results::NodePrice::Given { usd_per_hour: 0.1 },
        2,
    ));
    assert_eq!(verify(&run), []);
    serde_json::to_value(&run).unwrap()
}

const HEADLINES: &[&str] = &[
    "/load/completed",
    "/load/failed",
    "/load/throughput",
    "/load/latency/min_ms",
    "/load/latency/mean_ms",
    "/load/latency/p50_ms",
    "/load/latency/p90_ms",
    "/load/latency/p99_ms",
    "/load/latency/p999_ms",
    "/load/latency/max_ms",
    "/faults/0/failed",
    "/faults/0/degraded_s",
    "/cost/usd_per_hour",
    "/cost/usd_per_million",
    "/cost/usd_for_run",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_altered_headline_is_found(which in 0..HEADLINES.len(), by in 0.001f64..10.0, up in any::<bool>()) {
        let mut document = sound();
        let place = document.pointer_mut(HEADLINES[which]).unwrap();
        let altered = match place.as_u64() {
            Some(n) => Value::from(if up { n + 1 + by as u64 } else { n.checked_sub(1).unwrap_or(n + 1) }),
            None => Value::from(place.as_f64().unwrap() * if up { 1.0 + by } else { 1.0 / (1.0 + by) }),
        };
        *place = altered;
        let run = Run::read(&document.to_string()).unwrap();
        prop_assert!(!verify(&run).is_empty(), "{} was altered and nobody noticed", HEADLINES[which]);
    }

    /// A document from anywhere may be read or refused, and never does harm.
    #[test]
    fn damaged_documents_do_no_harm(at in 0usize..6000, byte in any::<u8>()) {
        let mut bytes = OLDEST.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(run) = Run::read(&String::from_utf8_lossy(&bytes)) {
            let _ = verify(&run);
            let _ = results::compare(&[&run], &[&run], results::Rules::default());
        }
    }
}
