//! What a comparison says, and what it refuses to say.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where its helpers fail"
)]
use results::{Environment, Machine, Objective, Rules, Run, Verdict, compare, compare_arms};

fn run(p99: &[f64], arm: Option<&str>) -> Run {
    let mut run = Run::read(include_str!("data/run-of-0.1.0.json")).unwrap();
    run.load.doubts.clear();
    run.faults.clear();
    let mut loads = p99.iter().map(|p99| {
        let mut load = run.load.clone();
        load.latency.p99_ms = *p99;
        load.arm = arm.map(str::to_owned);
        load
    });
    let first = loads.next().unwrap();
    run.repeats = loads.collect();
    run.load = first;
    run
}

fn p99(comparison: &results::Comparison) -> &results::Change {
    comparison.changes.iter().find(|c| c.metric == "p99").unwrap()
}

#[test]
fn a_clear_change_is_found_and_an_unclear_one_is_not() {
    let base = run(&[2.0, 2.1, 2.2, 2.0, 2.1], None);
    let slower = compare(
        &[&base],
        &[&run(&[3.2, 3.5, 3.4, 3.3, 3.4], None)],
        Rules::default(),
    );
    let change = p99(&slower);
    let (low, high) = change.interval.unwrap();
    assert!(
        change.verdict == Verdict::Worse && low > 40.0 && high < 80.0,
        "{change:?}"
    );
    assert!((change.effect - 1.0).abs() < 1e-12);
    assert_eq!(
        slower
            .regressions()
            .map(|c| c.metric.as_str())
            .collect::<Vec<_>>(),
        ["p99"]
    );
    let faster = compare(
        &[&run(&[3.2, 3.5, 3.4, 3.3, 3.4], None)],
        &[&base],
        Rules::default(),
    );
    assert_eq!(
        (p99(&faster).verdict, faster.regressions().count()),
        (Verdict::Better, 0)
    );
    let same = compare(
        &[&base],
        &[&run(&[2.2, 2.0, 2.1, 1.9, 2.2], None)],
        Rules::default(),
    );
    assert_eq!(p99(&same).verdict, Verdict::NoDifferenceDetectable);
    assert!(p99(&same).repeats.is_some_and(|n| n > 5));
    // The same input gives the same interval, on every machine.
    assert_eq!(
        same,
        compare(
            &[&base],
            &[&run(&[2.2, 2.0, 2.1, 1.9, 2.2], None)],
            Rules::default()
        )
    );
}

#[test]
fn one_load_of_each_says_nothing_and_is_told_so() {
    let comparison = compare(&[&run(&[2.0], None)], &[&run(&[9.0], None)], Rules::default());
    assert_eq!(
        (p99(&comparison).verdict, p99(&comparison).interval),
        (Verdict::TooFew, None)
    );
}

#[test]
fn void_loads_do_not_count() {
    let mut other = run(&[2.0, 2.0, 2.0, 2.0, 2.0, 900.0], None);
    other.repeats[4]
        .doubts
        .push("the generator used 99 % of a core per thread".to_owned());
    let comparison = compare(&[&run(&[2.0; 5], None)], &[&other], Rules::default());
    assert_eq!((comparison.other.loads, comparison.other.void), (5, 1));
    assert!(p99(&comparison).change.abs() < 1e-9);
}

#[test]
fn pairs_see_through_a_drift_that_hides_the_change_from_groups() {
    // The machine gets slower all the time; background work costs 5 % in every round.
    let rounds = [2.0, 3.0, 4.0, 6.0, 8.0, 11.0];
    let noise = [1.00, 1.004, 0.997, 1.002, 0.999, 1.003];
    let without = run(&rounds, Some("background off"));
    let with: Vec<f64> = rounds.iter().zip(noise).map(|(v, n)| v * 1.05 * n).collect();
    let mut both = without.clone();
    let with = run(&with, Some("background on"));
    both.repeats.extend(with.loads().cloned());
    let paired = compare_arms(&both, "background off", "background on", Rules::default());
    assert_eq!(p99(&paired).verdict, Verdict::Worse, "{:?}", p99(&paired));
    let groups = compare(&[&without], &[&with], Rules::default());
    assert_eq!(p99(&groups).verdict, Verdict::NoDifferenceDetectable);
}

#[test]
fn the_load_with_the_faults_is_no_observation_where_there_are_others() {
    let mut broken = run(&[900.0, 2.0, 2.1, 2.0, 2.2, 2.1], None);
    broken.faults = Run::read(include_str!("data/run-of-0.1.0.json")).unwrap().faults;
    let sound = run(&[2.0, 2.1, 2.0, 2.2, 2.1], None);
    let compared = compare(&[&sound], &[&broken], Rules::default());
    assert_eq!((compared.other.loads, p99(&compared).change), (5, 0.0));
    broken.repeats.clear();
    assert_eq!(compare(&[&sound], &[&broken], Rules::default()).other.loads, 1);
}

#[test]
fn every_axis_that_differs_bars_the_comparison_until_it_is_allowed() {
    let machine = |kernel: &str| Environment {
        generator: Machine {
            kernel: Some(kernel.to_owned()),
            steal_percent: Some(0.1),
            ..Machine::default()
        },
        background: Some("on".to_owned()),
        ..Environment::default()
    };
    let (mut a, mut b) = (run(&[2.0], None), run(&[2.0], None));
    assert!(compare(&[&a], &[&b], Rules::default()).differ.is_empty());
    (a.environment, b.environment) = (Some(machine("6.12")), Some(machine("6.18")));
    b.load.connections += 1;
    let comparison = compare(&[&a], &[&b], Rules::default());
    let names = |axes: Vec<&results::Axis>| axes.iter().map(|a| a.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(comparison.not_allowed(&[])), ["connections", "kernel"]);
    assert_eq!(
        names(comparison.not_allowed(&["kernel".to_owned()])),
        ["connections"]
    );
    assert!(comparison.not_allowed(&["all".to_owned()]).is_empty());
    // What only one of them knows is a difference too.
    b.environment = None;
    assert!(names(compare(&[&a], &[&b], Rules::default()).not_allowed(&[])).contains(&"kernel".to_owned()));
}

#[test]
fn an_objective_is_lost_to_latency_to_failures_and_to_requests_not_sent() {
    let objective = Objective::parse("p99<50ms").unwrap();
    let mut load = run(&[20.0], None).load;
    assert!(objective.probe(&load).held);
    load.latency.p99_ms = 50.0;
    assert!(objective.probe(&load).why.contains("p99 was 50.0 ms"));
    load.latency.p99_ms = 20.0;
    load.failed = load.scheduled / 100;
    assert!(objective.probe(&load).why.contains("failed"));
    load.failed = 0;
    load.sent = load.scheduled / 2;
    assert!(objective.probe(&load).why.contains("could be sent"));
}
