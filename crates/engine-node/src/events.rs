//! Events about pods and the node: written in the background in order, repeated ones counted instead of written again, a flood about
//! one object cut off.
use engine_events::{Correlator, Note as Seen, What};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::status::time;

/// Writes events; cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::UnboundedSender<Note>,
}

#[derive(Debug)]
struct Note {
    about: ObjectReference,
    warning: bool,
    reason: String,
    message: String,
    at: Timestamp,
}

impl Recorder {
    /// Begins to write events as the kubelet of `node`.
    pub fn new(client: Client, node: &str) -> Self {
        let (queue, mut notes) = mpsc::unbounded_channel::<Note>();
        let mut writer = Writer {
            client,
            node: node.to_owned(),
            correlator: Correlator::default(),
        };
        tokio::spawn(async move {
            while let Some(note) = notes.recv().await {
                writer.write(note).await;
            }
        });
        Self { queue }
    }

    /// An event about a pod, or about one of its containers.
    pub fn pod(
        &self,
        pod: &Pod,
        container: Option<&str>,
        warning: bool,
        reason: &str,
        message: impl Into<String>,
    ) {
        let about = ObjectReference {
            kind: Some("Pod".into()),
            api_version: Some("v1".into()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: container.map(|name| {
                let init = pod
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.init_containers.as_deref())
                    .unwrap_or_default();
                let spec = pod.spec.as_ref();
                let added = spec.and_then(|spec| spec.ephemeral_containers.as_deref());
                let field = if init.iter().any(|c| c.name == name) {
                    "initContainers"
                } else if added.unwrap_or_default().iter().any(|c| c.name == name) {
                    "ephemeralContainers"
                } else {
                    "containers"
                };
                format!("spec.{field}{{{name}}}")
            }),
        };
        self.send(about, warning, reason, message.into());
    }

    /// An event about the node.
    pub fn node(&self, node: &Node, warning: bool, reason: &str, message: impl Into<String>) {
        let about = ObjectReference {
            kind: Some("Node".into()),
            name: node.metadata.name.clone(),
            // kubelet's reference to its node carries the name as uid (pkg/kubelet/kubelet.go, nodeRef).
            uid: node.metadata.name.clone(),
            ..ObjectReference::default()
        };
        self.send(about, warning, reason, message.into());
    }

    fn send(&self, about: ObjectReference, warning: bool, reason: &str, mut message: String) {
        if message.len() > 1024 {
            let cut = (0..=1021)
                .rev()
                .find(|at| message.is_char_boundary(*at))
                .unwrap_or(0);
            message.truncate(cut);
            message.push_str("...");
        }
        let note = Note {
            about,
            warning,
            reason: reason.to_owned(),
            message,
            at: Timestamp::now(),
        };
        let _ = self.queue.send(note);
    }
}

struct Writer {
    client: Client,
    node: String,
    correlator: Correlator,
}

impl Writer {
    async fn write(&mut self, mut note: Note) {
        let verdict = self.correlator.observe(
            &Seen {
                about: note.about.uid.as_deref().unwrap_or_default(),
                field: note.about.field_path.as_deref().unwrap_or_default(),
                component: "kubelet",
                warning: note.warning,
                reason: &note.reason,
                message: &note.message,
            },
            note.at,
        );
        if verdict.combined {
            note.message.insert_str(0, "(combined from similar events): ");
        }
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".into());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let name = |at: Timestamp| {
            let about = note.about.name.as_deref().unwrap_or_default();
            format!("{about}.{:x}", at.as_nanosecond())
        };
        match verdict.what {
            What::Cut => return,
            What::New => {}
            What::Again { first, count } => {
                let patch = serde_json::json!({"count": count, "lastTimestamp": time(note.at), "message": note.message});
                let answer = api
                    .patch(&name(first), &PatchParams::default(), &Patch::Strategic(patch))
                    .await;
                if !matches!(&answer, Err(kube::Error::Api(status)) if status.code == 404) {
                    log_failure(answer.err());
                    return;
                }
                // It has been deleted; write it anew.
                self.correlator.forget(verdict.event);
            }
        }
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name(note.at)),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: note.about,
            reason: Some(note.reason),
            message: Some(note.message),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.into()),
            first_timestamp: Some(time(note.at)),
            last_timestamp: Some(time(note.at)),
            count: Some(1),
            source: Some(EventSource {
                component: Some("kubelet".into()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(self.node.clone()),
            ..Event::default()
        };
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => self.correlator.written(verdict.event, note.at),
            Err(err) => log_failure(Some(err)),
        }
    }
}

/// A namespace that is being deleted refuses events; that is no news.
fn log_failure(err: Option<kube::Error>) {
    match err {
        Some(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {}
        Some(err) => tracing::debug!(%err, "event not written"),
        None => {}
    }
}
