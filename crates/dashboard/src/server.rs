use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::Stream;
use serde_json::json;
use tokio::net::TcpListener;

use crate::hub::now;
use crate::{Hub, Update};

/// The page's own files; nothing else is loaded, and the policy below has the browser hold to that.
const FILES: [(&str, &str, &str); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/dashboard.css",
        "text/css; charset=utf-8",
        include_str!("../page/dashboard.css"),
    ),
    (
        "/dashboard.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/dashboard.js"),
    ),
    (
        "/charts.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/charts.js"),
    ),
];
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A viewer that has gone shows at the latest when it is written to.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A browser that has lost the connection tries again after this.
const RETRY: Duration = Duration::from_millis(700);

/// The page, and the story as server-sent events.
pub fn router(hub: Arc<Hub>) -> Router {
    let mut router = Router::new()
        .route("/events", get(events))
        .route("/healthz", get(async || "ok"));
    for (path, kind, text) in FILES {
        router = router.route(path, get(async move || ([(header::CONTENT_TYPE, kind)], text)));
    }
    router
        .fallback(async || (StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(middleware::from_fn(guard))
        .with_state(hub)
}

/// Serves until the future is dropped; open streams of events end with it.
///
/// # Errors
/// When connections cannot be accepted any more.
pub async fn serve(listener: TcpListener, hub: Arc<Hub>) -> std::io::Result<()> {
    axum::serve(listener, router(hub)).await
}

/// A page of somebody else's, whose name was made to lead here (DNS rebinding), must not read what is shown: only names of this
/// machine are answered.
async fn guard(request: Request, next: Next) -> Response {
    if !is_local(request.headers(), request.uri()) {
        let text = "this page answers to localhost, *.localhost, 127.0.0.1 and [::1] only\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let mut response = next.run(request).await;
    let mut set = |name: HeaderName, value: &'static str| {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    response
}

fn is_local(headers: &HeaderMap, uri: &Uri) -> bool {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = named.or_else(|| uri.authority().map(http::uri::Authority::as_str)) else {
        return false;
    };
    let Ok(authority) = authority.parse::<http::uri::Authority>() else {
        return false;
    };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
}

async fn events(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    match hub.view(last) {
        Ok(view) => Sse::new(stream(view))
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response(),
        Err(full) => (StatusCode::SERVICE_UNAVAILABLE, format!("{full}\n")).into_response(),
    }
}

/// `story` is everything, `change` what has changed since; both with the time here, by which a page elsewhere counts.
fn stream(view: crate::View) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(view, async |mut view| {
        let event = match view.next().await {
            Update::Whole(cards) => Event::default()
                .event("story")
                .retry(RETRY)
                .json_data(json!({"now": now(), "cards": cards})),
            Update::Changes(changes) => Event::default()
                .event("change")
                .json_data(json!({"now": now(), "changes": changes})),
        };
        // Strings and numbers: that they become JSON cannot fail.
        let event = event.unwrap_or_default().id(view.last());
        Some((Ok(event), view))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::story::{Fact, Link};

    fn ask(path: &str, host: &str) -> http::request::Builder {
        Request::get(path).header("host", host)
    }

    async fn status(host: &str) -> StatusCode {
        let request = ask("/", host).body(Body::empty()).unwrap();
        router(Hub::new("x", "demo"))
            .oneshot(request)
            .await
            .unwrap()
            .status()
    }

    #[tokio::test]
    async fn only_names_of_this_machine_are_answered() {
        for host in [
            "localhost:7002",
            "LOCALHOST",
            "demo.localhost:7002",
            "127.0.0.1:1",
            "[::1]:7002",
            "localhost.:7002",
        ] {
            assert_eq!(status(host).await, StatusCode::OK, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:7002",
            "127.0.0.1.evil.example",
            "192.168.1.5:7002",
            "",
            "a@localhost.b",
            "notlocalhost",
        ] {
            assert_eq!(status(host).await, StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
    }

    #[tokio::test]
    async fn every_file_has_the_policy_and_names_nothing_outside() {
        for (path, kind, text) in FILES {
            let request = ask(path, "localhost").body(Body::empty()).unwrap();
            let answer = router(Hub::new("x", "demo")).oneshot(request).await.unwrap();
            assert_eq!(answer.headers()[header::CONTENT_TYPE], kind);
            assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            let outside = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !outside.contains("http:") && !outside.contains("https:"),
                "{path} names something outside"
            );
            assert!(
                !text.contains("innerHTML") && !text.contains(" style=") && !text.contains(" onclick="),
                "{path}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_begins_with_everything_and_goes_on_where_it_broke_off() {
        let hub = Hub::new("x", "demo");
        let open = async |last: Option<&str>| {
            let mut request = ask("/events", "localhost");
            if let Some(last) = last {
                request = request.header("last-event-id", last);
            }
            let answer = router(hub.clone())
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
            answer.into_body()
        };
        let frame = async |body: &mut Body| {
            String::from_utf8(body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
        };
        let id = |text: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix("id: "))
                .unwrap()
                .to_owned()
        };
        let mut body = open(None).await;
        let first = frame(&mut body).await;
        assert!(
            first.contains("event: story") && first.contains("\"name\":\"x\""),
            "{first}"
        );
        drop(body);
        hub.tell(Fact::Link(Link::Live, "v1.36.2".into()));
        let mut body = open(Some(&id(&first))).await;
        let second = frame(&mut body).await;
        assert!(
            second.contains("event: change") && second.contains("v1.36.2"),
            "{second}"
        );
        assert_ne!(id(&first), id(&second));
    }
}
