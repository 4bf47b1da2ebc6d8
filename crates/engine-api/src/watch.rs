//! Watches: what a list says, then every change, as frames that go out at once.
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use engine_store::{Event, EventKind, Stored, Watch};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use rand::Rng;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    answer::{self, Body},
    api::{Api, Call},
    convert, custom, keys,
    negotiate::Format,
    registry::list::{not_a_version, too_large},
    selector::Selection,
    status::{ApiError, Result},
};

/// How often a bookmark goes out on a watch that allows it.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// No watch is open for longer: a deadline beyond it may be no time at all.
const LONGEST: Duration = Duration::from_hours(365 * 24);
/// Frames are merged up to this size when many events are at hand.
const BATCH: usize = 64 * 1024;

/// One watch, turned into frames.
struct Stream {
    api: Arc<Api>,
    call: Arc<Call>,
    kind: &'static KindInfo,
    format: Format,
    selection: Selection,
    initial: VecDeque<Arc<Stored>>,
    /// Revision of the initial objects; their end is told when the client asked for it.
    initial_end: Option<u64>,
    watch: Watch,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    columns_sent: bool,
    over: bool,
}

impl Api {
    /// Answer a watch.
    pub fn watch(
        self: &Arc<Self>,
        call: Arc<Call>,
        kind: &'static KindInfo,
        format: Format,
    ) -> Result<Response<Body>> {
        let selection = Selection::of(&call, kind)?;
        let stored_kind = convert::stored(kind);
        let prefix = keys::prefix(
            stored_kind,
            if kind.namespaced {
                &call.route.namespace
            } else {
                ""
            },
        );
        let send_initial = call
            .query
            .get("sendInitialEvents")
            .map(|_| call.query.truth("sendInitialEvents"));
        let bookmarks = call.query.truth("allowWatchBookmarks");
        check(&call, send_initial)?;
        let raw = call.query.get("resourceVersion").unwrap_or_default();
        let version: u64 = if raw.is_empty() {
            0
        } else {
            raw.parse()
                .map_err(|_| ApiError::new(500, "", not_a_version(raw)))?
        };
        let current = self.store.revision();
        if version > current {
            return Err(too_large(version, current));
        }
        let with_objects = send_initial.unwrap_or(version == 0);
        let mut initial = VecDeque::new();
        let (started, end) = if with_objects {
            let snapshot = self.store.list(&prefix);
            initial.extend(snapshot.items);
            (
                self.store.watch(&prefix, snapshot.revision),
                Some(snapshot.revision),
            )
        } else {
            let from = if version == 0 { current } else { version };
            (self.store.watch(&prefix, from), None)
        };
        let content_type = if format == Format::Table {
            "application/json"
        } else if format == Format::Protobuf {
            return Err(ApiError::new(
                406,
                "NotAcceptable",
                "watches are served as JSON here",
            ));
        } else {
            "application/json"
        };
        let watch = match started {
            Ok(watch) => watch,
            Err(gone) => {
                // Upstream opens the stream and sends the error as an event.
                let error = ApiError::expired(gone.to_string());
                return Ok(answer::bytes(
                    200,
                    content_type,
                    frame("ERROR", error.status().to_string().as_bytes()),
                ));
            }
        };
        // Upstream's default: between min-request-timeout (30 min) and twice that.
        let seconds = call
            .query
            .number("timeoutSeconds")
            .filter(|s| *s > 0)
            .map_or_else(
                || Duration::from_secs(rand::rng().random_range(1800..3600)),
                |s| Duration::from_secs(s as u64).min(LONGEST),
            );
        let now = Instant::now();
        let stream = Stream {
            api: self.clone(),
            call,
            kind,
            format,
            selection,
            initial,
            initial_end: end.filter(|_| send_initial == Some(true)),
            watch,
            bookmarks,
            next_bookmark: now + BOOKMARKS,
            deadline: now + seconds,
            columns_sent: false,
            over: false,
        };
        let frames = futures::stream::unfold(stream, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((Ok(Frame::data(bytes)), stream))
        });
        let mut response = answer::bytes(200, content_type, Bytes::new());
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        Ok(response)
    }
}

