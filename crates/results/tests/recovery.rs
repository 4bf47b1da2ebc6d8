//! What faults cost follows from the raw data, whatever these are, and nobody can alter it unnoticed.
#![allow(clippy::unwrap_used, reason = "a test ends where its helpers fail")]
use proptest::prelude::*;
use results::{CALM, Fault, Happening, RateStep, Run, Second, What, verify};
use serde_json::Value;

fn fault(t: f64, kind: &str, victim: &str, ended_s: Option<f64>) -> Fault {
    Fault {
        t,
        what: format!("{kind} {victim}"),
        failed: 0,
        degraded_s: 0,
        ready_s: None,
        kind: Some(kind.to_owned()),
        app: (kind == "pod").then(|| "tally".to_owned()),
        victims: vec![victim.to_owned()],
        ended_s,
        recovery: None,
    }
}

fn happening(t: f64, what: What, object: &str, value: Option<f64>) -> Happening {
    Happening {
        t,
        what,
        object: object.to_owned(),
        app: (!object.starts_with("node/")).then(|| "tally".to_owned()),
        detail: String::new(),
        value,
    }
}

/// A run of so many seconds, each with its failures and its p99, and faults at these times.
fn run(seconds: &[(u64, f64)], faults: &[f64]) -> Run {
    let mut run = Run::read(include_str!("data/run-of-0.1.0.json")).unwrap();
    let second = |(t, (failed, p99)): (usize, &(u64, f64))| Second {
        t: t as u64,
        completed: 100,
        failed: *failed,
        p50_ms: Some(1.0),
        p99_ms: Some(*p99),
        max_ms: Some(*p99),
    };
    run.load.series = seconds.iter().enumerate().map(second).collect();
    run.load.planned_s = Some(seconds.len() as f64);
    run.faults = faults
        .iter()
        .map(|t| fault(*t, "pod", "pod/tally-a", None))
        .collect();
    run.measure_faults();
    run
}

#[test]
fn the_cost_of_a_fault_is_counted_until_the_load_is_back() {
    let calm = (0, 2.0);
    let mut seconds = vec![calm; 10];
    seconds.extend([(7, 2.0), (0, 90.0), calm, (0, 50.0), calm, calm, calm, calm]);
    // Long after the load was back; no part of this fault.
    seconds.push((0, 70.0));
    let run = run(&seconds, &[10.4]);
    let recovery = run.faults[0].recovery.clone().unwrap();
    assert_eq!((recovery.lost, recovery.outside_s), (7, 3));
    assert_eq!(recovery.p99_peak_ms, Some(90.0));
    assert_eq!(recovery.back_s.map(|s| (s * 10.0).round()), Some(36.0));
    assert!((recovery.band.unwrap().usual_p99_ms - 2.0).abs() < 1e-9);
}

#[test]
fn a_load_that_never_left_its_band_or_never_came_back_says_so() {
    let run_of = |after: &[(u64, f64)]| {
        let mut seconds = vec![(0, 2.0); 6];
        seconds.extend(after);
        run(&seconds, &[6.0]).faults[0].recovery.clone().unwrap()
    };
    let never = run_of(&[(0, 2.1); 5]);
    assert_eq!((never.outside_s, never.back_s), (0, Some(0.0)));
    let lost = run_of(&[(3, 2.0), (3, 2.0), (0, 2.0), (0, 2.0)]);
    assert_eq!((lost.outside_s, lost.back_s), (2, None));
}

#[test]
fn the_clusters_part_is_that_of_the_victims_app_and_node() {
    let mut run = run(&[(0, 2.0); 30], &[]);
    run.faults = vec![
        fault(5.0, "pod", "pod/tally-a", None),
        fault(15.0, "node", "node/n2", Some(22.0)),
    ];
    let mut other = happening(5.05, What::EndpointRemoved, "pod/redis-0", None);
    other.app = Some("redis".to_owned());
    run.timeline = vec![
        happening(4.0, What::PodReady, "pod/tally-0", None),
        other,
        happening(5.1, What::EndpointRemoved, "pod/tally-a", None),
        happening(6.0, What::PodReady, "pod/tally-a", None),
        happening(16.0, What::NodeNotReady, "node/n3", None),
        happening(17.0, What::NodeNotReady, "node/n2", None),
        happening(23.0, What::NodeReady, "node/n2", None),
    ];
    run.measure_faults();
    let [pod, node] = [0, 1].map(|i| run.faults[i].recovery.clone().unwrap());
    let tenths = |s: Option<f64>| s.map(|s| (s * 10.0).round());
    assert_eq!(
        (tenths(pod.endpoint_removed_s), tenths(pod.ready_s)),
        (Some(1.0), Some(10.0))
    );
    assert_eq!(tenths(node.node_not_ready_s), Some(20.0));
    assert_eq!(tenths(node.node_ready_s), Some(80.0));
    assert_eq!((pod.node_not_ready_s, node.ready_s), (None, None));
}

