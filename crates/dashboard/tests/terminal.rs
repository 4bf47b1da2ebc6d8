//! What a person sees in the terminal, at sizes that terminals have.
#![allow(clippy::unwrap_used, reason = "a test")]
use std::collections::BTreeMap;

use dashboard::story::{Fact, Link, Metric, Node, Object, Pod, PodState, Sample, Scaler, Story};
use dashboard::terminal::{Looks, draw};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use results::activity::{Entry, State};

const START: i64 = 1_800_000_000_000;

fn story() -> Story {
    let mut story = Story::new("demo-1", "cncfdemo", START);
    let mut tell = |fact| drop(story.tell(START + 60_000, fact));
    let entry = |t: i64, kind: &str, step: &str, state, text: &str| {
        Fact::Told(Entry {
            time: jiff::Timestamp::from_millisecond(START + t).unwrap().to_string(),
            run: "r".into(),
            kind: kind.into(),
            step: step.into(),
            state,
            text: text.into(),
            figures: BTreeMap::new(),
        })
    };
    tell(Fact::Link(Link::Live, "v1.36.2".into()));
    for name in ["demo-1-1", "demo-1-2"] {
        let node = Node {
            name: name.into(),
            ready: true,
            schedulable: true,
            why: String::new(),
            cpu: "2".into(),
            memory: "8Gi".into(),
        };
        tell(Fact::Seen(Object::Node(name.into(), node)));
    }
    let pod = |app: &str, n: usize, state, why: &str| {
        let pod = Pod {
            name: format!("{app}-{n}"),
            app: app.into(),
            node: if state == PodState::Pending {
                String::new()
            } else {
                format!("demo-1-{}", n % 2 + 1)
            },
            state,
            since: 0,
            why: why.into(),
            restarts: 0,
            background: app == "background",
        };
        Fact::Seen(Object::Pod(pod.name.clone(), pod))
    };
    for n in 0..6 {
        tell(pod("redis", n, PodState::Ready, ""));
    }
    tell(pod("tally", 1, PodState::Ready, ""));
    tell(pod(
        "tally",
        2,
        PodState::Pending,
        "0/2 nodes are available: 2 Insufficient cpu",
    ));
    tell(pod("background", 1, PodState::Ending, ""));
    tell(entry(0, "start", "cluster", State::Begun, "local"));
    tell(entry(900, "start", "cluster", State::Done, "1 node Ready"));
    tell(entry(1000, "start", "store", State::Begun, "Redis Cluster"));
    tell(entry(50_000, "benchmark", "load", State::Begun, "30 s at 1000/s"));
    let metric = Metric {
        name: "requests_per_second".into(),
        now: "310".into(),
        target: "200".into(),
    };
    tell(Fact::Seen(Object::Scaler(
        "s".into(),
        Scaler {
            name: "tally".into(),
            scales: "Deployment/tally".into(),
            min: 1,
            max: 8,
            current: 1,
            desired: 2,
            metrics: vec![metric],
            why: String::new(),
        },
    )));
    for n in 0..100 {
        let cpu = BTreeMap::from([("tally-1".to_owned(), 0.5), ("background-1".to_owned(), 1.5)]);
        let sample = Sample {
            t: START + n * 2000,
            rate: Some(n as f64 * 10.0),
            p50: Some(0.4),
            p99: Some(2.13),
            errors: Some(0.0),
            cpu,
        };
        tell(Fact::Measured(vec![sample]));
    }
    story
}

fn drawn(story: &Story, width: u16, height: u16, colour: bool) -> Buffer {
    let looks = Looks {
        colour,
        events: true,
        zone: TimeZone::UTC,
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, story, START + 61_000, &looks))
        .unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content().chunks(usize::from(buffer.area.width));
    rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n")
        .collect()
}

#[test]
fn a_small_and_a_large_terminal_show_the_whole_story() {
    for (width, height) in [(80, 24), (200, 50)] {
        let text = text(&drawn(&story(), width, height, true));
        for part in [
            "cncfdemo demo-1",
            "live, v1.36.2",
            "Under load: 30 s at 1000/s",
            "✓ cluster 0.9 s",
            "◐ store 60.0 s",
            "requests 990/s",
            "p99 2.13 ms, p50 0.40 ms",
            "background 75.0 % of CPU",
            "⇅ Deployment/tally 1 → 2 (1 to 8)",
            "requests_per_second 310 of 200",
            "demo-1-1 Ready",
            "redis ●●●",
            "waits for a node",
            "▽",
            "q quit",
            "0/2 nodes are available",
            "Deployment/tally is scaled up, 1 → 2",
        ] {
            assert!(text.contains(part), "{width}x{height} lacks `{part}`:\n{text}");
        }
    }
}

#[test]
fn without_colours_there_are_none_and_the_signs_are_the_same() {
    let (plain, coloured) = (drawn(&story(), 100, 30, false), drawn(&story(), 100, 30, true));
    assert_eq!(text(&plain), text(&coloured));
    assert!(
        plain
            .content()
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    assert!(coloured.content().iter().any(|cell| cell.fg == Color::Green));
}

#[test]
fn any_size_and_any_state_can_be_drawn() {
    let empty = Story::of_cards(BTreeMap::new());
    let before = Story::new("x", "demo", START);
    for story in [&empty, &before, &story()] {
        for width in [1, 2, 10, 39, 119, 120, 300] {
            for height in [1, 2, 7, 12, 23, 60] {
                drawn(story, width, height, true);
            }
        }
    }
}
