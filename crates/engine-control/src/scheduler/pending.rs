//! Pods that wait to be placed: by priority, then by age; those that did not fit wait for something to change.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::node::PodInfo;
use crate::meta::Meta;

/// Back-off after a failed attempt. Upstream starts at one second, which one machine has no reason to wait.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Entry {
    pod: Arc<PodInfo>,
    arrival: u64,
    attempts: u32,
    /// Earliest next attempt.
    not_before: Option<Instant>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    entries: HashMap<String, Entry>,
    active: BTreeSet<(Reverse<i32>, u64, String)>,
    backing_off: BTreeSet<(Instant, String)>,
    arrivals: u64,
}

impl Pending {
    /// A new pod, or a new form of a known one; `retry` when the change may make it fit.
    pub fn put(&mut self, pod: Arc<PodInfo>, retry: bool) {
        let uid = pod.pod.uid().to_owned();
        if let Some(entry) = self.entries.get_mut(&uid) {
            let was_active = self
                .active
                .remove(&(Reverse(entry.pod.priority()), entry.arrival, uid.clone()));
            entry.pod = pod;
            if was_active || retry {
                self.activate(&uid);
            }
            return;
        }
        self.arrivals += 1;
        self.entries.insert(
            uid.clone(),
            Entry {
                pod,
                arrival: self.arrivals,
                attempts: 0,
                not_before: None,
            },
        );
        self.activate(&uid);
    }

    fn activate(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get(uid) {
            self.active
                .insert((Reverse(entry.pod.priority()), entry.arrival, uid.to_owned()));
        }
    }

    pub fn remove(&mut self, uid: &str) {
        if let Some(entry) = self.entries.remove(uid) {
            self.active
                .remove(&(Reverse(entry.pod.priority()), entry.arrival, uid.to_owned()));
            if let Some(at) = entry.not_before {
                self.backing_off.remove(&(at, uid.to_owned()));
            }
        }
    }

    /// The next pod to place; it stays known until `remove`.
    pub fn pop(&mut self) -> Option<Arc<PodInfo>> {
        let (_, _, uid) = self.active.pop_first()?;
        self.entries.get(&uid).map(|e| Arc::clone(&e.pod))
    }

    /// Takes a pod out of the line without forgetting it.
    pub fn pop_specific(&mut self, uid: &str) {
        if let Some(entry) = self.entries.get(uid) {
            self.active
                .remove(&(Reverse(entry.pod.priority()), entry.arrival, uid.to_owned()));
        }
    }

    /// The pod did not fit: it waits for `wake`.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            if let Some(at) = entry.not_before {
                self.backing_off.remove(&(at, uid.to_owned()));
            }
            entry.not_before = Some(now + FIRST.saturating_mul(1 << entry.attempts.min(10)).min(LONGEST));
            entry.attempts += 1;
        }
    }

    /// Something failed that may work the next time: it comes back after its back-off without anything changing.
    pub fn failed_passing(&mut self, uid: &str, now: Instant) {
        self.failed(uid, now);
        if let Some(at) = self.entries.get(uid).and_then(|e| e.not_before) {
            self.backing_off.insert((at, uid.to_owned()));
        }
    }

    /// Something changed: all waiting pods get another try, after their back-off.
    pub fn wake(&mut self, now: Instant) {
        self.wake_if(now, |_| true);
    }

    /// As `wake`, for those that the change may concern.
    pub fn wake_if(&mut self, now: Instant, concerned: impl Fn(&PodInfo) -> bool) {
        let mut ready = Vec::new();
        for (uid, entry) in self.entries.iter().filter(|(_, e)| concerned(&e.pod)) {
            match entry.not_before {
                Some(at) if at > now => {
                    self.backing_off.insert((at, uid.clone()));
                }
                Some(_) => ready.push(uid.clone()),
                None => {}
            }
        }
        for uid in ready {
            self.activate(&uid);
        }
    }

    /// Moves what has waited long enough; returns when the next has.
    pub fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, uid)) = self.backing_off.first().cloned() {
            if at > now {
                return Some(at);
            }
            self.backing_off.pop_first();
            self.activate(&uid);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::tests::pod;
    use super::*;
    use serde_json::json;

    fn next(pending: &mut Pending) -> Option<String> {
        pending.pop().map(|p| p.pod.uid().to_owned())
    }

    #[test]
    fn priority_then_age() {
        let mut p = Pending::default();
        p.put(pod("a", json!({})), true);
        p.put(pod("b", json!({"priority": 10})), true);
        p.put(pod("c", json!({})), true);
        let order: Vec<String> = std::iter::from_fn(|| next(&mut p)).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn failures_wait_for_a_change_and_back_off() {
        let mut p = Pending::default();
        let now = Instant::now();
        p.put(pod("a", json!({})), true);
        p.pop();
        p.failed("a", now);
        assert_eq!(p.promote(now + LONGEST), None);
        assert_eq!(next(&mut p), None, "nothing has changed");
        p.wake(now);
        assert_eq!(next(&mut p), None, "still backing off");
        assert_eq!(p.promote(now), Some(now + FIRST));
        p.promote(now + FIRST);
        assert_eq!(next(&mut p).as_deref(), Some("a"));
        p.failed("a", now);
        p.wake(now + FIRST * 3);
        assert_eq!(next(&mut p).as_deref(), Some("a"));
        p.remove("a");
        p.wake(now + LONGEST);
        assert_eq!(next(&mut p), None);
    }
}
