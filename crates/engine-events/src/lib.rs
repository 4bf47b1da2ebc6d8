//! Which events are written, counted, combined or cut: what client-go's correlator does (tools/record/events_cache.go, 1.36), for whoever
//! tells of many objects.
//!
//! What is remembered of an event is a digest and a few numbers, and nothing that is allocated for each: an engine sees thousands of short
//! lives, and small pieces that stay for long among large ones that come and go would each hold a page of memory.
mod recent;

use jiff::{SignedDuration, Timestamp};

pub use self::recent::{Digest, Recent};

/// Events about one object by one component: so many at once, then one in [`REFILL`] (upstream's spam filter).
const BURST: f32 = 25.0;
const REFILL: SignedDuration = SignedDuration::from_mins(5);

/// So many different messages with one reason are told one by one; those that follow within [`SIMILAR_FOR`] are combined into one event.
const SIMILAR: usize = 10;
const SIMILAR_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Something that has happened.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Note<'a> {
    /// The object, by its uid or else by its namespace and name.
    pub about: &'a str,
    /// The part of the object, as `spec.containers{name}`; empty for the whole.
    pub field: &'a str,
    /// Who tells of it.
    pub component: &'a str,
    /// Its `type`: `Warning`, or else `Normal`.
    pub warning: bool,
    /// In a word.
    pub reason: &'a str,
    /// For people.
    pub message: &'a str,
}

/// What to do with a [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Which event it is; for [`Correlator::written`] and [`Correlator::forget`].
    pub event: Digest,
    /// Whether it stands for several that differ in their message: upstream writes `(combined from similar events): ` before the message.
    pub combined: bool,
    /// Whether and how to write it.
    pub what: What,
}

/// See [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// There have been too many about this object.
    Cut,
    /// It is to be written.
    New,
    /// It stands already, and is to be counted.
    Again {
        /// When it was told for the first time.
        first: Timestamp,
        /// How often it has happened, this time included.
        count: i32,
    },
}

/// Remembers what was told of late.
#[derive(Debug, Default)]
pub struct Correlator {
    similar: Recent<Similar>,
    written: Recent<Written>,
    budgets: Recent<Budget>,
}

#[derive(Debug)]
struct Written {
    first: Timestamp,
    count: i32,
}

#[derive(Debug)]
struct Budget {
    left: f32,
    since: Timestamp,
}

/// The messages of similar events: mostly there is one.
#[derive(Debug)]
struct Similar {
    message: Option<Digest>,
    others: Vec<Digest>,
    last: Timestamp,
}

impl Correlator {
    /// What to do with something that has happened at `at`.
    pub fn observe(&mut self, note: &Note<'_>, at: Timestamp) -> Verdict {
        let Note {
            about,
            field,
            component,
            warning,
            reason,
            message,
        } = *note;
        let combined = self.combines((about, component, warning, reason), message, at);
        let event = if combined {
            self.written.digest((about, component, warning, reason))
        } else {
            self.written
                .digest((about, field, component, reason, message, warning))
        };
        let again = self.written.get(event, at).map(|written| {
            written.count += 1;
            (written.first, written.count)
        });
        let what = if self.allowed((about, component), at) {
            again.map_or(What::New, |(first, count)| What::Again { first, count })
        } else {
            What::Cut
        };
        Verdict {
            event,
            combined,
            what,
        }
    }

    /// The event stands now, told for the first time at `first`.
    pub fn written(&mut self, event: Digest, first: Timestamp) {
        self.written.put(event, Written { first, count: 1 }, first);
    }

    /// The event stands no more.
    pub fn forget(&mut self, event: Digest) {
        self.written.remove(event);
    }

