//! Events: what controllers tell people, with repeated ones counted instead of written again.

mod series;

use engine_events::{Correlator, Note as Seen, What};
use jiff::Timestamp;
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

async fn write_events(client: Client, mut notes: mpsc::Receiver<Note>) {
    let mut correlator = Correlator::default();
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
            if let Some(write) = series.observe(&note, &namespace, Timestamp::now()) {
                write_series(&client, write).await;
            }
            continue;
        }
        let at = Timestamp::now();
        let verdict = correlator.observe(&seen(&note, &about(&note)), at);
        if verdict.combined {
            note.message = format!("(combined from similar events): {}", note.message);
        }
        let namespace = namespace_of(&note);
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        match verdict.what {
            What::Cut => continue,
            What::New => {}
            What::Again { first, count } => {
                let patch = json!({"count": count, "lastTimestamp": now(), "message": note.message});
                let name = name(&note, first);
                if api
                    .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await
                    .is_ok()
                {
                    continue;
                }
                correlator.forget(verdict.event); // it has expired: write it anew
            }
        }
        let mut event = to_event(&note, &namespace, at);
        if verdict.combined {
            // What the aggregator makes up says nothing of its reporter.
            event.reporting_component = Some(String::new());
        }
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => correlator.written(verdict.event, at),
            Err(error) => tracing::debug!(%error, "event not written"),
        }
    }
}

/// What tells the object from others.
fn about(note: &Note) -> String {
    note.about.uid.clone().unwrap_or_else(|| {
        let name = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{}/{}", name(&note.about.namespace), name(&note.about.name))
    })
}

fn seen<'a>(note: &'a Note, about: &'a str) -> Seen<'a> {
    Seen {
        about,
        field: note.about.field_path.as_deref().unwrap_or_default(),
        component: note.component,
        warning: note.level == Level::Warning,
        reason: &note.reason,
        message: &note.message,
    }
}

/// The name of the event that was first told at `at`.
fn name(note: &Note, at: Timestamp) -> String {
    let about = note.about.name.as_deref().unwrap_or_default();
    format!("{about}.{:x}", at.as_nanosecond())
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
            name: Some(name(note, at)),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: note.about.clone(),
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
    fn both_forms() {
        let note = |action| Note {
            about: ObjectReference {
                name: Some("p".into()),
                ..Default::default()
            },
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
