//! Lists and watches against a model that remembers every object at every revision: what a client has seen of its watch is what a
//! list says at that revision, with any selector, by whatever way it began, across reconnects and 410 Gone.
use std::collections::BTreeMap;

use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{PATIENCE, Server, send};

/// Objects by namespace and name.
type View = BTreeMap<(String, String), Value>;

const NAMESPACES: [&str; 2] = ["default", "kube-public"];
/// An object that every selection has, changed when everything else is done: who has heard of it has heard of all before.
const LAST: &str = "last";

#[derive(Debug, Clone)]
enum Step {
    Create {
        namespace: usize,
        name: usize,
        colour: usize,
    },
    Paint {
        namespace: usize,
        name: usize,
        colour: usize,
    },
    Phase {
        namespace: usize,
        name: usize,
        running: bool,
    },
    Delete {
        namespace: usize,
        name: usize,
    },
    /// A client loses its connection.
    Drop {
        client: usize,
    },
    /// A client reads all there is.
    Read {
        client: usize,
    },
    /// A list by pages, while others write.
    Pages {
        selection: usize,
        limit: usize,
        between: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let at = || (0..NAMESPACES.len(), 0..4usize);
    prop_oneof![
        4 => (at(), 0..3usize).prop_map(|((namespace, name), colour)| Step::Create { namespace, name, colour }),
        4 => (at(), 0..3usize).prop_map(|((namespace, name), colour)| Step::Paint { namespace, name, colour }),
        3 => (at(), any::<bool>()).prop_map(|((namespace, name), running)| Step::Phase { namespace, name, running }),
        3 => at().prop_map(|(namespace, name)| Step::Delete { namespace, name }),
        2 => (0..CLIENTS.len()).prop_map(|client| Step::Drop { client }),
        2 => (0..CLIENTS.len()).prop_map(|client| Step::Read { client }),
        1 => (0..SELECTIONS.len(), 1..4usize, 0..4usize)
            .prop_map(|(selection, limit, between)| Step::Pages { selection, limit, between }),
    ]
}

const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// What is selected: namespace or all, parameters, and the same as a predicate on namespace and object.
struct Selection {
    namespace: Option<&'static str>,
    parameters: &'static str,
    matches: fn(&Value) -> bool,
}

const SELECTIONS: [Selection; 6] = [
    Selection {
        namespace: None,
        parameters: "",
        matches: |_| true,
    },
    Selection {
        namespace: Some("default"),
        parameters: "",
        matches: |_| true,
    },
    Selection {
        namespace: None,
        parameters: "&labelSelector=colour%3Dred",
        matches: |o| o["metadata"]["labels"]["colour"] == "red",
    },
    Selection {
        namespace: Some("default"),
        parameters: "&labelSelector=colour+notin+(green)",
        matches: |o| o["metadata"]["labels"]["colour"] != "green",
    },
    Selection {
        namespace: None,
        parameters: "&fieldSelector=status.phase%3DRunning",
        matches: |o| o["status"]["phase"] == "Running",
    },
    Selection {
        namespace: Some("default"),
        parameters: "&fieldSelector=status.phase!%3DPending,metadata.name!%3Dp0&labelSelector=colour",
        matches: |o| {
            o["status"]["phase"] != "Pending"
                && o["metadata"]["name"] != "p0"
                && !o["metadata"]["labels"]["colour"].is_null()
        },
    },
];

/// How a client begins: by a list, by a list in pages, by a watch that sends what there is, by a watch that streams the list.
#[derive(Debug, Clone, Copy)]
enum Way {
    List,
    Pages,
    Plain,
    Streaming,
}

const CLIENTS: [(usize, Way); 8] = [
    (0, Way::List),
    (1, Way::Pages),
    (2, Way::Streaming),
    (3, Way::List),
    (4, Way::Streaming),
    (5, Way::Pages),
    (2, Way::Plain),
    (4, Way::List),
];

impl Selection {
    fn path(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
            None => "/api/v1/pods".to_owned(),
        }
    }

    fn of(&self, all: &View) -> View {
        all.iter()
            .filter(|((namespace, _), object)| {
                self.namespace.is_none_or(|n| n == namespace) && (self.matches)(object)
            })
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|v| v.parse().ok())
        .expect("a revision")
}

/// The server and every state it was in.
struct World {
    server: Server,
    past: BTreeMap<u64, View>,
}

impl World {
    async fn new() -> Self {
        // Little history: who was away for some steps is told that what it knows is gone.
        let server = Server::with(engine_api::Config {
            history: 24,
            ..engine_api::Config::default()
        })
        .await;
        server
            .ok(
                "POST",
                "/api/v1/namespaces/kube-public/serviceaccounts",
                &json!({"metadata": {"name": "default"}}),
            )
            .await;
        let mut world = Self {
            server,
            past: BTreeMap::new(),
        };
        for namespace in NAMESPACES {
            world.write("POST", namespace, "", &pod(LAST, "red")).await;
            world
                .write(
                    "PATCH",
                    namespace,
                    &format!("{LAST}/status"),
                    &json!({"status": {"phase": "Running"}}),
                )
                .await;
        }
        world
    }

