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
pub fn plain(headers: &HeaderMap) -> Result<()> {
    match format(headers)? {
        Format::Json | Format::Protobuf => Ok(()),
        Format::Table | Format::Partial => Err(not_acceptable()),
    }
}

fn not_acceptable() -> ApiError {
    ApiError::new(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The objects themselves.
    Json,
    /// `meta.k8s.io/v1` Table.
    Table,
    /// `meta.k8s.io/v1` PartialObjectMetadata(List).
    Partial,
    /// Kubernetes protobuf; only where nothing else is accepted.
    Protobuf,
}

/// What the Accept header leaves. JSON is preferred to protobuf wherever the client takes both.
pub fn format(headers: &HeaderMap) -> Result<Format> {
    let accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .collect::<Vec<_>>()
        .join(",");
    if accept.trim().is_empty() {
        return Ok(Format::Json);
    }
    let mut protobuf = false;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameter = |name: &str| {
            range
                .split(';')
                .skip(1)
                .filter_map(|p| p.trim().split_once('='))
                .find(|(k, _)| *k == name)
                .map(|(_, v)| v)
        };
        match media {
            "application/json" | "application/*" | "*/*" | "text/json" | "application/yaml" => {
                match parameter("as") {
                    None if parameter("g").is_none() && parameter("v").is_none() => return Ok(Format::Json),
                    Some("Table")
                        if parameter("g") == Some("meta.k8s.io") && parameter("v") == Some("v1") =>
                    {
                        return Ok(Format::Table);
                    }
                    Some("PartialObjectMetadata" | "PartialObjectMetadataList")
                        if parameter("g") == Some("meta.k8s.io") =>
                    {
                        return Ok(Format::Partial);
                    }
                    // Also `v` or `g` alone ask for something else.
                    _ => {}
                }
            }
            "application/vnd.kubernetes.protobuf" if parameter("as").is_none() => protobuf = true,
            _ => {}
        }
    }
    if protobuf {
        return Ok(Format::Protobuf);
    }
    Err(not_acceptable())
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
    match raw.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" | "*/*" => Ok(BodyType::Json),
        "application/yaml" => Ok(BodyType::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyType::Protobuf),
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
        format(&headers)
    }

    #[test]
    fn accepts() {
        assert_eq!(
            of("application/json;as=Table;v=v1;g=meta.k8s.io,application/json").unwrap(),
            Format::Table
        );
        assert_eq!(
            of("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json").unwrap(),
            Format::Json
        );
        assert_eq!(
            of("application/vnd.kubernetes.protobuf,application/json").unwrap(),
            Format::Json
        );
        assert_eq!(
            of("application/vnd.kubernetes.protobuf").unwrap(),
            Format::Protobuf
        );
        assert_eq!(
            of("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").unwrap(),
            Format::Partial
        );
        assert_eq!(of("text/html").unwrap_err().code, 406);
        assert_eq!(of("application/json;v=v1").unwrap_err().code, 406);
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
