//! Recordings of several workers are merged without loss, in any order, also by way of their logs.
#![allow(clippy::unwrap_used, reason = "a test ends where its helpers fail")]
use std::time::Duration;

use load::Recording;
use proptest::prelude::*;

/// One answer: when it came, how long it took (nanoseconds), and whether it failed.
type Answer = (u16, u64, bool);

fn recording(answers: &[Answer]) -> Recording {
    let mut recording = Recording::empty();
    for &(at, latency, failed) in answers {
        let at = Duration::from_millis(u64::from(at));
        if failed {
            recording.fail(at, if latency % 2 == 0 { "reset" } else { "status 503" });
        } else {
            recording.complete(at, Duration::from_nanos(latency));
        }
        (recording.scheduled, recording.sent) = (recording.scheduled + 2, recording.sent + 1);
        recording.cpu += Duration::from_nanos(latency % 977);
        recording.waited += Duration::from_nanos(latency % 101);
    }
    (recording.wall, recording.threads) = (Duration::from_secs(6), 1);
    recording
}

fn merged(parts: &[&Recording]) -> Recording {
    let mut sum = Recording::empty();
    for part in parts {
        sum.merge(part);
    }
    sum
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    prop::collection::vec(
        (0..6000u16, 1u64..200_000_000_000, prop::bool::weighted(0.2)),
        0..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn merging_is_associative_and_loses_nothing(a in answers(), b in answers(), c in answers()) {
        let (one, two, three) = (recording(&a), recording(&b), recording(&c));
        let left = merged(&[&merged(&[&one, &two]), &three]);
        let right = merged(&[&one, &merged(&[&two, &three])]);
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(&left, &merged(&[&three, &one, &two]));
        // The same as if one generator had seen everything.
        let mut all = recording(&[a, b, c].concat());
        all.threads = 3;
        prop_assert_eq!(&left, &all);
        let lines = one.to_lines().unwrap() + "a line of somebody else's\n";
        prop_assert_eq!(&Recording::from_lines(&lines).unwrap(), &one);
    }

    /// A log that lacks a line, or has a damaged one, is refused.
    #[test]
    fn what_is_not_whole_is_refused(a in answers(), which in 0usize..8) {
        let one = recording(&a);
        let lines = one.to_lines().unwrap();
        let all: Vec<&str> = lines.lines().collect();
        let without: Vec<&str> = all.iter().enumerate().filter(|(i, _)| *i != which % all.len()).map(|(_, l)| *l).collect();
        prop_assert!(Recording::from_lines(&without.join("\n")).is_err());
        let cut = &lines[..lines.len() - 5];
        prop_assert!(Recording::from_lines(cut).is_err());
    }
}
