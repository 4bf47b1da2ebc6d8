//! `run/control.sock`: what the engine does to its own nodes on request, for whoever owns the cluster's folder. See
//! [`crate::chaos`] for the other end.
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{self, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::fleet::{Fleet, Refused};
use crate::chaos::LONGEST;
use crate::outages::Kind;
use crate::{Error, Paths};

#[derive(Deserialize)]
struct Until {
    /// Seconds from now.
    #[serde(rename = "for")]
    seconds: f64,
}

/// Serves until dropped.
pub(super) fn serve(paths: &Paths, fleet: Arc<Fleet>) -> Result<JoinHandle<()>, Error> {
    let listener = listen(paths)?;
    let routes = Router::new()
        .route("/nodes", get(nodes))
        .route("/nodes/{node}/stop", post(stop))
        .route("/nodes/{node}/cut", post(cut))
        .route("/nodes/{node}/restore", post(restore))
        .with_state(fleet);
    Ok(tokio::spawn(async move {
        // Comes back only with an error, and `axum::serve` has none.
        let _ = axum::serve(listener, routes).await;
    }))
}

/// A socket that only its owner may use: it gets its name once it has its mode.
fn listen(paths: &Paths) -> Result<UnixListener, Error> {
    let (path, run) = (paths.control_socket(), paths.run());
    let failed = || Error::file("listen on", &path);
    // A socket's path may have 107 bytes; the folder's own may be longer.
    let folder = File::open(&run).map_err(failed())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    let new = short.join("control.new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed()(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&new).map_err(failed())?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed())?;
    fs::rename(&new, &path).map_err(failed())?;
    Ok(listener)
}

async fn nodes(State(fleet): State<Arc<Fleet>>) -> Response {
    Json(json!({"nodes": fleet.states().await})).into_response()
}

async fn stop(
    State(fleet): State<Arc<Fleet>>,
    extract::Path(node): extract::Path<String>,
    Query(until): Query<Until>,
) -> Response {
    take_out(&fleet, &node, Kind::Stopped, &until).await
}

async fn cut(
    State(fleet): State<Arc<Fleet>>,
    extract::Path(node): extract::Path<String>,
    Query(until): Query<Until>,
) -> Response {
    take_out(&fleet, &node, Kind::Cut, &until).await
}

async fn restore(State(fleet): State<Arc<Fleet>>, extract::Path(node): extract::Path<String>) -> Response {
    answer(fleet.restore(&node).await)
}

async fn take_out(fleet: &Fleet, node: &str, kind: Kind, until: &Until) -> Response {
    let length = Duration::try_from_secs_f64(until.seconds)
        .ok()
        .filter(|length| !length.is_zero() && *length <= LONGEST);
    let Some(length) = length else {
        let reason = format!(
            "`for` is a number of seconds, more than 0 and at most {}",
            LONGEST.as_secs()
        );
        return refusal(StatusCode::BAD_REQUEST, &reason);
    };
    answer(fleet.take_out(node, kind, Timestamp::now() + length).await)
}

fn answer(done: Result<crate::chaos::NodeState, Refused>) -> Response {
    match done {
        Ok(state) => Json(state).into_response(),
        Err(refused) => {
            let code = match refused {
                Refused::Unknown(_) => StatusCode::NOT_FOUND,
                Refused::Otherwise { .. } => StatusCode::CONFLICT,
                Refused::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            refusal(code, &refused.to_string())
        }
    }
}

fn refusal(code: StatusCode, reason: &str) -> Response {
    (code, Json(json!({"error": reason}))).into_response()
}
