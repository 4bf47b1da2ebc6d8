//! The fold: whatever is told in whatever order, who applies the changes has the story, and it stays small.
#![allow(clippy::unwrap_used, reason = "a test")]
use std::collections::{BTreeMap, BTreeSet};

use dashboard::story::{
    Change, Fact, Kind, Line, LineKind, Link, Metric, Node, Object, Pod, PodState, Sample, Scaler, StepState,
    Story, Tone, Workload,
};
use proptest::prelude::*;
use results::activity::{Entry, State};

const START: i64 = 1_800_000_000_000;

fn pod(name: &str, state: PodState) -> Pod {
    Pod {
        name: name.to_owned(),
        app: name.split('-').next().unwrap().to_owned(),
        node: "n1".to_owned(),
        state,
        since: 0,
        why: String::new(),
        restarts: 0,
        background: name.starts_with("background"),
    }
}

fn seen(name: &str, state: PodState) -> Fact {
    Fact::Seen(Object::Pod(name.to_owned(), pod(name, state)))
}

fn scaler(current: i32, desired: i32) -> Fact {
    let metric = Metric {
        name: "requests_per_second".into(),
        now: "310".into(),
        target: "200".into(),
    };
    let scaler = Scaler {
        name: "tally".into(),
        scales: "Deployment/tally".into(),
        min: 1,
        max: 8,
        current,
        desired,
        metrics: vec![metric],
        why: String::new(),
    };
    Fact::Seen(Object::Scaler("s".into(), scaler))
}

fn entry(t: i64, run: &str, kind: &str, step: &str, state: State, text: &str) -> Fact {
    Fact::Told(Entry {
        time: jiff::Timestamp::from_millisecond(t).unwrap().to_string(),
        run: run.into(),
        kind: kind.into(),
        step: step.into(),
        state,
        text: text.into(),
        figures: BTreeMap::new(),
    })
}

fn tell(facts: impl IntoIterator<Item = Fact>) -> Story {
    let mut story = Story::new("x", "demo", START);
    for (n, fact) in facts.into_iter().enumerate() {
        story.tell(START + 100 * n as i64, fact);
    }
    story
}

fn texts(story: &Story) -> Vec<&str> {
    story.lines().map(|(_, line)| line.text.as_str()).collect()
}