    /// A write, which may well be refused, and what there is after it.
    async fn write(&mut self, verb: &str, namespace: &str, name: &str, body: &Value) {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let (code, answer) = send(&self.server.admin, verb, path.trim_end_matches('/'), body).await;
        if verb == "DELETE" && code == 200 {
            self.marked(&answer);
        }
        let all = self.server.get("/api/v1/pods").await;
        let items = all["items"].as_array().expect("items");
        self.past
            .insert(revision(&all), items.iter().map(|o| (key(o), typed(o))).collect());
    }

    /// A pod is marked before it goes: what the deletion says of it was there one revision earlier.
    fn marked(&mut self, deletion: &Value) {
        let before = revision(deletion) - 1;
        let mut marked = typed(deletion);
        marked["metadata"]["resourceVersion"] = before.to_string().into();
        let mut view = self.at(before).clone();
        view.insert(key(&marked), marked);
        self.past.insert(before, view);
    }

    /// The state at a revision: that of the last write to pods before it.
    fn at(&self, revision: u64) -> &View {
        self.past.range(..=revision).next_back().expect("a state").1
    }

    async fn pages(&mut self, selection: &Selection, limit: usize, between: usize) -> (u64, View) {
        let (mut next, mut view, mut at) = (String::new(), View::new(), None);
        loop {
            let path = format!(
                "{}?limit={limit}&continue={next}{}",
                selection.path(),
                selection.parameters
            );
            let (code, page) = send(&self.server.admin, "GET", &path, &Value::Null).await;
            if code == 410 {
                // Too much was written meanwhile; from the beginning, and without others.
                return Box::pin(self.pages(selection, limit, 0)).await;
            }
            assert_eq!(code, 200, "{page}");
            assert_eq!(
                revision(&page),
                *at.get_or_insert(revision(&page)),
                "all pages are of one revision"
            );
            let items = page["items"].as_array().expect("items");
            assert!(items.len() <= limit);
            for item in items {
                assert!(view.insert(key(item), typed(item)).is_none(), "twice: {item}");
            }
            match page["metadata"]["continue"].as_str() {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => break,
            }
            for n in 0..between {
                self.write(
                    "PATCH",
                    NAMESPACES[n % 2],
                    LAST,
                    &json!({"metadata": {"annotations": {"n": n.to_string()}}}),
                )
                .await;
            }
        }
        (at.expect("a page"), view)
    }
}

fn pod(name: &str, colour: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"colour": colour}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}]}})
}

/// Items of lists have no kind of their own, objects of events do.
fn typed(object: &Value) -> Value {
    let mut object = object.clone();
    object["kind"] = "Pod".into();
    object["apiVersion"] = "v1".into();
    object
}

/// A client with its view.
struct Client {
    selection: &'static Selection,
    way: Way,
    view: View,
    /// What it would go on from; `None` before its first list and after 410 Gone.
    revision: Option<u64>,
    body: Option<Body>,
    buffer: Vec<u8>,
    /// Whether the initial events of a streamed list are still coming.
    initial: bool,
}

impl Client {
    fn new((selection, way): (usize, Way)) -> Self {
        Self {
            selection: &SELECTIONS[selection],
            way,
            view: View::new(),
            revision: None,
            body: None,
            buffer: Vec::new(),
            initial: false,
        }
    }

