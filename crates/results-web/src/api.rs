use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query as Params, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use results::{Rules, Run};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

use crate::{Added, Demo, Error, Page, Query, State, Store, demos, openapi, pages};

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// What submissions must show.
    pub token: String,
    /// Largest document in bytes.
    pub largest: usize,
    /// Submissions in a minute, over all who submit.
    pub per_minute: u32,
}

#[derive(Clone)]
struct Server {
    store: Arc<Store>,
    config: Arc<Config>,
    news: broadcast::Sender<Demo>,
    /// Since when submissions are counted, and how many there were.
    counted: Arc<Mutex<(Instant, u32)>>,
}

/// The whole server.
pub fn router(store: Arc<Store>, config: Config) -> Router {
    let largest = config.largest;
    let server = Server {
        store,
        config: Arc::new(config),
        news: broadcast::channel(256).0,
        counted: Arc::new(Mutex::new((Instant::now(), 0))),
    };
    Router::new()
        .route("/", get(index))
        .route("/runs/{id}", get(run_page))
        .route("/compare", get(compare_page))
        .route("/demos/{id}", get(demo_page))
        .route("/openapi.json", get(async || Json(openapi::document())))
        .route("/api/v1/runs", get(list).post(submit))
        .route("/api/v1/runs/{id}", get(run))
        .route("/api/v1/compare", get(compare))
        .route("/api/v1/demos", get(all_demos).post(new_demo))
        .route("/api/v1/demos/{id}", get(demo).put(upsert_demo))
        .route("/api/v1/demos/{id}/stop", post(stop_demo))
        .route("/api/v1/demos/{id}/finish", post(finish_demo))
        .route("/api/v1/events", get(events))
        .fallback(async || Error::NotFound("page of that address".to_owned()))
        .layer(DefaultBodyLimit::max(largest))
        .with_state(server)
}

/// Serves until the task is dropped.
pub async fn serve(
    listener: tokio::net::TcpListener,
    store: Arc<Store>,
    config: Config,
) -> std::io::Result<()> {
    axum::serve(listener, router(store, config)).await
}

impl Server {
    /// Who may change things, and how often.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Error> {
        let shown = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let shown = shown.strip_prefix("Bearer ").unwrap_or_default();
        if self.config.token.is_empty() || !same(shown.as_bytes(), self.config.token.as_bytes()) {
            return Err(Error::Unauthorized);
        }
        let mut counted = self
            .counted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if counted.0.elapsed().as_secs() >= 60 {
            *counted = (Instant::now(), 0);
        }
        if counted.1 >= self.config.per_minute {
            return Err(Error::TooMany(self.config.per_minute));
        }
        counted.1 += 1;
        Ok(())
    }

    /// Runs what touches the disk where it holds nobody up.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(|e| Error::Store(e.to_string()))?
    }

    async fn change(
        &self,
        id: String,
        change: impl FnOnce(Option<Demo>) -> Result<Demo, Error> + Send + 'static,
    ) -> Result<Demo, Error> {
        demos::check_id(&id)?;
        let demo = self.blocking(move |store| store.change_demo(&id, change)).await?;
        // Nobody may be listening.
        let _ = self.news.send(demo.clone());
        Ok(demo)
    }
}

/// Equal, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

type Listed = Result<Params<Query>, QueryRejection>;
type Told = Result<Json<Map<String, Value>>, JsonRejection>;

fn listed(query: Listed) -> Result<Query, Error> {
    query
        .map(|Params(q)| q)
        .map_err(|e| Error::Invalid(e.body_text()))
}

/// A body that is no JSON object, too large or of another type, with the status that says so.
#[allow(clippy::result_large_err, reason = "it is made once a refused request")]
fn told(body: Told) -> Result<Map<String, Value>, Response> {
    body.map(|Json(map)| map)
        .map_err(|e| (e.status(), Json(json!({"error": e.body_text()}))).into_response())
}

async fn index(Shared(server): Shared<Server>, query: Listed) -> Result<Response, Error> {
    let query = listed(query)?;
    server
        .blocking(move |store| {
            let running = store.demos()?.into_iter().filter(|d| d.state == State::Running);
            pages::index(&query, &store.list(&query)?, store.choices()?, running.collect())
        })
        .await
}

async fn list(Shared(server): Shared<Server>, query: Listed) -> Result<Json<Page>, Error> {
    let query = listed(query)?;
    Ok(Json(server.blocking(move |store| store.list(&query)).await?))
}

async fn run(Shared(server): Shared<Server>, Path(id): Path<String>) -> Result<Json<Run>, Error> {
    Ok(Json(server.blocking(move |store| store.get(&id)).await?))
}

async fn run_page(Shared(server): Shared<Server>, Path(id): Path<String>) -> Result<Response, Error> {
    let run = server.blocking(move |store| store.get(&id)).await?;
    pages::html(report::html(&run))
}

async fn submit(
    Shared(server): Shared<Server>,
    headers: HeaderMap,
    body: Result<String, axum::extract::rejection::StringRejection>,
) -> Result<Response, Error> {
    server.admit(&headers)?;
    let text = match body {
        Ok(text) => text,
        Err(e) => return Ok((e.status(), Json(json!({"error": e.body_text()}))).into_response()),
    };
    let run = Run::read(&text).map_err(|e| Error::Invalid(format!("not a run document: {e}")))?;
    if let Some(wrong) = results::verify(&run).first() {
        let (place, written, computed) = (&wrong.place, &wrong.written, &wrong.computed);
        return Err(Error::Invalid(format!(
            "{place} says {written}, the document's own data say {computed}"
        )));
    }
    let id = run.id.clone();
    let added = server.blocking(move |store| store.add(&run)).await?;
    let status = if added == Added::New {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(json!({"id": id, "page": format!("/runs/{id}")}))).into_response())
}