/// The combinations that upstream refuses.
fn check(call: &Call, send_initial: Option<bool>) -> Result<()> {
    let cause = |field: &str, reason, message: &str| validation::Cause {
        reason,
        field: field.to_owned(),
        message: message.to_owned(),
    };
    let invalid =
        |causes: &[validation::Cause]| Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", causes));
    let refuse = |field: &str, reason, message: &str| invalid(&[cause(field, reason, message)]);
    let matching = call.query.get("resourceVersionMatch");
    match (send_initial, matching) {
        (None, Some(matching)) => {
            let mut causes = vec![cause(
                "resourceVersionMatch",
                "FieldValueForbidden",
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )];
            if matching != "NotOlderThan" {
                causes.push(cause(
                    "resourceVersionMatch",
                    "FieldValueNotSupported",
                    &format!("Unsupported value: {matching:?}: supported values: \"NotOlderThan\""),
                ));
            }
            invalid(&causes)
        }
        (Some(_), None) => refuse(
            "resourceVersionMatch",
            "FieldValueForbidden",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (Some(_), Some(m)) if m != "NotOlderThan" => refuse(
            "resourceVersionMatch",
            "FieldValueForbidden",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        _ => Ok(()),
    }
}

fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    put_frame(&mut out, kind, object);
    out.freeze()
}

fn put_frame(out: &mut BytesMut, kind: &str, object: &[u8]) {
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}

impl Stream {
    /// The next frames; `None` ends the watch.
    async fn next(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if !self.initial.is_empty() {
            let found = std::mem::take(&mut self.initial).into();
            match self.api.turned_all(self.kind, found).await {
                Ok(turned) => self.initial = turned.into(),
                Err(error) => return Some(self.end_with(&error)),
            }
        }
        while let Some(object) = self.initial.pop_front() {
            if self.selection.matches(&object) {
                self.put(&mut out, "ADDED", &object);
                if out.len() > BATCH {
                    return Some(out.freeze());
                }
            }
        }
        if let Some(revision) = self.initial_end.take() {
            self.put_bookmark(&mut out, revision, true);
        }
        loop {
            if self.over {
                return (!out.is_empty()).then(|| out.freeze());
            }
            let event = if out.is_empty() {
                let wake = if self.bookmarks {
                    self.deadline.min(self.next_bookmark)
                } else {
                    self.deadline
                };
                tokio::select! {
                    event = self.watch.next() => event,
                    () = tokio::time::sleep_until(wake.into()) => {
                        let now = Instant::now();
                        if self.bookmarks && let Some(revision) = self.watch.caught_up() {
                            self.put_bookmark(&mut out, revision, false);
                        }
                        self.next_bookmark = now + BOOKMARKS;
                        self.over = now >= self.deadline;
                        continue;
                    }
                }
            } else {
                // Whatever is at hand goes into the same chunk; nothing is waited for.
                match futures::FutureExt::now_or_never(self.watch.next()) {
                    Some(event) if out.len() < BATCH => event,
                    Some(event) => {
                        self.accept(&mut out, event).await;
                        return Some(out.freeze());
                    }
                    None => return Some(out.freeze()),
                }
            };
            self.accept(&mut out, event).await;
        }
    }

    /// A last frame, that says why there are no more.
    fn end_with(&mut self, error: &ApiError) -> Bytes {
        self.over = true;
        frame("ERROR", error.status().to_string().as_bytes())
    }

    async fn accept(&mut self, out: &mut BytesMut, event: Option<Result<Arc<Event>, engine_store::Gone>>) {
        match event {
            Some(Ok(event)) if custom::is(self.kind) => match self.turned(&event).await {
                Ok(event) => self.put_event(out, &event),
                Err(error) => {
                    let last = self.end_with(&error);
                    out.put_slice(&last);
                }
            },
            Some(Ok(event)) => self.put_event(out, &event),
            Some(Err(gone)) => {
                let error = ApiError::expired(gone.to_string());
                put_frame(out, "ERROR", error.status().to_string().as_bytes());
                self.over = true;
            }
            None => self.over = true,
        }
    }

    /// An event of a custom kind, in this version.
    async fn turned(&self, event: &Event) -> Result<Event> {
        let previous = match &event.previous {
            Some(previous) => Some(self.api.turned(self.kind, previous.clone()).await?),
            None => None,
        };
        Ok(Event {
            kind: event.kind,
            revision: event.revision,
            object: self.api.turned(self.kind, event.object.clone()).await?,
            previous,
        })
    }

    /// An event as this selection sees it: an object that leaves the selection is deleted, one that enters is added.
    fn put_event(&mut self, out: &mut BytesMut, event: &Event) {
        let matched = event.previous.as_ref().is_some_and(|o| self.selection.matches(o));
        let matches = event.kind != EventKind::Deleted && self.selection.matches(&event.object);
        match (matched, matches) {
            (false, true) => self.put(out, "ADDED", &event.object),
            (true, true) => self.put(out, "MODIFIED", &event.object),
            (true, false) if event.kind == EventKind::Deleted => self.put(out, "DELETED", &event.object),
            (true, false) => {
                // The object as it was when it last matched, with the revision of the event (etcd3/watcher.go).
                if let Some(previous) = &event.previous {
                    let mut object = Value::clone(&previous.value());
                    object["metadata"]["resourceVersion"] = event.revision.to_string().into();
                    self.put_value(out, "DELETED", &object);
                }
            }
            (false, false) => {}
        }
    }

    fn put(&mut self, out: &mut BytesMut, kind: &str, stored: &Stored) {
        if self.format == Format::Json && !convert::needed(self.kind) {
            put_frame(out, kind, &stored.json());
        } else {
            self.put_value(out, kind, &stored.value());
        }
    }

    fn put_value(&mut self, out: &mut BytesMut, kind: &str, object: &Value) {
        let object = convert::from_stored(self.kind, object);
        let object = match self.format {
            Format::Json | Format::Protobuf => object.into_owned(),
            Format::Partial => answer::partial(&object),
            Format::Table => {
                let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let columns = !self.columns_sent;
                self.columns_sent = true;
                answer::table(
                    &self.call,
                    self.kind,
                    [object.as_ref()].into_iter(),
                    meta,
                    columns,
                )
            }
        };
        put_frame(out, kind, object.to_string().as_bytes());
    }

    fn put_bookmark(&mut self, out: &mut BytesMut, revision: u64, initial_end: bool) {
        let mut meta = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let mut object =
            json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": meta});
        match self.format {
            Format::Partial => {
                object["kind"] = "PartialObjectMetadata".into();
                object["apiVersion"] = "meta.k8s.io/v1".into();
            }
            Format::Table => {
                object = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": null,
                    "metadata": meta, "rows": []});
            }
            Format::Json | Format::Protobuf => {}
        }
        put_frame(out, "BOOKMARK", object.to_string().as_bytes());
    }
}
