//! Events: what controllers tell people, with repeated ones counted instead of written again.

mod series;

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::series::{FINISHED, Series};
use crate::meta::{Meta, now};

/// Normal or Warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    Normal,
    Warning,
}

struct Note {
    about: ObjectReference,
    related: Option<ObjectReference>,
    component: &'static str,
    level: Level,
    reason: String,
    action: Option<&'static str>,
    message: String,
}

/// A cheap handle; events are written by one task, and dropped when it cannot keep up.
#[derive(Clone)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<Note>,
}

impl Recorder {
    pub fn start(client: Client, tasks: &mut JoinSet<()>) -> Self {
        let (sender, receiver) = mpsc::channel(1000);
        tasks.spawn(write_events(client, receiver));
        Self { sender }
    }

    pub fn normal<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        object: &K,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.send(component, object, Level::Normal, reason, None, message.into());
    }

    pub fn warning<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        object: &K,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.send(component, object, Level::Warning, reason, None, message.into());
    }

    /// The newer form of event (events.k8s.io) as it looks through core/v1: with an action and an event time.
    pub fn action<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        object: &K,
        level: Level,
        reason: &str,
        action: &'static str,
        message: impl Into<String>,
    ) {
        self.send(component, object, level, reason, Some(action), message.into());
    }

    /// As `action`, with the object on whose account it was done.
    pub fn action_for<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        object: &K,
        related: &K,
        reason: &str,
        action: &'static str,
        message: String,
    ) {
        self.pass(Note {
            about: reference(object),
            related: Some(reference(related)),
            component,
            level: Level::Normal,
            reason: reason.to_owned(),
            action: Some(action),
            message,
        });
    }

    /// About something of which no typed form is at hand.
    pub fn about(
        &self,
        component: &'static str,
        about: ObjectReference,
        level: Level,
        reason: &str,
        message: String,
    ) {
        self.pass(Note {
            about,
            related: None,
            component,
            level,
            reason: reason.to_owned(),
            action: None,
            message,
        });
    }

    fn send<K: Resource<DynamicType = ()>>(
        &self,
        component: &'static str,
        object: &K,
        level: Level,
        reason: &str,
        action: Option<&'static str>,
        message: String,
    ) {
        self.pass(Note {
            about: reference(object),
            related: None,
            component,
            level,
            reason: reason.to_owned(),
            action,
            message,
        });
    }

    fn pass(&self, note: Note) {
        let (component, reason) = (note.component, note.reason.clone());
        if self.sender.try_send(note).is_err() {
            tracing::debug!(component, reason, "event dropped");
        }
    }
}

fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: Some(object.name().to_owned()),
        namespace: object.m().namespace.clone(),
        uid: Some(object.uid().to_owned()),
        resource_version: object.m().resource_version.clone(),
        field_path: None,
    }
}

/// How many distinct events are remembered for counting, as upstream's cache.
const REMEMBERED: usize = 4096;
/// Events about one object by one component: a burst, then one in five minutes, as upstream's spam filter.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// Object uid, component, reason and message: what makes two events the same.
type Identity = (String, String, String, String);
/// Name of the event, and how often it has happened.
type Written = (String, i32);

/// So many different messages with one reason are told one by one; those that follow within a while are combined into one event, as by
/// upstream's aggregator (client-go tools/record/events_cache.go).
const SIMILAR: usize = 10;
const SIMILAR_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Object uid, component, level and reason: what makes two events similar.
type Similarity = (String, &'static str, Level, String);

#[derive(Default)]
struct Memory {
    similar: HashMap<Similarity, (HashSet<String>, Timestamp)>,
    written: HashMap<Identity, Written>,
    budgets: HashMap<String, (f64, Timestamp)>,
}

impl Memory {
    /// Whether there have been so many similar ones of late that this one is combined with them.
    fn combines(&mut self, what: Similarity, message: &str, at: Timestamp) -> bool {
        if self.similar.len() > REMEMBERED {
            self.similar.clear();
        }
        let (messages, last) = self.similar.entry(what).or_insert_with(|| (HashSet::new(), at));
        if at.duration_since(*last) > SIMILAR_FOR {
            messages.clear();
        }
        *last = at;
        messages.insert(message.to_owned());
        if messages.len() < SIMILAR {
            return false;
        }
        messages.remove(message);
        true
    }

    fn may_write(&mut self, about: &str, at: Timestamp) -> bool {
        if self.budgets.len() > REMEMBERED {
            self.budgets.clear();
        }
        let (tokens, last) = self.budgets.entry(about.to_owned()).or_insert((BURST, at));
        *tokens = (*tokens + at.duration_since(*last).as_secs_f64() / REFILL_SECONDS).min(BURST);
        *last = at;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}

async fn write_events(client: Client, mut notes: mpsc::Receiver<Note>) {
    let mut memory = Memory::default();
    let mut series = Series::default();
    let mut look = tokio::time::interval(FINISHED.unsigned_abs());
    loop {
        let mut note = tokio::select! {
            note = notes.recv() => match note {
                Some(note) => note,
                None => return,
            },
            _ = look.tick() => {
                for ended in series.finish(Timestamp::now()) {
                    write_series(&client, ended).await;
                }
                continue;
            }
        };
        if note.action.is_some() {
            let namespace = namespace_of(&note);
            if let Some(write) = series.observe(note, &namespace, Timestamp::now()) {
                write_series(&client, write).await;
            }
            continue;
        }
        let uid = note.about.uid.clone().unwrap_or_else(|| {
            let name = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}/{}", name(&note.about.namespace), name(&note.about.name))
        });
        if !memory.may_write(&format!("{uid}/{}", note.component), Timestamp::now()) {
            continue;
        }
        let similarity = (uid.clone(), note.component, note.level, note.reason.clone());
        let combined = memory.combines(similarity, &note.message, Timestamp::now());
        if combined {
            note.message = format!("(combined from similar events): {}", note.message);
        }
        if memory.written.len() > REMEMBERED {
            memory.written.clear();
        }
        let key = (
            uid,
            note.component.to_owned(),
            note.reason.clone(),
            if combined {
                String::new()
            } else {
                note.message.clone()
            },
        );
        let namespace = namespace_of(&note);
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        if let Some((name, count)) = memory.written.get_mut(&key) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": now(), "message": note.message});
            if api
                .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .is_ok()
            {
                continue;
            }
            memory.written.remove(&key); // it has expired: write it anew
        }
        let mut event = to_event(&note, &namespace, Timestamp::now());
        if combined {
            // What the aggregator makes up says nothing of its reporter.
            event.reporting_component = Some(String::new());
        }
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                memory.written.insert(key, (name, 1));
            }
            Err(error) => tracing::debug!(%error, "event not written"),
        }
    }
}

