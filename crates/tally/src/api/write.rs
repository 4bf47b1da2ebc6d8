use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{Api, Response, body, busy, message};
use crate::{App, Params, Rejection, Request, StoreError, Written};

/// Items of a bulk request that are written at the same time; more wait their turn, so that one client cannot fill the queue.
const AT_ONCE: usize = 256;

impl Api {
    /// `/i`
    pub(super) async fn write(&self, params: Params) -> Response {
        let (app, request) = match self.admit(&params) {
            Ok(admitted) => admitted,
            Err(rejection) => return rejected(rejection),
        };
        match self.write_one(&app, &request).await {
            Ok(Written::Counted) => success(),
            Ok(Written::Duplicate) => {
                body(&json!({"result": "Success", "info": "Request ignored: Duplicate request"}))
            }
            Err(e) => self.not_written(&e),
        }
    }

    /// `/i/bulk`: items that cannot be read or belong to no app are passed over, as in Countly. The answer comes when all others are
    /// acknowledged.
    pub(super) async fn write_bulk(&self, params: Params) -> Response {
        let Some(items) = params
            .get("requests")
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
        else {
            return message(StatusCode::BAD_REQUEST, "Missing parameter \"requests\"");
        };
        let Value::Array(items) = items else {
            return message(StatusCode::BAD_REQUEST, "Invalid parameter \"requests\"");
        };
        let admitted = self.admit_bulk(&params, items);
        match self.write_in_order(&admitted).await {
            Ok(()) => success(),
            Err(e) => self.not_written(&e),
        }
    }

    /// Items without an `app_key` of their own have that of the whole. The checksum, for apps that want one, is that of the whole.
    fn admit_bulk(&self, params: &Params, items: Vec<Value>) -> Vec<(Arc<App>, Request)> {
        let mut admitted = Vec::new();
        for item in items {
            let Some(mut item) = Params::from_item(item) else {
                continue;
            };
            for name in ["app_key", "device_id"] {
                if let Some(value) = params.get(name) {
                    item.set_default(name, value);
                }
            }
            let Ok(request) = Request::parse(&item) else {
                continue;
            };
            let Ok(app) = self.app_for(&request.app_key) else {
                continue;
            };
            if app
                .salt
                .as_ref()
                .is_none_or(|salt| params.checksum_matches(salt) == Some(true))
            {
                admitted.push((app, request));
            }
        }
        admitted
    }

    /// What comes before a merge of two devices is settled before it, and what comes after it comes after it.
    async fn write_in_order(&self, admitted: &[(Arc<App>, Request)]) -> Result<(), StoreError> {
        for run in admitted.chunk_by(|_, (_, next)| next.old_device_id.is_none()) {
            let (first, rest) = run.split_at(1);
            for part in [first].into_iter().chain(rest.chunks(AT_ONCE)) {
                try_join_all(part.iter().map(|(app, request)| self.write_one(app, request))).await?;
            }
        }
        Ok(())
    }

    /// Who sends may send, and it has not been altered on the way.
    fn admit(&self, params: &Params) -> Result<(Arc<App>, Request), Rejection> {
        let request = Request::parse(params)?;
        let app = self.app_for(&request.app_key)?;
        if let Some(salt) = &app.salt {
            match params.checksum_matches(salt) {
                Some(true) => {}
                Some(false) => return Err(Rejection::BadChecksum),
                None => return Err(Rejection::NoChecksum),
            }
        }
        Ok((app, request))
    }

    pub(super) fn app_for(&self, key: &str) -> Result<Arc<App>, Rejection> {
        let app = self.apps.with_key(key).ok_or(Rejection::NoApp)?;
        if app.locked {
            return Err(Rejection::Locked);
        }
        if !app.active {
            return Err(Rejection::Inactive);
        }
        Ok(Arc::clone(app))
    }

    async fn write_one(&self, app: &Arc<App>, request: &Request) -> Result<Written, StoreError> {
        let written = self.store.write(app, request, jiff::Timestamp::now()).await?;
        if written == Written::Duplicate {
            self.metrics.duplicates.inc();
        } else {
            self.metrics
                .events
                .inc_by(request.events.iter().map(|e| e.count).sum());
            self.metrics.sessions.inc_by(u64::from(request.begin_session));
        }
        Ok(written)
    }

    fn not_written(&self, error: &StoreError) -> Response {
        match error {
            StoreError::Full => {
                self.metrics.refused.inc();
            }
            e => tracing::warn!("a write was not acknowledged: {e}"),
        }
        busy(error)
    }
}

fn rejected(rejection: Rejection) -> Response {
    let code = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
    message(code, &rejection.to_string())
}

/// By far the most frequent answer.
fn success() -> Response {
    let mut response = Response::new(Full::new(Bytes::from_static(br#"{"result":"Success"}"#)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}
