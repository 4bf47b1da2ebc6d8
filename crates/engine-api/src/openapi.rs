//! OpenAPI: the documents of version 3 for each group version, and the one of version 2 for everything (kube-openapi
//! `pkg/handler`, `pkg/handler3`). Clients keep what they got by its hash, and ask whether it still holds.
use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, header};
use schema::OpenApiForm;
use sha2::{Digest as _, Sha256};

use crate::{
    aggregation::group_version,
    answer::{self, Body},
    api::{Api, Call},
    custom::Custom,
};

/// The documents of version 2 that were asked for, compressed (a sixth of a megabyte each), and what they were made of.
#[derive(Default)]
pub struct Cache(Mutex<Option<Cached>>);

struct Cached {
    hash: String,
    json: Option<Bytes>,
    protobuf: Option<Bytes>,
}

impl Cache {
    /// The document of this hash, compressed; made if it is not there. What was kept of another hash goes.
    fn get(&self, hash: &str, form: OpenApiForm, make: impl FnOnce() -> Vec<u8>) -> std::io::Result<Bytes> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|kept| kept.hash != hash) {
            *kept = None;
        }
        let kept = kept.get_or_insert_with(|| Cached {
            hash: hash.to_owned(),
            json: None,
            protobuf: None,
        });
        let place = match form {
            OpenApiForm::Json => &mut kept.json,
            OpenApiForm::Protobuf => &mut kept.protobuf,
        };
        if let Some(there) = place {
            return Ok(there.clone());
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&make())?;
        let packed = Bytes::from(packed.finish()?);
        *place = Some(packed.clone());
        Ok(packed)
    }
}

impl Api {
    /// `/openapi/v2`. Kinds that other servers serve are not in it.
    pub fn openapi_v2(&self, call: &Call) -> Response<Body> {
        let mut response = self.swagger(call);
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }

    fn swagger(&self, call: &Call) -> Response<Body> {
        let Some(form) = form(&call.headers) else {
            return answer::empty(406);
        };
        let customs = self.customs.all();
        let hash = hash(&customs);
        if holds(&call.headers, &hash) {
            return tagged(answer::empty(304), &hash);
        }
        let make = || {
            let described: Vec<_> = customs.iter().map(|c| c.described()).collect();
            schema::openapi_v2(form, &described)
        };
        let packed = self.described.get(&hash, form, make);
        let compressed = list(&call.headers, header::ACCEPT_ENCODING)
            .iter()
            .any(|(name, q)| name == "gzip" && *q > 0.0);
        let body = packed.and_then(|packed| {
            if compressed {
                return Ok(packed);
            }
            let mut plain = Vec::new();
            GzDecoder::new(&*packed).read_to_end(&mut plain)?;
            Ok(Bytes::from(plain))
        });
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "an OpenAPI document could not be packed");
                return answer::empty(503);
            }
        };
        let content_type = match form {
            OpenApiForm::Json => "application/json",
            OpenApiForm::Protobuf => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        };
        let mut response = answer::bytes(200, content_type, body);
        if compressed {
            let gzip = HeaderValue::from_static("gzip");
            response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
        }
        tagged(response, &hash)
    }

    /// `/openapi/v3` and the documents below it.
    pub fn openapi_v3(&self, call: &Call) -> Response<Body> {
        let path = call.route.path.trim_end_matches('/');
        let rest = path.trim_start_matches("/openapi/v3").trim_matches('/');
        if rest.is_empty() {
            // Go's server looks at how it begins, and takes it for text.
            return answer::bytes(200, "text/plain; charset=utf-8", self.openapi_index().to_string());
        }
        let customs = group_version(path).map(|(group, version)| self.customs_of(group, version));
        let customs = customs.unwrap_or_default();
        let hash = if customs.is_empty() {
            schema::openapi_state()
        } else {
            hash(&customs)
        };
        if holds(&call.headers, &hash) {
            return tagged(answer::empty(304), &hash);
        }
        let response = if customs.is_empty() {
            match schema::openapi_v3(rest) {
                Some(document) => answer::bytes(200, "application/json", document),
                None => return answer::empty(404),
            }
        } else {
            let described: Vec<_> = customs.iter().map(|c| c.described()).collect();
            answer::json(200, &schema::openapi_v3_custom(&described))
        };
        let mut response = tagged(response, &hash);
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }

    fn openapi_index(&self) -> serde_json::Value {
        let mut index = schema::openapi_v3_index();
        for ((group, version), remote) in self.remotes.all() {
            if let Some(url) = &remote.openapi {
                index["paths"][format!("apis/{group}/{version}")] =
                    serde_json::json!({"serverRelativeURL": url});
            }
        }
        for custom in self.customs.all() {
            let kind = custom.kind;
            let path = format!("apis/{}", kind.api_version());
            let hash = hash(&self.customs_of(kind.group, kind.version));
            let url = format!("/openapi/v3/{path}?hash={hash}");
            index["paths"][&path] = serde_json::json!({"serverRelativeURL": url});
        }
        index
    }
}

/// Differs whenever one of the definitions does, or the built-in kinds do.
fn hash(customs: &[Arc<Custom>]) -> String {
    let mut hash = Sha256::new();
    hash.update(schema::openapi_state());
    for custom in customs {
        hash.update(&custom.state);
        hash.update("/");
    }
    hex::encode_upper(hash.finalize())
}

pub fn tagged(mut response: Response<Body>, hash: &str) -> Response<Body> {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Whether what the client has of this is still so.
pub fn holds(headers: &HeaderMap, hash: &str) -> bool {
    let had = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = had.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    tags.any(|tag| {
        let tag = tag.trim().trim_start_matches("W/");
        tag == "*" || tag.trim_matches('"') == hash
    })
}

/// What a header lists, what is preferred first.
fn list(headers: &HeaderMap, name: header::HeaderName) -> Vec<(String, f32)> {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    let mut clauses: Vec<(String, f32)> = values
        .flat_map(|v| v.split(','))
        .map(|clause| {
            let (name, parameters) = clause.split_once(';').unwrap_or((clause, ""));
            let quality = parameters
                .split(';')
                .find_map(|p| p.trim().strip_prefix("q=")?.parse().ok());
            (name.trim().to_owned(), quality.unwrap_or(1.0))
        })
        .filter(|(name, _)| !name.is_empty())
        .collect();
    clauses.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    clauses
}

/// The form that the client prefers: the first that it names and that there is.
fn form(headers: &HeaderMap) -> Option<OpenApiForm> {
    let clauses = list(headers, header::ACCEPT);
    if clauses.is_empty() {
        return Some(OpenApiForm::Json);
    }
    clauses.iter().find_map(|(name, _)| match name.as_str() {
        "*/*" | "application/*" | "application/json" | "*/json" => Some(OpenApiForm::Json),
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
        | "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" => Some(OpenApiForm::Protobuf),
        _ => None,
    })
}