fn namespace_of(note: &Note) -> String {
    let namespace = note.about.namespace.clone().filter(|n| !n.is_empty());
    namespace.unwrap_or_else(|| "default".to_owned())
}

/// Writes an event of the newer form, or how often it has been seen.
async fn write_series(client: &Client, event: Event) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    if let Some(series) = &event.series {
        let name = event.metadata.name.as_deref().unwrap_or_default();
        let patch = json!({ "series": series });
        match api
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {} // it has expired: write it anew
            Err(error) => return tracing::debug!(%error, "series of an event not written"),
            Ok(_) => return,
        }
    }
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        tracing::debug!(%error, "event not written");
    }
}

fn to_event(note: &Note, namespace: &str, at: Timestamp) -> Event {
    let classic = note.action.is_none();
    Event {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}.{:x}",
                note.about.name.as_deref().unwrap_or_default(),
                at.as_nanosecond()
            )),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: note.about.clone(),
        related: note.related.clone(),
        reason: Some(note.reason.clone()),
        message: Some(note.message.clone()),
        type_: Some(format!("{:?}", note.level)),
        action: note.action.map(str::to_owned),
        count: classic.then_some(1),
        first_timestamp: classic.then(now),
        last_timestamp: classic.then(now),
        event_time: (!classic).then_some(MicroTime(at)),
        source: Some(EventSource {
            component: classic.then(|| note.component.to_owned()),
            host: None,
        }),
        reporting_component: Some(note.component.to_owned()),
        reporting_instance: Some(if classic {
            String::new()
        } else {
            format!("{0}-{0}", note.component)
        }),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_about_one_object_is_cut() {
        let mut memory = Memory::default();
        let at = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!((0..100).filter(|_| memory.may_write("x", at)).count(), 25);
        assert!(memory.may_write("y", at));
        let later = Timestamp::from_second(1_000_301).unwrap();
        assert!(memory.may_write("x", later));
        assert!(!memory.may_write("x", later));
    }

    #[test]
    fn the_tenth_similar_one_is_combined() {
        let mut memory = Memory::default();
        let at = Timestamp::from_second(1_000_000).unwrap();
        let mut tell = |reason: &str, n: i32, at| {
            let what = ("u".to_owned(), "c", Level::Normal, reason.to_owned());
            memory.combines(what, &format!("pod {n}"), at)
        };
        assert!((0..9).all(|n| !tell("Made", n, at)));
        assert!(!tell("Made", 3, at), "the same again is no new one");
        assert!(tell("Made", 9, at) && tell("Made", 10, at));
        assert!(!tell("Gone", 9, at), "another reason");
        let later = at + SIMILAR_FOR + SignedDuration::from_secs(1);
        assert!(!tell("Made", 11, later));
    }

    #[test]
    fn both_forms() {
        let note = |action| Note {
            about: ObjectReference {
                name: Some("p".into()),
                ..Default::default()
            },
            related: None,
            component: "default-scheduler",
            level: Level::Warning,
            reason: "R".into(),
            action,
            message: "m".into(),
        };
        let at = Timestamp::from_second(1).unwrap();
        let classic = to_event(&note(None), "n", at);
        assert_eq!((classic.count, classic.event_time.is_some()), (Some(1), false));
        let newer = to_event(&note(Some("Scheduling")), "n", at);
        assert_eq!((newer.count, newer.event_time.is_some()), (None, true));
        assert_eq!(newer.metadata.name.as_deref(), Some("p.3b9aca00"));
    }
}
