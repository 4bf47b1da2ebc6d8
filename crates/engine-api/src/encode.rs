//! Documents that are not written as JSON: they are made as JSON, and become YAML or protobuf when they are whole (apiserver
//! `endpoints/handlers/responsewriters/writers.go`).
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::{
    answer::{Body, full},
    negotiate::{Encoding, of_errors},
    yaml,
};

/// What the media type of an answer says besides its encoding.
#[derive(Debug, Clone)]
pub struct Parameters(pub String);

/// The same answer in the encoding that its maker has noted, or, if it is a failure, that the client takes failures in.
pub async fn encoded(headers: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let mut response = rewritten(headers, response).await;
    let parameters = response.extensions_mut().remove::<Parameters>();
    let plain = response.headers().get(header::CONTENT_TYPE);
    let plain = plain.and_then(|v| v.to_str().ok());
    if let (Some(Parameters(parameters)), Some(plain)) = (parameters, plain)
        && let Ok(whole) = HeaderValue::try_from(format!("{plain}{parameters}"))
    {
        response.headers_mut().insert(header::CONTENT_TYPE, whole);
    }
    response
}

async fn rewritten(headers: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v == "application/json");
    let failed = response.status().as_u16() >= 400;
    let encoding = match response.extensions().get::<Encoding>() {
        Some(encoding) => *encoding,
        None if failed => of_errors(headers),
        None => Encoding::Json,
    };
    if !is_json || encoding == Encoding::Json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = body.collect().await else {
        return Response::from_parts(parts, full(""));
    };
    let bytes = bytes.to_bytes();
    let written = serde_json::from_slice::<Value>(&bytes).ok().and_then(|value| {
        Some(match encoding {
            Encoding::Json => return None,
            Encoding::Yaml => ("application/yaml", yaml::text(&value).into_bytes()),
            Encoding::Protobuf => (
                "application/vnd.kubernetes.protobuf",
                schema::encode_protobuf(&value)?,
            ),
        })
    });
    let Some((content_type, written)) = written else {
        return Response::from_parts(parts, full(bytes));
    };
    parts
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Response::from_parts(parts, full(written))
}