/// A document with everything that this file is about.
fn full() -> Value {
    let mut seconds = vec![(0, 2.0); 10];
    seconds.extend([(7, 60.0), (0, 90.0)]);
    seconds.extend([(0, 2.0); 18]);
    let mut run = run(&seconds, &[10.4, 20.0]);
    let step = |from_s, rate| RateStep { from_s, rate };
    run.load.steps = vec![step(0.0, 100.0), step(12.0, 400.0)];
    run.timeline = vec![
        happening(-0.1, What::ScalerDecided, "hpa/tally", Some(2.0)),
        happening(10.5, What::PodDied, "pod/tally-a", None),
        happening(10.6, What::EndpointRemoved, "pod/tally-a", None),
        happening(11.0, What::PodReady, "pod/tally-a", None),
        happening(13.0, What::ScalerSaw, "hpa/tally", Some(80.0)),
        happening(14.0, What::ScalerDecided, "hpa/tally", Some(4.0)),
        happening(15.0, What::ReplicasReady, "deployment/tally", Some(4.0)),
    ];
    run.measure_faults();
    run.measure_scaling();
    run.count(5, 5 + run.load.completed);
    serde_json::to_value(run).unwrap()
}

const HEADLINES: &[&str] = &[
    "/faults/0/recovery/lost",
    "/faults/0/recovery/outside_s",
    "/faults/0/recovery/p99_peak_ms",
    "/faults/0/recovery/back_s",
    "/faults/0/recovery/band/highest_p99_ms",
    "/faults/0/recovery/endpoint_removed_s",
    "/faults/0/recovery/ready_s",
    "/faults/1/recovery/back_s",
    "/scaling/0/seen_s",
    "/scaling/0/decided_s",
    "/scaling/0/ready_s",
    "/scaling/0/to_replicas",
    "/counted/acknowledged",
    "/counted/uncertain",
];

/// Places where the document itself does not agree; its series were replaced, so some always do.
fn places(document: &Value) -> Vec<String> {
    let run = Run::read(&document.to_string()).unwrap();
    let found = verify(&run).into_iter().map(|f| f.place);
    found.filter(|p| !p.starts_with("load.")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_altered_figure_is_found(which in 0..HEADLINES.len(), by in 1u64..9) {
        let mut document = full();
        prop_assert_eq!(places(&document), Vec::<String>::new());
        let place = document.pointer_mut(HEADLINES[which]).unwrap();
        *place = match place.as_u64() {
            Some(n) => (n + by).into(),
            None => (place.as_f64().unwrap() + by as f64).into(),
        };
        prop_assert!(!places(&document).is_empty(), "{} was altered and nobody noticed", HEADLINES[which]);
    }

    /// Every lost request belongs to one fault, and who is back stays for three seconds.
    #[test]
    fn nothing_is_counted_twice_and_back_is_back(
        seconds in prop::collection::vec((prop_oneof![4 => Just(0u64), 1 => 1u64..50], 0.5f64..40.0), 12..60),
        first in 4.0f64..10.0,
        gap in 0.5f64..20.0,
    ) {
        let run = run(&seconds, &[first, first + gap]);
        let recoveries: Vec<_> = run.faults.iter().map(|f| f.recovery.clone().unwrap()).collect();
        let after: u64 = seconds[first as usize..].iter().map(|s| s.0).sum();
        prop_assert_eq!(recoveries.iter().map(|r| r.lost).sum::<u64>(), after);
        for (fault, recovery) in run.faults.iter().zip(&recoveries) {
            let (Some(band), Some(back)) = (recovery.band, recovery.back_s) else { continue };
            if recovery.outside_s > 0 {
                let at = (fault.t + back).round() as usize;
                prop_assert!(run.load.series[at..at + CALM].iter().all(|s| band.holds(s)));
            }
        }
    }

    /// Whatever a document says, computing does no harm.
    #[test]
    fn wild_numbers_do_no_harm(t in prop::num::f64::ANY, ended in prop::num::f64::ANY, from in prop::num::f64::ANY, rate in prop::num::f64::ANY) {
        let mut run = run(&[(0, 2.0); 20], &[]);
        run.faults = vec![fault(t, "node", "node/a", Some(ended)), fault(5.0, "pod", "pod/a", None)];
        run.load.steps = vec![RateStep { from_s: from, rate }, RateStep { from_s: 3.0, rate: 1.0 }];
        run.timeline = vec![happening(t, What::ScalerDecided, "hpa/a", Some(ended))];
        run.measure_faults();
        run.measure_scaling();
    }
}