fn facts() -> impl Strategy<Value = Fact> {
    let names = prop::sample::select(vec!["tally-1", "tally-2", "redis-0", "background-1"]);
    let states = prop::sample::select(vec![
        PodState::Pending,
        PodState::Starting,
        PodState::Ready,
        PodState::Failing,
        PodState::Ending,
        PodState::Done,
        PodState::Failed,
    ]);
    let links = prop::sample::select(vec![Link::Absent, Link::Reaching, Link::Live, Link::Lost]);
    let kinds = prop::sample::select(Kind::ALL.to_vec());
    let at = START - 5_000..START + 2_000_000;
    let words = prop::sample::select(vec!["start", "cluster", "store", "load", "pod"]);
    let entry_states = prop::sample::select(vec![State::Begun, State::Progress, State::Done, State::Failed]);
    prop_oneof![
        4 => (names.clone(), states).prop_map(|(name, state)| seen(name, state)),
        2 => names.clone().prop_map(|name| Fact::Gone(Kind::Pod, name.to_owned())),
        2 => (kinds, prop::collection::btree_set(names.prop_map(str::to_owned), 0..3)).prop_map(|(kind, all)| Fact::All(kind, all)),
        2 => (links, "[a-z]{0,3}").prop_map(|(link, why)| Fact::Link(link, why)),
        1 => Just(Fact::AnotherCluster),
        1 => Just(Fact::NewJournal),
        2 => (0..4i32, 0..4i32).prop_map(|(current, desired)| scaler(current, desired)),
        1 => ("[ab]", any::<bool>()).prop_map(|(name, ready)| Fact::Seen(Object::Node(name.clone(), Node { name, ready, schedulable: true, why: String::new(), cpu: "2".into(), memory: String::new() }))),
        1 => (0..3i32).prop_map(|ready| Fact::Seen(Object::Workload(Kind::Deployment, "w".into(), Workload { kind: "Deployment".into(), name: "tally".into(), wanted: 2, ready, trouble: String::new() }))),
        2 => (at.clone(), 0..36u32).prop_map(|(t, rate)| (t, f64::from(rate) / 4.0)).prop_map(|(t, rate)| Fact::Measured(vec![Sample { t, rate: Some(rate), cpu: BTreeMap::from([("background-1".into(), rate)]), ..Sample::default() }])),
        1 => "[a-z]{0,2}".prop_map(Fact::Unmeasured),
        2 => ("[a-c]", at.clone()).prop_map(|(uid, t)| Fact::Seen(Object::Event(uid, Line { t, kind: LineKind::Event, tone: Tone::Plain, text: "e".into(), times: 1 }))),
        4 => (at, "[rs]", prop::sample::select(vec!["start", "benchmark", "chaos"]), words, entry_states).prop_map(|(t, run, kind, step, state)| entry(t, &run, kind, step, state, "text")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn who_applies_the_changes_has_the_story(told in prop::collection::vec((facts(), 0..20_000i64), 1..60)) {
        let mut story = Story::new("x", "demo", START);
        let mut copy = Story::of_cards(story.cards().clone());
        let mut now = START;
        for (fact, passed) in told {
            now += passed;
            let changes = if passed % 7 == 0 { story.age(now) } else { story.tell(now, fact.clone()) };
            for Change(key, card) in &changes {
                prop_assert_ne!(copy.cards().get(key), card.as_ref(), "{} is no change", key);
            }
            for change in changes {
                copy.apply(change);
            }
            prop_assert_eq!(copy.cards(), story.cards());
            prop_assert!(story.head().is_some() && story.cluster().is_some());
        }
    }

    #[test]
    fn what_goes_over_the_wire_is_what_was_meant(told in prop::collection::vec(facts(), 1..60)) {
        let story = tell(told);
        let wire = serde_json::to_string(story.cards()).unwrap();
        let heard: BTreeMap<_, _> = serde_json::from_str(&wire).unwrap();
        prop_assert_eq!(&heard, story.cards());
    }

    #[test]
    fn an_object_told_twice_changes_nothing_the_second_time(told in prop::collection::vec(facts(), 0..40), again in facts()) {
        prop_assume!(matches!(again, Fact::Seen(_) | Fact::Link(..) | Fact::All(..) | Fact::Measured(_) | Fact::Unmeasured(_)));
        let mut story = tell(told);
        let now = START + 100_000_000;
        story.tell(now, again.clone());
        prop_assert_eq!(story.tell(now, again), []);
    }
}

#[test]
fn a_long_story_stays_small() {
    let mut story = Story::new("x", "demo", START);
    for n in 0..1_500 {
        let now = START + n * 2_000;
        story.tell(
            now,
            Fact::Measured(vec![Sample {
                t: now,
                rate: Some(1.0),
                ..Sample::default()
            }]),
        );
        let name = format!("tally-{n}");
        story.tell(now, seen(&name, PodState::Starting));
        story.tell(now, seen(&name, PodState::Ready));
        story.tell(now, Fact::Gone(Kind::Pod, name));
        story.tell(now, scaler((n % 3) as i32, (n % 5) as i32));
        story.tell(
            now,
            entry(
                now,
                &n.to_string(),
                "chaos",
                "pod",
                State::Begun,
                "a fault that never ends",
            ),
        );
        let line = Line {
            t: now,
            kind: LineKind::Event,
            tone: Tone::Plain,
            text: "e".into(),
            times: 1,
        };
        story.tell(now, Fact::Seen(Object::Event(n.to_string(), line)));
    }
    assert!(story.cards().len() < 1_200, "{} cards", story.cards().len());
    assert!(serde_json::to_vec(story.cards()).unwrap().len() < 300_000);
}

#[test]
fn a_pod_that_dies_is_shown_for_a_moment_and_its_end_is_told() {
    let mut story = tell([
        seen("tally-1", PodState::Starting),
        seen("tally-1", PodState::Ready),
        Fact::Gone(Kind::Pod, "tally-1".into()),
    ]);
    assert_eq!(story.pods().next().unwrap().1.state, PodState::Gone);
    assert_eq!(texts(&story), ["pod tally-1 is ready", "pod tally-1 is gone"]);
    assert_eq!(
        story.lines().last().unwrap().1.tone,
        Tone::Bad,
        "nobody asked it to go"
    );
    let at = story.next_age().unwrap();
    assert!(story.age(at - 1).is_empty());
    assert_eq!(story.age(at).len(), 1);
    assert_eq!((story.pods().count(), story.next_age()), (0, None));
}

#[test]
fn after_a_restart_of_the_api_what_is_no_more_goes_and_what_is_stays_as_long_as_it_was() {
    let mut story = tell([
        Fact::Link(Link::Live, "v1".into()),
        seen("a-1", PodState::Ready),
        seen("b-1", PodState::Ready),
    ]);
    let before = story.pods().find(|(_, p)| p.name == "a-1").unwrap().1.clone();
    let now = START + 60_000;
    story.tell(now, Fact::Link(Link::Lost, "refused".into()));
    assert_eq!(story.pods().count(), 2, "what was known is still shown");
    story.tell(now, Fact::Link(Link::Live, "v1".into()));
    story.tell(now, seen("a-1", PodState::Ready));
    story.tell(now, Fact::All(Kind::Pod, BTreeSet::from(["a-1".to_owned()])));
    let pods: Vec<_> = story.pods().map(|(_, p)| (p.name.as_str(), p.state)).collect();
    assert_eq!(pods, [("a-1", PodState::Ready), ("b-1", PodState::Gone)]);
    assert_eq!(story.pods().next().unwrap().1, &before);
}

#[test]
fn a_start_is_followed_from_nothing_to_ready() {
    let mut story = Story::new("x", "demo", START);
    let mut say = |t: i64, fact: Fact| {
        story.tell(START + t, fact);
        story.head().unwrap().text.clone()
    };
    let e = |t, step: &str, state, text: &str| entry(START + t, "r", "start", step, state, text);
    assert!(say(0, Fact::Link(Link::Absent, String::new())).contains("cncfdemo start"));
    say(1, e(1, "start", State::Begun, "the demo"));
    assert_eq!(
        say(2, e(2, "cluster", State::Begun, "local \"x\"")),
        "Starting, step cluster (local \"x\")"
    );
    say(900, Fact::Link(Link::Live, "v1.36.2".into()));
    say(1000, e(1000, "cluster", State::Done, "1 node Ready"));
    say(1001, e(1001, "store", State::Begun, "Redis Cluster"));
    assert_eq!(
        say(4001, e(4001, "store", State::Progress, "pod redis-3 is Pending")),
        "Starting, step store (Redis Cluster): pod redis-3 is Pending"
    );
    say(5000, seen("redis-3", PodState::Ready));
    say(5001, e(5001, "store", State::Done, "Redis Cluster"));
    say(5500, e(5500, "answer", State::Done, "first 200"));
    assert_eq!(
        say(6000, e(6000, "start", State::Done, "the demo is up")),
        "1 of 1 pods ready"
    );
    let steps: Vec<_> = story
        .steps()
        .map(|(_, s)| (s.name.as_str(), s.state, s.ended.unwrap() - s.begun))
        .collect();
    assert_eq!(
        steps,
        [
            ("cluster", StepState::Done, 998),
            ("store", StepState::Done, 4000),
            ("answer", StepState::Done, 0)
        ]
    );
    assert!(
        texts(&story).contains(&"step store done after 4.0 s"),
        "{:?}",
        texts(&story)
    );
    // The next start begins with an empty list.
    story.tell(
        START + 9000,
        entry(START + 9000, "s", "start", "start", State::Begun, "again"),
    );
    assert_eq!(story.steps().count(), 0);
}

#[test]
fn a_start_that_fails_leaves_no_step_running() {
    let story = tell([
        entry(START, "r", "start", "start", State::Begun, "the demo"),
        entry(START + 1, "r", "start", "store", State::Begun, "Redis"),
        entry(START + 9, "r", "start", "start", State::Failed, "interrupted"),
    ]);
    let step = story.steps().next().unwrap().1;
    assert_eq!(
        (step.state, step.note.as_str()),
        (StepState::Failed, "interrupted")
    );
}

#[test]
fn load_and_faults_are_marked_each_from_its_beginning_to_its_end() {
    let story = tell([
        Fact::Link(Link::Live, "v1".into()),
        entry(START, "r", "benchmark", "load", State::Begun, "30 s at 1000/s"),
        entry(
            START + 10,
            "r",
            "benchmark",
            "pod",
            State::Begun,
            "SIGKILL to pod/tally-1",
        ),
        entry(START + 20, "q", "chaos", "pod", State::Begun, "another"),
        entry(START + 30, "r", "benchmark", "pod", State::Done, ""),
    ]);
    let marks: Vec<_> = story
        .marks()
        .map(|(_, m)| (m.what.as_str(), m.ended.map(|e| e - START)))
        .collect();
    assert_eq!(
        marks,
        [
            ("30 s at 1000/s", None),
            ("SIGKILL to pod/tally-1", Some(30)),
            ("another", None)
        ]
    );
    assert_eq!(story.head().unwrap().text, "A fault is under way: another");
}

#[test]
fn decisions_are_told_with_their_reason() {
    let story = tell([scaler(2, 2), scaler(2, 4), scaler(4, 4), scaler(4, 4)]);
    assert_eq!(
        texts(&story),
        ["Deployment/tally is scaled up, 2 → 4 (requests_per_second 310 of 200)"]
    );
    let decisions: Vec<_> = story.decisions().map(|(_, d)| (d.current, d.desired)).collect();
    assert_eq!(decisions, [(2, 2), (2, 4), (4, 4)]);
}

#[test]
fn an_autoscaler_s_first_look_is_no_decision() {
    let story = tell([scaler(0, 0), scaler(2, 2), scaler(2, 4)]);
    assert_eq!(
        texts(&story),
        ["Deployment/tally is scaled up, 2 → 4 (requests_per_second 310 of 200)"]
    );
}

#[test]
fn an_autoscaler_that_has_not_looked_yet_decides_nothing_however_often_it_is_told() {
    let story = tell([scaler(1, 0), scaler(1, 0), scaler(1, 1), scaler(0, 0)]);
    assert_eq!(texts(&story), Vec::<&str>::new());
}

#[test]
fn the_background_is_told_by_priority_also_of_pods_that_are_no_more() {
    let cpu = BTreeMap::from([
        ("background-7".to_owned(), 1.5),
        ("background-1".to_owned(), 0.5),
        ("tally-1".to_owned(), 2.0),
    ]);
    let story = tell([
        seen("background-1", PodState::Ready),
        Fact::Measured(vec![Sample {
            t: START,
            cpu,
            ..Sample::default()
        }]),
    ]);
    let moment = story.moments().next().unwrap().1;
    assert_eq!(
        (moment.foreground, moment.background, moment.share()),
        (Some(2.0), Some(2.0), Some(0.5))
    );
}

#[test]
fn another_cluster_has_none_of_the_old_ones_objects() {
    let sample = Sample {
        t: START,
        rate: Some(1.0),
        ..Sample::default()
    };
    let story = tell([
        seen("tally-1", PodState::Ready),
        scaler(1, 2),
        Fact::Measured(vec![sample]),
        Fact::AnotherCluster,
    ]);
    assert_eq!(
        (
            story.pods().count(),
            story.moments().count(),
            story.decisions().count(),
            story.scalers().count()
        ),
        (0, 0, 0, 0)
    );
}
