//! What form of answer the client asks for (apiserver `endpoints/handlers/negotiation`).
use http::{HeaderMap, header};
use serde_json::json;

use crate::status::{ApiError, Result};

/// What objects are written as.
pub const OBJECTS: [&str; 3] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
/// What lists are written as, which may be watched.
pub const LISTS: [&str; 5] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// What the router asks before a request gets to its handler: one of these types or any, whatever its parameters (go-restful
/// `route.go` matchesAccept, which knows no `application/*`).
pub fn routed(headers: &HeaderMap, produced: &[&str]) -> Result<()> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let fits = |range: &str| {
        let media = range.split(';').next().unwrap_or_default().trim();
        media == "*/*" || produced.contains(&media)
    };
    if accept.is_empty() || accept.split(',').any(fits) {
        return Ok(());
    }
    Err(ApiError {
        details: Some(json!({})),
        ..ApiError::new(
            406,
            "NotAcceptable",
            format!(
                "406: Not Acceptable\n\nAvailable representations: {}",
                produced.join(", ")
            ),
        )
    })
}

/// A document that has no other form than its own.
pub fn plain(headers: &HeaderMap) -> Result<Format> {
    negotiated(headers, Forms::DOCUMENT)
}

const ACCEPTED: &str = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
const STREAMED: &str = "only the following media types are accepted: application/json;stream=watch, \
     application/vnd.kubernetes.protobuf;stream=watch";

fn not_acceptable(why: &str) -> ApiError {
    ApiError::new(406, "NotAcceptable", why)
}

/// The text that objects are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes protobuf.
    Protobuf,
}

/// What of an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The object itself.
    Whole,
    /// A `Table` of it.
    Table,
    /// `PartialObjectMetadata`.
    Partial,
    /// `PartialObjectMetadataList`.
    PartialList,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// What of the object.
    pub what: What,
    /// `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`, of all but whole objects.
    pub version: &'static str,
    /// Written as this.
    pub encoding: Encoding,
}

impl Format {
    /// The object itself, as JSON.
    pub const JSON: Self = Self {
        what: What::Whole,
        version: "meta.k8s.io/v1",
        encoding: Encoding::Json,
    };
}

/// What a kind of endpoint can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forms {
    /// Whole objects have a protobuf form.
    pub protobuf: bool,
    /// Tables are made of them.
    pub table: bool,
    /// Their metadata are given alone.
    pub partial: bool,
}

impl Forms {
    /// Objects of Go types.
    pub const OBJECT: Self = Self {
        protobuf: true,
        table: true,
        partial: true,
    };
    /// Custom resources.
    pub const CUSTOM: Self = Self {
        protobuf: false,
        ..Self::OBJECT
    };
    /// What has no table: reviews, and subresources that are only written.
    pub const UNPRINTED: Self = Self {
        table: false,
        ..Self::OBJECT
    };
    /// Discovery, errors.
    pub const DOCUMENT: Self = Self {
        partial: false,
        ..Self::UNPRINTED
    };
}

/// One range of an Accept header.
struct Range<'a> {
    media: [&'a str; 2],
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// The ranges of an Accept header, those that are wanted most first (goautoneg `ParseAccept`).
fn ranges(accept: &str) -> Vec<Range<'_>> {
    let mut ranges: Vec<Range<'_>> = Vec::new();
    for part in accept.split(',') {
        let mut pieces = part.trim().split(';');
        let media = pieces.next().unwrap_or_default();
        let media = match media.split_once('/') {
            None if media.trim() == "*" => ["*", "*"],
            Some((kind, form)) if !form.is_empty() && !form.contains('/') => [kind.trim(), form.trim()],
            _ => continue,
        };
        let mut range = Range {
            media,
            quality: 1.0,
            parameters: Vec::new(),
        };
        for (name, value) in pieces.filter_map(|piece| piece.split_once('=')) {
            match name.trim() {
                _ if value.is_empty() || value.contains('=') => {}
                "q" => range.quality = value.trim().parse().unwrap_or_default(),
                name => range.parameters.push((name, value.trim())),
            }
        }
        ranges.push(range);
    }
    let before = |a: &Range<'_>, b: &Range<'_>| {
        a.quality > b.quality
            || a.media[0] != "*" && b.media[0] == "*"
            || a.media[1] != "*" && b.media[1] == "*"
    };
    // An order of its own, which is none where wildcards are weighed: Go's sort of a few is by insertion.
    for end in 1..ranges.len() {
        let mut at = end;
        while at > 0 && before(&ranges[at], &ranges[at - 1]) {
            ranges.swap(at, at - 1);
            at -= 1;
        }
    }
    ranges
}

