//! Response bodies: objects, lists, tables, partial metadata.
use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use schema::KindInfo;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    api::Call,
    bare, convert, custom,
    negotiate::{self, Encoding, Format, What},
    registry::{Output, body::go_type, list::Page},
    spread,
    status::{ApiError, Result},
    subresources::scale,
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

/// A JSON response; a line of its own, as upstream's encoder ends it.
pub fn json(code: u16, body: &Value) -> Response<Body> {
    if body["kind"] == "Status" {
        return status(code, body);
    }
    bytes(code, "application/json", line(body.to_string().as_bytes()))
}

fn line(json: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(json.len() + 1);
    line.extend_from_slice(json);
    line.put_u8(b'\n');
    line.freeze()
}

/// The keys of `metav1.Status` in upstream's order.
const STATUS: [&str; 8] = [
    "kind",
    "apiVersion",
    "metadata",
    "status",
    "message",
    "reason",
    "details",
    "code",
];

/// A `Status`, as upstream orders it: people read it on the terminal.
fn status(code: u16, body: &Value) -> Response<Body> {
    let parts = STATUS.iter().filter_map(|key| Some((key, body.get(key)?)));
    let parts: Vec<String> = parts
        .map(|(key, value)| format!("{key:?}:{}", ordered(value)))
        .collect();
    bytes(
        code,
        "application/json",
        line(format!("{{{}}}", parts.join(",")).as_bytes()),
    )
}

/// `metav1.StatusDetails` begin with what was meant.
fn ordered(value: &Value) -> String {
    const FIRST: [&str; 4] = ["name", "group", "kind", "uid"];
    let Value::Object(map) = value else {
        return value.to_string();
    };
    let first = FIRST.iter().filter_map(|key| Some((*key, map.get(*key)?)));
    let rest = map
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .filter(|(key, _)| !FIRST.contains(key));
    let parts: Vec<String> = first
        .chain(rest)
        .map(|(key, value)| format!("{key:?}:{value}"))
        .collect();
    format!("{{{}}}", parts.join(","))
}

/// A plain text response.
pub fn text(code: u16, body: impl Into<Bytes>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", body)
}

