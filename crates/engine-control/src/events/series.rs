//! The newer events (events.k8s.io), as client-go's tools/events/event_broadcaster.go writes them: what is the same but for its message
//! becomes a series, of which the second time is written at once and the later ones when it has ended.

use engine_events::Recent;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSeries, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{Level, Note, to_event};

/// A series has ended, and one event is forgotten, when nothing has come for so long.
pub(super) const FINISHED: SignedDuration = SignedDuration::from_mins(6);

/// What makes two events the same: not the message, but the object with its version.
#[derive(Hash)]
struct Key<'a> {
    component: &'static str,
    level: Level,
    reason: &'a str,
    action: Option<&'static str>,
    about: [&'a str; 4],
}

fn parts(of: &ObjectReference) -> [&str; 4] {
    let part = |field: fn(&ObjectReference) -> &Option<String>| field(of).as_deref().unwrap_or_default();
    [
        part(|o| &o.namespace),
        part(|o| &o.name),
        part(|o| &o.uid),
        part(|o| &o.resource_version),
    ]
}

/// Events that may happen again. Most never do: of those the time is all that is kept.
#[derive(Default)]
pub(super) struct Series {
    known: Recent<Known>,
}

struct Known {
    first: Timestamp,
    last: Timestamp,
    series: Option<Box<Event>>,
}

impl Series {
    /// What is to be written of something that has happened, if anything is.
    pub fn observe(&mut self, note: &Note, namespace: &str, at: Timestamp) -> Option<Event> {
        let key = self.known.digest(Key {
            component: note.component,
            level: note.level,
            reason: &note.reason,
            action: note.action,
            about: parts(&note.about),
        });
        let Some(known) = self.known.get(key, at) else {
            let first = Known {
                first: at,
                last: at,
                series: None,
            };
            self.known.put(key, first, at);
            return Some(to_event(note, namespace, at));
        };
        known.last = at;
        let second = known.series.is_none();
        let first = known.first;
        let event = known
            .series
            .get_or_insert_with(|| Box::new(to_event(note, namespace, first)));
        let count = event.series.as_ref().and_then(|series| series.count);
        event.series = Some(EventSeries {
            count: Some(count.unwrap_or(1) + 1),
            last_observed_time: Some(MicroTime(at)),
        });
        second.then(|| Event::clone(event))
    }

    /// Forgets what has not happened of late; gives the series among it, to be written with their last count.
    pub fn finish(&mut self, now: Timestamp) -> Vec<Event> {
        let ended = self
            .known
            .take_if(|known| now.duration_since(known.last) > FINISHED);
        ended
            .into_iter()
            .filter_map(|known| known.series.map(|event| *event))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(version: &str, message: &str) -> Note {
        Note {
            about: ObjectReference {
                name: Some("p".into()),
                uid: Some("u".into()),
                resource_version: Some(version.into()),
                ..ObjectReference::default()
            },
            component: "default-scheduler",
            level: Level::Warning,
            reason: "FailedScheduling".into(),
            action: Some("Scheduling"),
            message: message.into(),
        }
    }

    #[test]
    fn the_second_time_is_written_and_the_last_when_it_is_over() {
        let mut series = Series::default();
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        let count = |event: &Event| event.series.as_ref().and_then(|s| s.count);
        let first = series.observe(&note("1", "no room"), "n", at(0)).unwrap();
        assert_eq!(count(&first), None);
        let second = series.observe(&note("1", "still none"), "n", at(1)).unwrap();
        assert_eq!(count(&second), Some(2));
        assert_eq!(second.metadata.name, first.metadata.name);
        for again in 2..9 {
            assert_eq!(series.observe(&note("1", "no room"), "n", at(again)), None);
        }
        let changed = series.observe(&note("2", "no room"), "n", at(9)).unwrap();
        assert_eq!(count(&changed), None, "the pod has changed: another event");
        assert_eq!(series.finish(at(360)), []);
        let ended: Vec<_> = series.finish(at(8 + 361)).iter().map(count).collect();
        assert_eq!(ended, [Some(9)]);
        assert_eq!(series.known.len(), 1);
        assert_eq!(
            series.finish(at(9 + 361)),
            [],
            "what happened once is forgotten without a word"
        );
        assert!(series.known.is_empty());
    }
}
