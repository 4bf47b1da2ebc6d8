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
    negotiate::{self, Encoding, Format, What},
    registry::list::not_a_version,
    selector::Selection,
    status::{ApiError, Result},
};

/// How often a bookmark goes out on a watch that allows it.
const BOOKMARKS: Duration = Duration::from_mins(1);
/// And before the end of one.
const BEFORE_END: Duration = Duration::from_secs(2);
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
    next_bookmark: Option<Instant>,
    /// The newest revision that the client has heard of: no bookmark says an older one.
    told: u64,
    deadline: Instant,
    columns_sent: bool,
    over: bool,
}

impl Api {
    /// Answer a watch.
    pub async fn watch(
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
        let raw = call.query.get("resourceVersion").unwrap_or_default();
        let matching = call.query.get("resourceVersionMatch");
        // Whoever asks as ever is taken to want the objects first (apimachinery `internalversion/defaults.go` SetListOptionsDefaults).
        let as_ever = send_initial.is_none()
            && matching.is_none()
            && matches!(raw, "" | "0")
            && call.query.truth("watch");
        let (send_initial, matching) = if as_ever {
            (Some(true), Some("NotOlderThan"))
        } else {
            (send_initial, matching)
        };
        check(&call, send_initial, matching)?;
        let version: u64 = if raw.is_empty() {
            0
        } else {
            raw.parse()
                .map_err(|_| ApiError::new(500, "", not_a_version(raw)))?
        };
        let format = streamed(&call, kind, format)?;
        let content_type = match format.encoding {
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            _ => "application/json",
        };
        let with_objects = send_initial.unwrap_or(version == 0);
        let mut initial = VecDeque::new();
        // Objects are to be as new as that; a watch alone may begin in the future (apiserver `storage/cacher/cacher.go`
        // waitUntilWatchCacheFreshAndForceAllEvents).
        if send_initial == Some(true)
            && let Err(error) = self.reached(version).await
        {
            let last = framed(format, "ERROR", &error.status());
            return Ok(answer::bytes(200, content_type, last));
        }
        let from = if with_objects {
            let snapshot = self.store.list(&prefix);
            initial.extend(snapshot.items);
            snapshot.revision
        } else if version == 0 {
            self.store.revision()
        } else {
            version
        };
        let watch = match self.store.watch(&prefix, from) {
            Ok(watch) => watch,
            Err(gone) => {
                // Upstream opens the stream and sends the error as an event.
                let error = ApiError::expired(gone.to_string());
                let last = framed(format, "ERROR", &error.status());
                return Ok(answer::bytes(200, content_type, last));
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
        let deadline = Instant::now() + seconds;
        let stream = Stream {
            api: self.clone(),
            call,
            kind,
            format,
            selection,
            initial,
            initial_end: (send_initial == Some(true) && bookmarks).then_some(from),
            watch,
            bookmarks,
            next_bookmark: next_bookmark(deadline).filter(|_| bookmarks),
            told: from,
            deadline,
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
fn check(call: &Call, send_initial: Option<bool>, matching: Option<&str>) -> Result<()> {
    let cause = |field: &str, reason, message: &str| validation::Cause {
        reason,
        field: field.to_owned(),
        message: message.to_owned(),
    };
    let invalid =
        |causes: &[validation::Cause]| Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", causes));
    let mut causes = Vec::new();
    let mut refuse = |reason, message: &str| causes.push(cause("resourceVersionMatch", reason, message));
    let forbidden = "FieldValueForbidden";
    if send_initial.is_some() && matching != Some("NotOlderThan") {
        refuse(
            forbidden,
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        );
    }
    if let Some(matching) = matching {
        if send_initial.is_none() {
            refuse(
                forbidden,
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        if matching != "NotOlderThan" {
            refuse(
                "FieldValueNotSupported",
                &format!("Unsupported value: {matching:?}: supported values: \"NotOlderThan\""),
            );
        }
        if call.query.get("continue").is_some() {
            refuse(
                forbidden,
                "Forbidden: resourceVersionMatch is forbidden when continue is provided",
            );
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    invalid(&causes)
}

/// When the next bookmark goes out: a minute from now, or shortly before the end (apiserver `storage/cacher/cache_watcher.go`
/// nextBookmarkTime).
fn next_bookmark(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    let at = (now + BOOKMARKS).min(deadline.checked_sub(BEFORE_END)?);
    (at >= now).then_some(at)
}

/// The form of a stream's events: kinds without a protobuf form are sent as JSON to those who take that, too.
fn streamed(call: &Call, kind: &KindInfo, format: Format) -> Result<Format> {
    let format = negotiate::stream(format)?;
    let bare = json!({"kind": kind.kind, "apiVersion": kind.api_version()});
    if format.encoding == Encoding::Protobuf
        && format.what == What::Whole
        && schema::encode_protobuf(&bare).is_none()
    {
        return negotiate::stream(answer::without_protobuf(call)?);
    }
    Ok(format)
}

/// One event of which the object is at hand.
fn framed(format: Format, kind: &str, object: &Value) -> Bytes {
    let mut out = BytesMut::new();
    put_framed(&mut out, format, kind, object);
    out.freeze()
}

fn put_framed(out: &mut BytesMut, format: Format, kind: &str, object: &Value) {
    if format.encoding != Encoding::Protobuf {
        return put_frame(out, kind, object.to_string().as_bytes());
    }
    // An object that has no form any more is one that nobody could have stored: the client is told that something happened.
    let object = schema::encode_protobuf(object).unwrap_or_default();
    let event = schema::protobuf_event(kind, &object);
    out.put_u32(u32::try_from(event.len()).unwrap_or(u32::MAX));
    out.put_slice(&event);
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
                let wake = self.next_bookmark.unwrap_or(self.deadline).min(self.deadline);
                tokio::select! {
                    event = self.watch.next() => event,
                    () = tokio::time::sleep_until(wake.into()) => {
                        let due = self.next_bookmark.is_some_and(|at| at <= Instant::now());
                        if due
                            && let Some(revision) = self.watch.caught_up()
                            && self.told <= revision.min(self.api.store.revision())
                        {
                            self.put_bookmark(&mut out, revision, false);
                        }
                        self.next_bookmark = next_bookmark(self.deadline).filter(|_| self.bookmarks);
                        self.over = Instant::now() >= self.deadline;
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
        framed(self.format, "ERROR", &error.status())
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
                put_framed(out, self.format, "ERROR", &error.status());
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
        self.told = self.told.max(event.revision);
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
        let text = self.format.encoding == Encoding::Json && self.format.what == What::Whole;
        if text && !convert::needed(self.kind) {
            put_frame(out, kind, &stored.json());
        } else {
            self.put_value(out, kind, &stored.value());
        }
    }

    fn put_value(&mut self, out: &mut BytesMut, kind: &str, object: &Value) {
        let object = convert::from_stored(self.kind, object);
        match self.format.what {
            // One object is no list, which upstream notices only now, and says nothing more (`endpoints/handlers/watch.go` HandleHTTP).
            What::PartialList => self.over = true,
            What::Whole => put_framed(out, self.format, kind, &object),
            What::Partial => {
                let partial = answer::partial(&object, self.format.version);
                put_framed(out, self.format, kind, &partial);
            }
            What::Table => {
                let table = self.table(&object);
                put_framed(out, self.format, kind, &table);
            }
        }
    }

    /// A table of one row; the first says what its columns are.
    fn table(&mut self, object: &Value) -> Value {
        let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
        let columns = !std::mem::replace(&mut self.columns_sent, true);
        let objects = std::iter::once(object);
        answer::table(&self.call, self.kind, self.format.version, objects, meta, columns)
    }

    fn put_bookmark(&mut self, out: &mut BytesMut, revision: u64, initial_end: bool) {
        self.told = self.told.max(revision);
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        // An object like others, of which only this is known: a table has a row of it.
        let object = json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": meta});
        self.put_value(out, "BOOKMARK", &object);
    }
}