/// What Go's own server says of a path that it does not know.
pub fn page_not_found() -> Response<Body> {
    let mut response = text(404, "404 page not found\n");
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// What is said of a path that ends before its resource (apiserver `endpoints/filters/requestinfo.go`).
pub fn unfinished(path: &str) -> Response<Body> {
    let told = format!(
        "Internal Server Error: {path:?}: failed to create RequestInfo: unable to determine kind and namespace from url, {path}\n"
    );
    let mut response = text(500, told);
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// A code and nothing else.
pub fn empty(code: u16) -> Response<Body> {
    let mut response = bytes(code, "text/plain", Bytes::new());
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// A failure.
pub fn failure(error: &ApiError) -> Response<Body> {
    let mut response = status(error.code, &error.status());
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

/// A JSON document that is to be written in the encoding that was asked for, see [`crate::encode`].
pub fn made(format: Format, code: u16, body: &Value) -> Response<Body> {
    let mut response = json(code, body);
    response.extensions_mut().insert(format.encoding);
    response
}

/// What has no table: whole, or its metadata alone.
pub fn unprinted(format: Format, code: u16, body: &Value) -> Response<Body> {
    match format.what {
        What::Partial => made(format, code, &partial(body, format.version)),
        _ => made(format, code, body),
    }
}

/// What a client gets that asked for protobuf of what has none here: JSON, if it takes that, too.
pub fn without_protobuf(call: &Call) -> Result<Format> {
    negotiate::format(&call.headers, negotiate::Forms::CUSTOM).map_err(|_| {
        ApiError::new(
            406,
            "NotAcceptable",
            "this has no protobuf form here; ask for JSON",
        )
    })
}

/// One object, in the form that was asked for.
pub fn object(
    call: &Call,
    kind: &KindInfo,
    format: Format,
    code: u16,
    output: Output,
) -> Result<Response<Body>> {
    if let Output::Made(value) = &output
        && value["kind"] == "Status"
    {
        return Ok(made(format, code, value));
    }
    Ok(match format.what {
        What::Whole if format.encoding == Encoding::Protobuf => {
            match schema::encode_protobuf(&output.value()) {
                Some(body) => bytes(code, "application/vnd.kubernetes.protobuf", body),
                None => return object(call, kind, without_protobuf(call)?, code, output),
            }
        }
        What::Whole => match output {
            Output::Stored(stored) => {
                let mut response = bytes(code, "application/json", line(&stored.json()));
                response.extensions_mut().insert(format.encoding);
                response
            }
            Output::Made(value) => made(format, code, &value),
        },
        What::Table => {
            check_include(call)?;
            let value = output.value();
            let version = value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let meta = json!({"resourceVersion": version});
            made(
                format,
                code,
                &table(call, kind, format.version, [&*value].into_iter(), meta, true),
            )
        }
        What::Partial => made(format, code, &partial(&output.value(), format.version)),
        What::PartialList if custom::is(kind) => return Err(ApiError::new(500, "", "content is not a list")),
        What::PartialList => {
            return Err(ApiError::new(
                406,
                "NotAcceptable",
                format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a list ({})",
                    go_type(kind, "")
                ),
            ));
        }
    })
}

/// A list, in the form that was asked for.
pub fn list(call: &Call, kind: &KindInfo, format: Format, page: &Page) -> Result<Response<Body>> {
    let mut meta = json!({"resourceVersion": page.revision.to_string()});
    if custom::is(kind) && format.what == What::Whole {
        // An unstructured list has no fields that are left out when empty.
        meta["continue"] = "".into();
    }
    if let Some(next) = &page.next {
        meta["continue"] = next.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        meta["remainingItemCount"] = remaining.into();
    }
    Ok(match format.what {
        What::Whole if format.encoding == Encoding::Protobuf => {
            let head = json!({"kind": list_kind(kind), "apiVersion": kind.api_version(), "metadata": meta});
            match protobuf_list(kind, &head, page) {
                Some(body) => bytes(200, "application/vnd.kubernetes.protobuf", body),
                None => return list(call, kind, without_protobuf(call)?, page),
            }
        }
        What::Whole => {
            let head = format!(
                "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{meta}",
                list_kind(kind),
                kind.api_version()
            );
            let items = spread::out(&page.items, |out, item| {
                if custom::is(kind) {
                    return element(out, &*convert::from_stored(kind, &item.look()));
                }
                out.push(b',');
                if convert::needed(kind) {
                    let converted = convert::from_stored(kind, &item.look()).to_string();
                    bare::put(out, converted.as_bytes());
                } else {
                    bare::put(out, &item.json());
                }
                Some(())
            });
            listing(format, head + "}", "items", items)?
        }
        What::Table => {
            check_include(call)?;
            let now = time::unix();
            let head = json!({"kind": "Table", "apiVersion": format.version, "metadata": meta, "columnDefinitions": columns_of(kind)});
            let mut items: Vec<_> = page.items.iter().collect();
            if kind.plural == "flowschemas" {
                // In the order in which they are tried (`pkg/printers/internalversion/printers.go` printFlowSchemaList).
                items.sort_by_key(|object| object.look()["spec"]["matchingPrecedence"].as_i64());
            }
            let rows = spread::out(&items, |out, object| {
                let object = object.look();
                let object = convert::from_stored(kind, &object);
                element(out, &row(call, kind, format.version, &object, now))
            });
            listing(format, head.to_string(), "rows", rows)?
        }
        What::Partial => {
            return Err(ApiError::new(
                406,
                "NotAcceptable",
                format!(
                    "you requested PartialObjectMetadata, but the requested object is a list ({})",
                    go_type(kind, "List")
                ),
            ));
        }
        What::PartialList => {
            let mut head =
                json!({"kind": "PartialObjectMetadataList", "apiVersion": format.version, "metadata": meta});
            if page.items.is_empty() {
                // Go's list of none is null.
                head["items"] = Value::Null;
                made(format, 200, &head)
            } else {
                let items = spread::out(&page.items, |out, object| {
                    element(out, &Partial::of(&object.look(), format.version))
                });
                listing(format, head.to_string(), "items", items)?
            }
        }
    })
}

/// A document whose last field is a list: JSON without it, and its elements, with a comma before each, in parts.
fn listing(
    format: Format,
    mut head: String,
    field: &str,
    elements: Option<Vec<Vec<u8>>>,
) -> Result<Response<Body>> {
    let parts = elements
        .ok_or_else(|| ApiError::new(500, "InternalError", "an object of the list cannot be written"))?;
    head.pop();
    let _ = write!(head, ",{field:?}:[");
    let length = parts.iter().map(Vec::len).sum::<usize>();
    let mut out = BytesMut::with_capacity(head.len() + length + 3);
    out.put_slice(head.as_bytes());
    let mut comma = 1;
    for part in &parts {
        out.put_slice(part.get(comma..).unwrap_or_default());
        comma = 0;
    }
    out.put_slice(b"]}\n");
    let mut response = bytes(200, "application/json", out);
    response.extensions_mut().insert(format.encoding);
    Ok(response)
}

/// An element of a list in JSON.
fn element(out: &mut Vec<u8>, element: &impl Serialize) -> Option<()> {
    out.push(b',');
    serde_json::to_writer(out, element).ok()
}

fn protobuf_list(kind: &KindInfo, head: &Value, page: &Page) -> Option<Vec<u8>> {
    let list = schema::ProtobufList::begin(head, kind.kind)?;
    let parts = spread::out(&page.items, |out, object| {
        list.put(out, &convert::from_stored(kind, &object.look()))
    })?;
    Some(list.finish(&parts))
}

/// `PartialObjectMetadata` of an object.
pub fn partial(object: &Value, version: &str) -> Value {
    json!(Partial::of(object, version))
}

/// The same, to be written.
#[derive(Serialize)]
struct Partial<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'static str,
    metadata: &'a Value,
}

impl<'a> Partial<'a> {
    fn of(object: &'a Value, version: &'a str) -> Self {
        Self {
            api_version: version,
            kind: "PartialObjectMetadata",
            metadata: &object["metadata"],
        }
    }
}

/// A Scale, which has no kind of its own in discovery.
pub fn scale(call: &Call, of: &KindInfo, format: Format, object: Value) -> Result<Response<Body>> {
    let kind = scale::kind();
    if format.what != What::Table || !custom::is(of) {
        return self::object(call, &kind, format, 200, Output::made(object));
    }
    check_include(call)?;
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let meta = json!({"resourceVersion": version});
    let mut table = table(call, &kind, format.version, std::iter::once(&object), meta, true);
    // Those of custom resources have columns as these have (apiextensions `pkg/apiserver/customresource_handler.go`, scaleColumns).
    let columns = &mut table["columnDefinitions"];
    columns[0]["format"] = "name".into();
    columns[1]["description"] = "Number of desired replicas".into();
    columns[2]["description"] = "Number of actual replicas".into();
    columns[3]["type"] = "date".into();
    Ok(made(format, 200, &table))
}

fn cells(kind: &KindInfo, object: &Value, now: i64) -> Vec<Value> {
    let Some(custom) = custom::of(kind) else {
        return printers::cells(kind.definition, object, now);
    };
    // Where none is known, as in a bookmark, it is the empty one.
    let mut cells = vec![Value::from(
        object["metadata"]["name"].as_str().unwrap_or_default(),
    )];
    cells.extend(structural::cells(&custom.columns, object, now));
    cells
}

fn columns_of(kind: &KindInfo) -> Value {
    let standard = printers::columns(kind.definition);
    let Some(custom) = custom::of(kind) else {
        return json!(standard);
    };
    let mut columns = vec![json!(standard[0])];
    columns.extend(custom.columns.iter().map(|c| c.definition.clone()));
    columns.into()
}

/// The kind of lists of this kind.
fn list_kind(kind: &KindInfo) -> String {
    custom::of(kind).map_or_else(|| format!("{}List", kind.kind), |custom| custom.list_kind.clone())
}

/// What the rows of a Table may carry (apimachinery `apis/meta/v1/validation` ValidateTableOptions).
fn check_include(call: &Call) -> Result<()> {
    match call.query.get("includeObject").unwrap_or_default() {
        "" | "None" | "Metadata" | "Object" => Ok(()),
        other => Err(ApiError::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be 'Metadata', 'Object', 'None', or \
             empty"
        ))),
    }
}

