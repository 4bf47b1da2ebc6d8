//! Response bodies: objects, lists, tables, partial metadata.
use bytes::{BufMut, Bytes, BytesMut};
use engine_store::Stored;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::Call,
    convert,
    negotiate::Format,
    registry::{Output, list::Page},
    status::{ApiError, Result},
    time,
};

/// What goes wrong while a body is sent.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A response body.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A response of known bytes.
pub fn bytes(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// A JSON response.
pub fn json(code: u16, body: &Value) -> Response<Body> {
    bytes(code, "application/json", body.to_string())
}

/// A plain text response.
pub fn text(code: u16, body: impl Into<Bytes>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", body)
}

/// A failure.
pub fn failure(error: &ApiError) -> Response<Body> {
    let mut response = json(error.code, &error.status());
    if let Some(seconds) = error
        .details
        .as_ref()
        .and_then(|d| d["retryAfterSeconds"].as_i64())
    {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// One object, in the form that was asked for.
pub fn object(
    call: &Call,
    kind: &KindInfo,
    format: Format,
    code: u16,
    output: Output,
) -> Result<Response<Body>> {
    if output.value()["kind"] == "Status" {
        return Ok(json(code, output.value()));
    }
    Ok(match format {
        Format::Json => match output {
            Output::Stored(stored) => bytes(code, "application/json", stored.json().clone()),
            Output::Made(value) => json(code, &value),
        },
        Format::Table => {
            let value = output.value();
            let version = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            json(
                code,
                &table(
                    call,
                    kind,
                    [value].into_iter(),
                    json!({"resourceVersion": version}),
                    true,
                ),
            )
        }
        Format::Partial => json(code, &partial(output.value())),
        Format::Protobuf => match schema::encode_protobuf(output.value()) {
            Some(body) => bytes(code, "application/vnd.kubernetes.protobuf", body),
            None => {
                return Err(ApiError::new(
                    406,
                    "NotAcceptable",
                    "this kind has no protobuf form here; ask for JSON",
                ));
            }
        },
    })
}

/// A list, in the form that was asked for.
pub fn list(call: &Call, kind: &KindInfo, format: Format, page: &Page) -> Result<Response<Body>> {
    let mut meta = json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        meta["continue"] = next.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        meta["remainingItemCount"] = remaining.into();
    }
    Ok(match format {
        Format::Json => {
            let head = json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": meta});
            bytes(200, "application/json", list_bytes(kind, &head, &page.items))
        }
        Format::Table => {
            let converted: Vec<_> = page
                .items
                .iter()
                .map(|o| convert::from_stored(kind, &o.value))
                .collect();
            json(
                200,
                &table(call, kind, converted.iter().map(AsRef::as_ref), meta, true),
            )
        }
        Format::Partial => {
            let items: Vec<_> = page.items.iter().map(|o| partial(&o.value)).collect();
            json(
                200,
                &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}),
            )
        }
        Format::Protobuf => {
            let items: Vec<_> = page
                .items
                .iter()
                .map(|o| convert::from_stored(kind, &o.value))
                .collect();
            let list = json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": meta, "items": items});
            match schema::encode_protobuf(&list) {
                Some(body) => bytes(200, "application/vnd.kubernetes.protobuf", body),
                None => {
                    return Err(ApiError::new(
                        406,
                        "NotAcceptable",
                        "this list has no protobuf form here; ask for JSON",
                    ));
                }
            }
        }
    })
}

/// A list's JSON text, from the texts of its objects that the store keeps.
fn list_bytes(kind: &KindInfo, head: &Value, items: &[std::sync::Arc<Stored>]) -> Bytes {
    let head = head.to_string();
    let mut out =
        BytesMut::with_capacity(head.len() + 16 + items.iter().map(|o| o.json().len() + 1).sum::<usize>());
    out.put_slice(&head.as_bytes()[..head.len() - 1]);
    out.put_slice(b",\"items\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        if convert::needed(kind) {
            out.put_slice(convert::from_stored(kind, &item.value).to_string().as_bytes());
        } else {
            out.put_slice(item.json());
        }
    }
    out.put_slice(b"]}");
    out.freeze()
}

/// `PartialObjectMetadata` of an object.
pub fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A Table of objects. Columns are left out in watch events after the first, as upstream does.
pub fn table<'a>(
    call: &Call,
    kind: &KindInfo,
    objects: impl Iterator<Item = &'a Value>,
    meta: Value,
    columns: bool,
) -> Value {
    let now = time::unix();
    let include = call.query.get("includeObject").unwrap_or("Metadata");
    let rows: Vec<Value> = objects
        .map(|object| {
            let mut row = json!({"cells": printers::cells(kind.definition, object, now)});
            match include {
                "None" => {}
                "Object" => row["object"] = object.clone(),
                _ => row["object"] = partial(object),
            }
            row
        })
        .collect();
    let definitions = if columns {
        json!(printers::columns(kind.definition))
    } else {
        Value::Null
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": definitions, "rows": rows})
}