    async fn connect(&mut self, world: &mut World) {
        let mut query = "watch=1&allowWatchBookmarks=true".to_owned();
        if self.revision.is_none() {
            self.view.clear();
            match self.way {
                Way::List | Way::Pages => {
                    let limit = if matches!(self.way, Way::List) { 1000 } else { 2 };
                    let (revision, view) = world.pages(self.selection, limit, 0).await;
                    assert_eq!(
                        view,
                        self.selection.of(world.at(revision)),
                        "a list at {revision}"
                    );
                    (self.view, self.revision) = (view, Some(revision));
                }
                Way::Plain => self.initial = true,
                Way::Streaming => {
                    query += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
                    self.initial = true;
                }
            }
        }
        if let Some(revision) = self.revision {
            query += &format!("&resourceVersion={revision}");
        }
        let request = Request::get(format!(
            "{}?{query}{}",
            self.selection.path(),
            self.selection.parameters
        ));
        let response = world
            .server
            .admin
            .send(request.body(Body::empty()).expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        self.body = Some(response.into_body());
        self.buffer.clear();
    }

    fn lose(&mut self) {
        self.body = None;
        if self.initial {
            self.revision = None;
        }
    }

    /// Reads until it has heard of the last write to [`LAST`]; reconnects as often as it has to.
    async fn read(&mut self, world: &mut World) {
        let namespace = self.selection.namespace.unwrap_or("default");
        let mark = json!({"metadata": {"annotations": {"mark": world.server.api.revision().to_string()}}});
        world.write("PATCH", namespace, LAST, &mark).await;
        let wanted = world.at(u64::MAX)[&(namespace.to_owned(), LAST.to_owned())].clone();
        while self.initial || self.view.get(&(namespace.to_owned(), LAST.to_owned())) != Some(&wanted) {
            if self.body.is_none() {
                self.connect(world).await;
                continue;
            }
            let event = self.event().await;
            self.take(world, &event);
        }
    }

    async fn event(&mut self) -> Value {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line).expect("an event");
            }
            let body = self.body.as_mut().expect("a connection");
            let frame = tokio::time::timeout(PATIENCE, body.frame())
                .await
                .expect("an event comes");
            let frame = frame.expect("the watch goes on").expect("bytes");
            self.buffer.extend_from_slice(&frame.into_data().expect("data"));
        }
    }

    fn take(&mut self, world: &World, event: &Value) {
        let object = typed(&event["object"]);
        match event["type"].as_str() {
            Some("ERROR") => {
                assert_eq!(event["object"]["code"], 410, "{event}");
                (self.body, self.revision, self.initial) = (None, None, false);
                return;
            }
            Some("BOOKMARK") => self.initial = false,
            Some("ADDED") => {
                assert!(
                    self.view.insert(key(&object), object.clone()).is_none(),
                    "added twice: {event}"
                );
                // Without a bookmark nobody says where the initial events end; the mark is after all of them.
                if matches!(self.way, Way::Plain) && self.initial {
                    return self.settle(world, &object);
                }
            }
            Some("MODIFIED") => {
                assert!(
                    self.view.insert(key(&object), object.clone()).is_some(),
                    "never added: {event}"
                );
            }
            Some("DELETED") => assert!(self.view.remove(&key(&object)).is_some(), "never added: {event}"),
            _ => panic!("{event}"),
        }
        if self.initial && !matches!(self.way, Way::Plain) {
            return;
        }
        self.initial = false;
        let at = revision(&object);
        assert!(
            self.revision.is_none_or(|before| before <= at),
            "backwards to {at}: {event}"
        );
        self.revision = Some(at);
        assert_eq!(self.view, self.selection.of(world.at(at)), "after {event}");
    }

    /// A plain watch has its initial state when the view is a list at the newest revision in it, or a later one.
    fn settle(&mut self, world: &World, _: &Value) {
        let newest = self.view.values().map(revision).max().expect("an object");
        let now = world.at(u64::MAX);
        if self.view == self.selection.of(now) {
            (self.initial, self.revision) = (false, Some(newest));
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new().await;
    let mut clients: Vec<Client> = CLIENTS.into_iter().map(Client::new).collect();
    for client in &mut clients {
        client.read(&mut world).await;
    }
    for step in steps {
        let name = |n: usize| format!("p{n}");
        match step {
            Step::Create {
                namespace,
                name: n,
                colour,
            } => {
                world
                    .write("POST", NAMESPACES[namespace], "", &pod(&name(n), COLOURS[colour]))
                    .await;
            }
            Step::Paint {
                namespace,
                name: n,
                colour,
            } => {
                let body = json!({"metadata": {"labels": {"colour": COLOURS[colour]}}});
                world.write("PATCH", NAMESPACES[namespace], &name(n), &body).await;
            }
            Step::Phase {
                namespace,
                name: n,
                running,
            } => {
                let body = json!({"status": {"phase": if running { "Running" } else { "Pending" }}});
                world
                    .write(
                        "PATCH",
                        NAMESPACES[namespace],
                        &format!("{}/status", name(n)),
                        &body,
                    )
                    .await;
            }
            Step::Delete { namespace, name: n } => {
                world
                    .write("DELETE", NAMESPACES[namespace], &name(n), &Value::Null)
                    .await;
            }
            Step::Drop { client } => clients[client].lose(),
            Step::Read { client } => clients[client].read(&mut world).await,
            Step::Pages {
                selection,
                limit,
                between,
            } => {
                let selection = &SELECTIONS[selection];
                let (revision, view) = world.pages(selection, limit, between).await;
                assert_eq!(view, selection.of(world.at(revision)), "pages at {revision}");
                exact(&world, selection, revision).await;
            }
        }
    }
    for client in &mut clients {
        client.read(&mut world).await;
    }
}

/// A list at a revision of the past says what there was, or that it is gone.
async fn exact(world: &World, selection: &Selection, revision: u64) {
    let path = format!(
        "{}?resourceVersion={revision}&resourceVersionMatch=Exact{}",
        selection.path(),
        selection.parameters
    );
    let (code, list) = send(&world.server.admin, "GET", &path, &Value::Null).await;
    if code == 410 {
        return;
    }
    assert_eq!(code, 200, "{list}");
    let items = list["items"].as_array().expect("items");
    let view: View = items.iter().map(|o| (key(o), typed(o))).collect();
    assert_eq!(view, selection.of(world.at(revision)), "exactly at {revision}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_watched_is_what_is_listed(steps in prop::collection::vec(step(), 10..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
