//! The behaviours that upstream's `replica_calculator_test.go` asserts, by the names they have there.
use k8s_openapi::api::core::v1::{PodCondition, PodSpec, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::*;

const NOW: i64 = 1_000_000;

/// One pod: `R`eady, `U`nready, `P`ending, `F`ailed, `D`eleting, `H`ot (ready, but just started).
fn pod(index: usize, state: char, request: Option<i64>) -> Arc<Pod> {
    let at = |seconds| Time(Timestamp::from_second(NOW + seconds).unwrap());
    let phase = match state {
        'P' => "Pending",
        'F' => "Failed",
        _ => "Running",
    };
    let ready = matches!(state, 'R' | 'D' | 'H');
    // Long started; unready since before it had ever been ready.
    let (started, changed) = if state == 'H' { (-30, -30) } else { (-600, -600) };
    Arc::new(Pod {
        metadata: ObjectMeta {
            name: Some(format!("pod-{index}")),
            deletion_timestamp: (state == 'D').then(|| at(0)),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "c".to_owned(),
                resources: request.map(|milli| ResourceRequirements {
                    requests: Some([("cpu".to_owned(), Quantity(format!("{milli}m")))].into()),
                    ..ResourceRequirements::default()
                }),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some(phase.to_owned()),
            start_time: Some(at(started)),
            conditions: Some(vec![PodCondition {
                type_: "Ready".to_owned(),
                status: if ready { "True" } else { "False" }.to_owned(),
                last_transition_time: Some(at(changed)),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        }),
    })
}

fn pods_of(states: &str, requests: &[i64]) -> Vec<Arc<Pod>> {
    let request = |i: usize| requests.get(i).or(requests.first()).copied();
    states
        .chars()
        .enumerate()
        .map(|(i, state)| pod(i, state, request(i)))
        .collect()
}

fn metrics(levels: &[i64]) -> PodMetrics {
    let metric = |value: i64| PodMetric {
        at: Timestamp::from_second(NOW).unwrap(),
        window: SignedDuration::from_mins(1),
        value,
    };
    levels
        .iter()
        .enumerate()
        .map(|(i, level)| (format!("pod-{i}"), metric(*level)))
        .collect()
}

fn calculator(pods: &[Arc<Pod>], current: i32) -> Calculator<'_> {
    Calculator {
        pods,
        current,
        tolerances: Tolerances { down: 0.1, up: 0.1 },
        now: Timestamp::from_second(NOW).unwrap(),
    }
}

#[test]
fn utilization_of_requests() {
    // Name, pods, current, requests, levels, target -> replicas, percent.
    type Case<'a> = (&'a str, &'a str, i32, &'a [i64], &'a [i64], i32, i32, i32);
    let cases: &[Case<'_>] = &[
        ("ScaleUp", "RRR", 3, &[1000], &[300, 500, 700], 30, 5, 50),
        (
            "ScaleUpUnreadyLessScale",
            "URR",
            3,
            &[1000],
            &[300, 500, 700],
            30,
            4,
            60,
        ),
        (
            "ScaleUpUnreadyNoScale",
            "RUU",
            3,
            &[1000],
            &[400, 500, 700],
            30,
            3,
            40,
        ),
        (
            "ScaleUpHotCpuLessScale",
            "HRR",
            3,
            &[1000],
            &[300, 500, 700],
            30,
            4,
            60,
        ),
        (
            "ScaleUpIgnoresFailedPods",
            "RRFF",
            2,
            &[1000],
            &[500, 700],
            30,
            4,
            60,
        ),
        (
            "ScaleUpIgnoresDeletionPods",
            "RRDD",
            2,
            &[1000],
            &[500, 700],
            30,
            4,
            60,
        ),
        (
            "ScaleDown",
            "RRRRR",
            5,
            &[1000],
            &[100, 300, 500, 250, 250],
            50,
            3,
            28,
        ),
        (
            "ScaleDownIncludeUnreadyPods",
            "RRRUU",
            5,
            &[1000],
            &[100, 300, 500, 250, 250],
            50,
            2,
            30,
        ),
        (
            "ScaleDownExcludeUnscheduledPods",
            "RPPPP",
            5,
            &[1000],
            &[100],
            50,
            1,
            10,
        ),
        (
            "ScaleDownIgnoresFailedPods",
            "RRRRRFF",
            5,
            &[1000],
            &[100, 300, 500, 250, 250],
            50,
            3,
            28,
        ),
        (
            "Tolerance",
            "RRR",
            3,
            &[900, 1000, 1100],
            &[1010, 1030, 1020],
            100,
            3,
            102,
        ),
        (
            "SuperfluousMetrics",
            "RRRR",
            4,
            &[1000],
            &[4000, 9500, 3000, 7000, 3200, 2000],
            100,
            24,
            587,
        ),
        ("MissingMetrics", "RRRR", 4, &[1000], &[400, 95], 100, 3, 24),
        ("MissingMetricsNoChangeEq", "RR", 2, &[1000], &[1000], 100, 2, 100),
        ("MissingMetricsNoChangeGt", "RR", 2, &[1000], &[1900], 100, 2, 190),
        ("MissingMetricsNoChangeLt", "RR", 2, &[1000], &[600], 100, 2, 60),
        (
            "MissingMetricsUnreadyChange",
            "URR",
            3,
            &[1000],
            &[100, 450],
            50,
            3,
            45,
        ),
        (
            "MissingMetricsUnreadyScaleUp",
            "URR",
            3,
            &[1000],
            &[100, 2000],
            50,
            4,
            200,
        ),
        (
            "MissingMetricsUnreadyScaleDown",
            "URRR",
            4,
            &[1000],
            &[100, 100, 100],
            50,
            3,
            10,
        ),
        (
            "DuringRollingUpdateWithMaxSurge",
            "RRR",
            2,
            &[1000],
            &[100, 100],
            50,
            2,
            10,
        ),
    ];
    for (name, states, current, requests, levels, target, replicas, percent) in cases {
        let pods = pods_of(states, requests);
        let found = calculator(&pods, *current)
            .utilization(*target, "cpu", "", metrics(levels))
            .unwrap();
        assert_eq!((found.replicas, found.percent), (*replicas, *percent), "{name}");
    }
}

#[test]
fn averages_of_pods() {
    // Name, pods, current, levels, target -> replicas, average.
    type Case<'a> = (&'a str, &'a str, i32, &'a [i64], i64, i32, i64);
    let cases: &[Case<'_>] = &[
        (
            "ScaleUpCM",
            "RRR",
            3,
            &[20_000, 10_000, 30_000],
            15_000,
            4,
            20_000,
        ),
        (
            "ScaleUpCMUnreadyHotCpuNoLessScale",
            "RUH",
            3,
            &[50_000, 10_000, 30_000],
            15_000,
            6,
            30_000,
        ),
        (
            "ScaleUpCMUnreadyScaleWouldScaleDown",
            "URU",
            3,
            &[50_000, 15_000, 30_000],
            15_000,
            7,
            31_666,
        ),
        ("ScaleDownCM", "RRRRR", 5, &[12_000; 5], 20_000, 3, 12_000),
        (
            "ToleranceCM",
            "RRR",
            3,
            &[20_000, 21_000, 21_000],
            20_000,
            3,
            20_666,
        ),
    ];
    for (name, states, current, levels, target, replicas, average) in cases {
        let pods = pods_of(states, &[1000]);
        let found = calculator(&pods, *current)
            .average(*target, "", metrics(levels))
            .unwrap();
        assert_eq!(found, (*replicas, *average), "{name}");
    }
}

#[test]
fn one_value_for_all() {
    // Name, pods, current, usage, target -> replicas.
    for (name, states, current, usage, target, replicas) in [
        ("ScaleUpCMObject", "RRR", 3, 20_000, 15_000, 4),
        ("ScaleUpCMObjectIgnoresUnreadyPods", "RUU", 3, 50_000, 10_000, 5),
        ("ScaleUpCMExternal", "R", 1, 8600, 4400, 2),
        ("ScaleUpCMExternalIgnoresUnreadyPods", "URU", 3, 8600, 4400, 2),
        ("ScaleDownCMExternal", "RRRRR", 5, 8600, 14_334, 3),
        ("ToleranceCMExternal", "RRR", 3, 8600, 8888, 3),
        ("ScaleUpFromZeroCMObject", "", 0, 20_000, 15_000, 2),
        ("ScaleDownToZeroCMObject", "RR", 2, 0, 15_000, 0),
    ] {
        let pods = pods_of(states, &[1000]);
        let found = calculator(&pods, current).shared(target, usage);
        assert_eq!(found, Ok(replicas), "{name}");
    }
    for (name, current, usage, target, replicas, part) in [
        ("ScaleUpCMPerPodObject", 3, 20_000, 5000, 4, 6667),
        ("ScaleUpPerPodCMExternal", 3, 8600, 2150, 4, 2867),
        ("ScaleDownPerPodCMObject", 5, 6000, 2000, 3, 1200),
        ("ScaleDownPerPodCMExternal", 5, 8600, 2867, 3, 1720),
        ("TolerancePerPodCMObject", 4, 20_166, 5000, 4, 5042),
        ("TolerancePerPodCMExternal", 3, 8600, 2900, 3, 2867),
    ] {
        assert_eq!(
            calculator(&[], current).divided(target, usage),
            (replicas, part),
            "{name}"
        );
    }
}

#[test]
fn what_cannot_be_calculated() {
    let says = |states: &str, requests: &[i64], levels: &[i64], container: &str| {
        let pods = pods_of(states, requests);
        calculator(&pods, 1)
            .utilization(100, "cpu", container, metrics(levels))
            .unwrap_err()
    };
    assert_eq!(says("", &[1000], &[100], ""), NO_PODS);
    assert_eq!(says("U", &[1000], &[100], ""), NO_METRICS);
    assert_eq!(
        says("R", &[], &[200], ""),
        "missing request for cpu in container c of Pod pod-0"
    );
    assert_eq!(
        says("R", &[1000], &[200], "x"),
        "container x not found in Pod pod-0"
    );
    assert_eq!(
        calculator(&[], 1).shared(10, 100),
        Err(format!("unable to calculate ready pods: {NO_PODS}"))
    );
}