    /// Whether there have been so many similar ones of late that this one is combined with them.
    fn combines(&mut self, what: (&str, &str, bool, &str), message: &str, at: Timestamp) -> bool {
        let (what, message) = (self.similar.digest(what), self.similar.digest(message));
        let similar = self.similar.get_or(what, at, || Similar {
            message: None,
            others: Vec::new(),
            last: at,
        });
        if at.duration_since(similar.last) > SIMILAR_FOR {
            similar.message = None;
            similar.others.clear();
        }
        similar.last = at;
        if similar.message == Some(message) || similar.others.contains(&message) {
            return false;
        }
        // The tenth is not remembered, so that there are never more than nine and the next new one is combined too.
        if similar.others.len() + 2 >= SIMILAR {
            return true;
        }
        match similar.message {
            None => similar.message = Some(message),
            Some(_) => similar.others.push(message),
        }
        false
    }

    /// Takes one event from the object's budget.
    fn allowed(&mut self, whose: (&str, &str), at: Timestamp) -> bool {
        let whose = self.budgets.digest(whose);
        let budget = self.budgets.get_or(whose, at, || Budget {
            left: BURST,
            since: at,
        });
        let refill = at.duration_since(budget.since).as_secs_f32() / REFILL.as_secs_f32();
        budget.left = (budget.left + refill).min(BURST);
        budget.since = at;
        if budget.left < 1.0 {
            return false;
        }
        budget.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn note<'a>(about: &'a str, message: &'a str) -> Note<'a> {
        Note {
            about,
            field: "",
            component: "c",
            warning: false,
            reason: "R",
            message,
        }
    }

    #[test]
    fn what_happens_again_is_counted_until_it_is_forgotten() {
        let mut correlator = Correlator::default();
        let first = correlator.observe(&note("u", "m"), at(0));
        assert_eq!(first.what, What::New);
        let unwritten = correlator.observe(&note("u", "m"), at(1));
        assert_eq!(unwritten, first, "nobody could write it the first time");
        correlator.written(first.event, at(1));
        for (seconds, count) in [(2, 2), (3, 3)] {
            let again = What::Again { first: at(1), count };
            assert_eq!(correlator.observe(&note("u", "m"), at(seconds)).what, again);
        }
        for other in [
            note("v", "m"),
            note("u", "n"),
            Note {
                field: "f",
                ..note("u", "m")
            },
            Note {
                warning: true,
                ..note("u", "m")
            },
        ] {
            assert_eq!(correlator.observe(&other, at(4)).what, What::New, "{other:?}");
        }
        correlator.forget(first.event);
        assert_eq!(correlator.observe(&note("u", "m"), at(5)).what, What::New);
    }

    #[test]
    fn a_flood_about_one_object_is_cut_but_counted() {
        let mut correlator = Correlator::default();
        let mut tell = |about: &str, seconds| correlator.observe(&note(about, "m"), at(seconds));
        let passed = (0..100).filter(|_| tell("x", 0).what != What::Cut).count();
        assert_eq!(passed, 25);
        assert_ne!(tell("y", 0).what, What::Cut);
        let later = tell("x", 301);
        assert_ne!(later.what, What::Cut);
        assert_eq!(tell("x", 301).what, What::Cut);
        correlator.written(later.event, at(301));
        correlator.observe(&note("x", "m"), at(302));
        let counted = correlator.observe(&note("x", "m"), at(702)).what;
        assert_eq!(
            counted,
            What::Again {
                first: at(301),
                count: 3
            }
        );
    }

    #[test]
    fn the_tenth_similar_one_is_combined() {
        let mut correlator = Correlator::default();
        let mut tell = |reason: &str, n: i32, seconds| {
            let message = format!("pod {n}");
            let note = Note {
                reason,
                ..note("u", &message)
            };
            correlator.observe(&note, at(seconds))
        };
        assert!((0..9).all(|n| !tell("Made", n, 0).combined));
        assert!(!tell("Made", 3, 0).combined, "the same again is no new one");
        let (tenth, eleventh) = (tell("Made", 9, 0), tell("Made", 10, 0));
        assert!(tenth.combined && eleventh.combined);
        assert_eq!(tenth.event, eleventh.event);
        assert!(!tell("Gone", 9, 0).combined, "another reason");
        assert!(!tell("Made", 11, 601).combined);
    }
}
