//! How soon a failed pod is replaced on its node: at once, then ever more slowly, lest the set fights with the node
//! (`flowcontrol.NewBackOff(1s, 15m)` of cmd/kube-controller-manager/app/apps.go).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(15);

/// Uid and observed generation of a set, and a node.
pub(super) type Place = (String, Option<i64>, String);

/// The delay of each place, and when it was last made use of.
#[derive(Debug, Default)]
pub(super) struct Backoff(HashMap<Place, (Duration, Instant)>);

impl Backoff {
    /// How long the failed pod of a place has to stay; nothing when it may go, which makes the next one wait longer.
    pub fn ask(&mut self, place: &Place, now: Instant) -> Duration {
        self.0
            .retain(|_, (_, last)| now.duration_since(*last) < LONGEST * 2);
        let Some((delay, last)) = self.0.get_mut(place) else {
            self.0.insert(place.clone(), (FIRST, now));
            return Duration::ZERO;
        };
        let left = delay.saturating_sub(now.duration_since(*last));
        if left.is_zero() {
            (*delay, *last) = ((*delay * 2).min(LONGEST), now);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_failure_waits_a_second_and_the_third_two() {
        let mut backoff = Backoff::default();
        let (start, seconds) = (Instant::now(), Duration::from_secs);
        let place = |node: &str| ("u".to_owned(), Some(1), node.to_owned());
        assert_eq!(backoff.ask(&place("a"), start), seconds(0));
        assert_eq!(backoff.ask(&place("a"), start), seconds(1));
        assert_eq!(backoff.ask(&place("b"), start), seconds(0));
        assert_eq!(backoff.ask(&place("a"), start + seconds(1)), seconds(0));
        assert_eq!(backoff.ask(&place("a"), start + seconds(1)), seconds(2));
        assert_eq!(
            backoff.ask(&place("a"), start + LONGEST * 3),
            seconds(0),
            "long past is forgotten"
        );
        assert_eq!(backoff.ask(&place("a"), start + LONGEST * 3), seconds(1));
    }
}
