use std::collections::BTreeSet;

use results::ClusterEvent;

/// Events that say the same, as one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Folded {
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) times: u64,
    pub(crate) warning: bool,
    pub(crate) reason: String,
    /// The object, or how many there were.
    pub(crate) objects: String,
    pub(crate) message: String,
}

/// Folds events of the same reason and message into one, in order of their first time.
pub(crate) fn fold(events: &[ClusterEvent]) -> Vec<Folded> {
    let mut folded: Vec<(Folded, BTreeSet<&str>)> = Vec::new();
    for event in events {
        let times = u64::from(event.count.unwrap_or(1).max(1));
        let same = folded.iter_mut().find(|(f, _)| {
            f.reason == event.reason && f.message == event.message && f.warning == (event.kind == "Warning")
        });
        if let Some((found, objects)) = same {
            found.first = found.first.min(event.t);
            found.last = found.last.max(event.t);
            found.times += times;
            objects.insert(&event.object);
        } else {
            let one = Folded {
                first: event.t,
                last: event.t,
                times,
                warning: event.kind == "Warning",
                reason: event.reason.clone(),
                objects: String::new(),
                message: event.message.clone(),
            };
            folded.push((one, BTreeSet::from([event.object.as_str()])));
        }
    }
    folded
        .into_iter()
        .map(|(mut one, objects)| {
            let first = objects.first().copied().unwrap_or_default();
            one.objects = match objects.len() {
                1 => first.to_owned(),
                n => format!("{first} and {} more", n - 1),
            };
            one
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_say_the_same_are_one_line() {
        let event = |t, object: &str, message: &str, count| ClusterEvent {
            t,
            kind: "Normal".into(),
            reason: "Pulled".into(),
            object: object.into(),
            message: message.into(),
            count,
        };
        let events = [
            event(1.0, "pod/a", "x", None),
            event(2.0, "pod/b", "x", Some(3)),
            event(3.0, "pod/a", "y", None),
        ];
        let folded = fold(&events);
        assert_eq!(folded.len(), 2);
        assert_eq!((folded[0].times, folded[0].first, folded[0].last), (4, 1.0, 2.0));
        assert_eq!(folded[0].objects, "pod/a and 1 more");
        assert_eq!(folded[1].objects, "pod/a");
    }
}
