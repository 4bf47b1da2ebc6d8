//! Completion indexes: which are done, as compact text ("0-2,5"), and which come next (indexed_job_utils.go).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::policy::Meaning;
use crate::meta::Meta;

pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
pub(super) const FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// How often an index has failed before, as its pod says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub counted: i32,
    pub ignored: i32,
}

impl Failures {
    pub fn of(pod: &Pod) -> Self {
        let number = |key| {
            pod.annotation(key)
                .and_then(|c| c.parse().ok())
                .unwrap_or(0)
                .max(0)
        };
        Self {
            counted: number(FAILURE_COUNT),
            ignored: number(IGNORED_COUNT),
        }
    }

    pub fn total(self) -> i32 {
        self.counted + self.ignored
    }

    /// With one failure more, which a rule may ignore.
    pub fn and(mut self, failure: Meaning) -> Self {
        if failure == Meaning::Ignored {
            self.ignored += 1;
        } else {
            self.counted += 1;
        }
        self
    }
}

pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok().filter(|i| *i >= 0)
}

/// "1,3-5" to a set, as far as it is below `completions`.
pub(super) fn parse(text: &str, completions: i32) -> BTreeSet<i32> {
    let mut set = BTreeSet::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (Ok(from), Ok(to)) = (from.parse::<i32>(), to.parse::<i32>()) else {
            continue;
        };
        set.extend((from..=to.min(completions - 1)).filter(|i| *i >= 0));
    }
    set
}

/// The reverse of `parse`.
pub(super) fn format(set: &BTreeSet<i32>) -> String {
    let mut parts: Vec<(i32, i32)> = Vec::new();
    for index in set {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == *index => *to = *index,
            _ => parts.push((*index, *index)),
        }
    }
    let text = |(from, to): (i32, i32)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    parts.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// The lowest indexes that are neither done nor being worked on.
pub(super) fn pending(completions: i32, taken: &BTreeSet<i32>, most: usize) -> Vec<i32> {
    (0..completions)
        .filter(|i| !taken.contains(i))
        .take(most)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_text() {
        let set = BTreeSet::from([0, 1, 3, 4, 5, 9]);
        assert_eq!(format(&set), "0,1,3-5,9");
        assert_eq!(parse("0,1,3-5,9", 10), set);
        assert_eq!(parse("0-99,x", 3), BTreeSet::from([0, 1, 2]));
        assert_eq!(format(&BTreeSet::new()), "");
    }

    #[test]
    fn next_ones() {
        assert_eq!(pending(5, &BTreeSet::from([0, 2]), 2), [1, 3]);
        assert!(pending(1, &BTreeSet::from([0]), 2).is_empty());
    }
}