/// Whether a range can be had as this, and then in which form (apiserver `endpoints/handlers/negotiation`, and `AllowsMediaTypeTransform`
/// of `endpoints/handlers/rest.go`).
fn fits(range: &Range<'_>, encoding: Encoding, forms: Forms) -> Option<Format> {
    let of = |name: &str| range.parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    if of("stream").is_some_and(|stream| encoding == Encoding::Yaml || stream != "watch")
        || of("sv").is_some_and(|version| version != "v1")
    {
        return None;
    }
    let mut format = Format {
        encoding,
        ..Format::JSON
    };
    if ["as", "g", "v"].iter().all(|name| of(name).is_none()) {
        return (forms.protobuf || encoding != Encoding::Protobuf).then_some(format);
    }
    if of("g") != Some("meta.k8s.io") {
        return None;
    }
    format.version = match of("v") {
        Some("v1") => "meta.k8s.io/v1",
        Some("v1beta1") => "meta.k8s.io/v1beta1",
        _ => return None,
    };
    format.what = match of("as") {
        Some("Table") if forms.table && encoding != Encoding::Protobuf => What::Table,
        Some("PartialObjectMetadata") if forms.partial => What::Partial,
        Some("PartialObjectMetadataList") if forms.partial => What::PartialList,
        _ => return None,
    };
    Some(format)
}

fn negotiated(headers: &HeaderMap, forms: Forms) -> Result<Format> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if accept.is_empty() {
        return Ok(Format::JSON);
    }
    let encodings = [
        (Encoding::Json, "json"),
        (Encoding::Yaml, "yaml"),
        (Encoding::Protobuf, "vnd.kubernetes.protobuf"),
    ];
    for range in ranges(accept) {
        let [kind, form] = range.media;
        for (encoding, name) in encodings {
            let named = kind == "application" && (form == name || form == "*") || kind == "*" && form == "*";
            if named && let Some(format) = fits(&range, encoding, forms) {
                return Ok(format);
            }
        }
    }
    Err(not_acceptable(ACCEPTED))
}

/// What the Accept header leaves for a page about the server (apiserver `server/statusz`, `server/flagz`): the version of this kind of
/// `config.k8s.io` and its encoding, or `None` for plain text.
pub fn page(headers: &HeaderMap, kind: &str) -> Result<Option<(&'static str, Encoding)>> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if accept.trim().is_empty() {
        return Ok(None);
    }
    for range in ranges(accept) {
        let of = |name: &str| range.parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        if of("stream").is_some() || of("sv").is_some() {
            continue;
        }
        let version = match of("v") {
            Some("v1alpha1") => "config.k8s.io/v1alpha1",
            Some("v1beta1") => "config.k8s.io/v1beta1",
            _ => "",
        };
        let known = of("as") == Some(kind) && of("g") == Some("config.k8s.io") && !version.is_empty();
        let bare = ["as", "g", "v"].iter().all(|name| of(name).is_none());
        match range.media {
            ["application", "json" | "*"] | ["*", "*"] if known => {
                return Ok(Some((version, Encoding::Json)));
            }
            ["application", "yaml"] if known => return Ok(Some((version, Encoding::Yaml))),
            ["text", "plain" | "*"] | ["*", "*"] if bare => return Ok(None),
            _ => {}
        }
    }
    Err(not_acceptable(
        "only the following media types are accepted: application/json, application/yaml, text/plain",
    ))
}