/// `metav1.TableRow`.
#[derive(Serialize)]
struct Row<'a> {
    cells: Vec<Value>,
    object: InRow<'a>,
}

/// What `includeObject` asks for.
#[derive(Serialize)]
#[serde(untagged)]
enum InRow<'a> {
    Nothing,
    Metadata(Partial<'a>),
    Whole(&'a Value),
}

fn row<'a>(call: &Call, kind: &KindInfo, version: &'a str, object: &'a Value, now: i64) -> Row<'a> {
    let in_row = match call.query.get("includeObject").unwrap_or("Metadata") {
        "None" => InRow::Nothing,
        "Object" => InRow::Whole(object),
        _ => InRow::Metadata(Partial::of(object, version)),
    };
    Row {
        cells: cells(kind, object, now),
        object: in_row,
    }
}

/// A Table of objects. Columns are left out in watch events after the first, as upstream does.
pub fn table<'a>(
    call: &Call,
    kind: &KindInfo,
    version: &str,
    objects: impl Iterator<Item = &'a Value>,
    meta: Value,
    columns: bool,
) -> Value {
    let now = time::unix();
    let rows: Vec<Row<'_>> = objects
        .map(|object| row(call, kind, version, object, now))
        .collect();
    let definitions = if columns { columns_of(kind) } else { Value::Null };
    json!({"kind": "Table", "apiVersion": version, "metadata": meta, "columnDefinitions": definitions, "rows": rows})
}