struct Sides {
    base: String,
    others: Vec<String>,
}

impl Sides {
    /// From a query: `base` once, `other` as often as there are others (each may be several ids with commas); or `pick` for each
    /// of two or more, of which the first is the base.
    fn read(query: &[(String, String)]) -> Result<Sides, Error> {
        let all = |name: &str| -> Vec<String> {
            let values = query.iter().filter(|(key, _)| key == name);
            values
                .flat_map(|(_, v)| v.split(','))
                .map(str::to_owned)
                .collect()
        };
        let mut picked = all("pick").into_iter();
        let base = all("base").into_iter().next().or_else(|| picked.next());
        let others: Vec<String> = all("other").into_iter().chain(picked).take(MOST_SIDES).collect();
        match base {
            Some(base) if !others.is_empty() => Ok(Sides { base, others }),
            _ => Err(Error::Invalid(
                "say what to compare: `base` and `other`, or two or more `pick`".to_owned(),
            )),
        }
    }
}

/// Compared at once.
const MOST_SIDES: usize = 20;

type Picked = Result<Params<Vec<(String, String)>>, QueryRejection>;

async fn comparisons(server: &Server, sides: Picked) -> Result<Vec<results::Comparison>, Error> {
    let Params(sides) = sides.map_err(|e| Error::Invalid(e.body_text()))?;
    let sides = Sides::read(&sides)?;
    server
        .blocking(move |store| {
            let base = store.get(&sides.base)?;
            let others = sides.others.iter();
            others
                .map(|id| Ok(results::compare(&[&base], &[&store.get(id)?], Rules::default())))
                .collect()
        })
        .await
}

async fn compare(
    Shared(server): Shared<Server>,
    sides: Picked,
) -> Result<Json<Vec<results::Comparison>>, Error> {
    Ok(Json(comparisons(&server, sides).await?))
}

async fn compare_page(Shared(server): Shared<Server>, sides: Picked) -> Result<Response, Error> {
    let comparisons = comparisons(&server, sides).await?;
    pages::html(report::comparison_html(&comparisons))
}

async fn all_demos(Shared(server): Shared<Server>) -> Result<Json<Vec<Demo>>, Error> {
    Ok(Json(server.blocking(Store::demos).await?))
}

async fn demo(Shared(server): Shared<Server>, Path(id): Path<String>) -> Result<Json<Demo>, Error> {
    let named = format!("demo `{id}`");
    server
        .blocking(move |store| store.demo(&id))
        .await?
        .map(Json)
        .ok_or(Error::NotFound(named))
}

async fn demo_page(Shared(server): Shared<Server>, Path(id): Path<String>) -> Result<Response, Error> {
    let named = format!("demo `{id}`");
    let demo = server.blocking(move |store| store.demo(&id)).await?;
    pages::demo(&demo.ok_or(Error::NotFound(named))?)
}

async fn new_demo(Shared(server): Shared<Server>, headers: HeaderMap, body: Told) -> Result<Response, Error> {
    server.admit(&headers)?;
    let mut data = match told(body) {
        Ok(data) => data,
        Err(refused) => return Ok(refused),
    };
    let Some(Value::String(id)) = data.remove("id") else {
        return Err(Error::Invalid(
            "a new demo has an `id`, which is a string".to_owned(),
        ));
    };
    let name = id.clone();
    let make = move |old: Option<Demo>| match old {
        Some(_) => Err(Error::Conflict(format!("demo `{name}` is there already"))),
        None => Ok(Demo::new(&name, data)),
    };
    Ok((StatusCode::CREATED, Json(server.change(id, make).await?)).into_response())
}

async fn upsert_demo(
    Shared(server): Shared<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Told,
) -> Result<Response, Error> {
    server.admit(&headers)?;
    let data = match told(body) {
        Ok(data) => data,
        Err(refused) => return Ok(refused),
    };
    let name = id.clone();
    let change = move |old: Option<Demo>| match old {
        Some(demo) => demo.told(data),
        None => Ok(Demo::new(&name, data)),
    };
    Ok(Json(server.change(id, change).await?).into_response())
}

async fn end(server: Server, id: String, headers: &HeaderMap, state: State) -> Result<Json<Demo>, Error> {
    server.admit(headers)?;
    let named = format!("demo `{id}`");
    let change = move |old: Option<Demo>| old.ok_or(Error::NotFound(named))?.ended(state);
    Ok(Json(server.change(id, change).await?))
}

async fn stop_demo(
    Shared(server): Shared<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Demo>, Error> {
    end(server, id, &headers, State::Stopped).await
}

async fn finish_demo(
    Shared(server): Shared<Server>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Demo>, Error> {
    end(server, id, &headers, State::Finished).await
}

#[derive(Deserialize)]
struct Which {
    /// Only of this one.
    demo: Option<String>,
}

/// Every change of every demo, or of one, from now on.
async fn events(
    Shared(server): Shared<Server>,
    Params(which): Params<Which>,
) -> Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>> {
    // Who is too slow misses some news, and sees where things stand with the next.
    let news = BroadcastStream::new(server.news.subscribe()).filter_map(Result::ok);
    let wanted = news.filter(move |demo| which.demo.as_ref().is_none_or(|id| *id == demo.id));
    let events = wanted.filter_map(|demo| {
        Event::default()
            .event("demo")
            .id(&demo.id)
            .json_data(&demo)
            .ok()
            .map(Ok)
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