/// What the Accept header leaves for an object or list.
pub fn format(headers: &HeaderMap, forms: Forms) -> Result<Format> {
    negotiated(headers, forms)
}

/// The same for a watch, which YAML cannot be streamed for.
pub fn stream(format: Format) -> Result<Format> {
    if format.encoding == Encoding::Yaml {
        return Err(not_acceptable(STREAMED));
    }
    Ok(format)
}

/// The form of a `Status`: JSON where nothing else is left (apiserver `responsewriters.ErrorNegotiated`).
pub fn of_errors(headers: &HeaderMap) -> Encoding {
    negotiated(headers, Forms::DOCUMENT).map_or(Encoding::Json, |format| format.encoding)
}

/// Media types of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes protobuf.
    Protobuf,
}

/// The type of a request body; JSON when it is not said.
pub fn body_type(headers: &HeaderMap) -> Result<BodyType> {
    let raw = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let (media, parameters) = raw.split_once(';').unwrap_or((raw, ""));
    // The last semicolon needs nothing behind it (Go's `mime.ParseMediaType`).
    let mut parameters = parameters.strip_suffix(';').unwrap_or(parameters).split(';');
    let parsed = parameters.all(|said| said.is_empty() && !raw.contains(";;") || said.contains('='));
    match media.trim() {
        "" if raw.is_empty() => Ok(BodyType::Json),
        "application/json" if parsed => Ok(BodyType::Json),
        "application/yaml" if parsed => Ok(BodyType::Yaml),
        "application/vnd.kubernetes.protobuf" if parsed => Ok(BodyType::Protobuf),
        _ => Err(ApiError::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Result<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        format(&headers, Forms::OBJECT)
    }

    #[test]
    fn accepts() {
        let json = Encoding::Json;
        for (accept, what, version, encoding) in [
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                What::Table,
                "v1",
                json,
            ),
            (
                "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
                What::Table,
                "v1beta1",
                json,
            ),
            (
                "application/json;as=Table;v=v2;g=meta.k8s.io,application/json",
                What::Whole,
                "v1",
                json,
            ),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                What::Whole,
                "v1",
                Encoding::Protobuf,
            ),
            // A table has no protobuf form.
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, */*;q=0.1",
                What::Whole,
                "v1",
                json,
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
                What::Partial,
                "v1",
                Encoding::Protobuf,
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1",
                What::PartialList,
                "v1beta1",
                json,
            ),
            (
                "application/json;q=0.5, application/yaml",
                What::Whole,
                "v1",
                Encoding::Yaml,
            ),
            ("*/*, application/yaml", What::Whole, "v1", Encoding::Yaml),
            ("application/*", What::Whole, "v1", json),
            (
                "application/json;stream=watch;charset=utf-8",
                What::Whole,
                "v1",
                json,
            ),
        ] {
            let version = format!("meta.k8s.io/{version}");
            let found = of(accept).unwrap();
            assert_eq!(
                (found.what, found.version, found.encoding),
                (what, version.as_str(), encoding),
                "{accept}"
            );
        }
        for accept in [
            "text/html",
            "text/json",
            "application/json;v=v1",
            "application/json;as=Table;v=v1",
            "application/yaml;stream=watch",
            "application/json;sv=v2",
            "application",
        ] {
            assert_eq!(of(accept).unwrap_err().code, 406, "{accept}");
        }
    }

    #[test]
    fn routes() {
        let said = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            routed(&headers, &OBJECTS).map_err(|e| e.message)
        };
        for fine in ["", "*/*", "text/html, application/json;q=0.1", "application/yaml"] {
            assert_eq!(said(fine), Ok(()), "{fine}");
        }
        for bad in ["text/html", "application/*", "x", "text/json"] {
            assert_eq!(
                said(bad).unwrap_err(),
                "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                 application/vnd.kubernetes.protobuf",
                "{bad}"
            );
        }
    }
}
