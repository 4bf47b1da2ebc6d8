//! What this server serves: discovery in both forms, the OpenAPI index, the version.
use http::{HeaderMap, HeaderValue, Response, header};
use schema::KindInfo;
use serde_json::{Map, Value, json};

use crate::{
    answer::{self, Body},
    api::{Api, Call},
    status::{ApiError, Result},
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Groups in order, each with its versions in order of preference.
fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in schema::kinds() {
        match groups.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version),
            None => groups.push((kind.group, vec![kind.version])),
        }
    }
    groups
}

fn of(group: &str, version: &str) -> impl Iterator<Item = &'static KindInfo> {
    schema::kinds()
        .iter()
        .filter(move |k| k.group == group && k.version == version)
}

fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok());
    accept.flat_map(|v| v.split(',')).any(|range| {
        let has = |p: &str| range.split(';').any(|part| part.trim() == p);
        has("g=apidiscovery.k8s.io") && has("v=v2") && has("as=APIGroupDiscoveryList")
    })
}

/// Answer `/api`, `/apis` and what is below them, or `None` for another path.
pub fn answer(call: &Call) -> Option<Result<Response<Body>>> {
    let path = call.route.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let body = match parts.as_slice() {
        ["api"] if wants_aggregated(&call.headers) => return Some(Ok(aggregated(&[("", vec!["v1"])]))),
        ["apis"] if wants_aggregated(&call.headers) => {
            let named: Vec<_> = groups().into_iter().filter(|(g, _)| !g.is_empty()).collect();
            return Some(Ok(aggregated(&named)));
        }
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ["apis"] => {
            let list: Vec<Value> = groups()
                .iter()
                .filter(|(g, _)| !g.is_empty())
                .map(|(g, v)| group(g, v, false))
                .collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
        }
        ["api", "v1"] => resources("", "v1"),
        ["apis", name] => match groups().iter().find(|(g, _)| g == name) {
            Some((name, versions)) => group(name, versions, true),
            None => return Some(Err(ApiError::no_such_path())),
        },
        ["apis", group, version] if of(group, version).next().is_some() => resources(group, version),
        ["api" | "apis", ..] => return Some(Err(ApiError::no_such_path())),
        _ => return None,
    };
    Some(Ok(answer::json(200, &body)))
}

fn group(name: &str, versions: &[&str], alone: bool) -> Value {
    let all: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v}))
        .collect();
    let mut body = json!({"name": name, "versions": all, "preferredVersion": all[0]});
    if alone {
        body["kind"] = "APIGroup".into();
        body["apiVersion"] = "v1".into();
    }
    body
}

fn resources(group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for kind in of(group, version) {
        let mut entry = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs});
        if !kind.short_names.is_empty() {
            entry["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        list.push(entry);
        for sub in kind.subresource_table {
            let mut entry = json!({"name": format!("{}/{}", kind.plural, sub.name), "singularName": "",
                "namespaced": kind.namespaced, "kind": sub.kind, "verbs": sub.verbs});
            if (sub.group, sub.version) != (group, version) {
                entry["group"] = sub.group.into();
                entry["version"] = sub.version.into();
            }
            list.push(entry);
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list})
}

fn aggregated(groups: &[(&str, Vec<&str>)]) -> Response<Body> {
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = of(group, version).map(aggregated_resource).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let mut metadata = Map::new();
            if !group.is_empty() {
                metadata.insert("name".to_owned(), (*group).into());
            }
            metadata.insert("creationTimestamp".to_owned(), Value::Null);
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items});
    let mut response = answer::bytes(200, AGGREGATED, body.to_string());
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn aggregated_resource(kind: &'static KindInfo) -> Value {
    let mut entry = json!({
        "resource": kind.plural, "singularResource": kind.singular, "verbs": kind.verbs,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    if !kind.subresource_table.is_empty() {
        let subresources: Vec<Value> = kind
            .subresource_table
            .iter()
            .map(|s| {
                let own = (s.group, s.version) == (kind.group, kind.version);
                let (group, version) = if own { ("", "") } else { (s.group, s.version) };
                json!({"subresource": s.name, "verbs": s.verbs,
                    "responseKind": {"group": group, "version": version, "kind": s.kind}})
            })
            .collect();
        entry["subresources"] = subresources.into();
    }
    entry
}

/// `/openapi/v3` and the documents below it.
pub fn openapi(path: &str) -> Result<Response<Body>> {
    let rest = path.trim_start_matches("/openapi/v3").trim_matches('/');
    if !rest.is_empty() {
        let document = schema::openapi_v3(rest).ok_or_else(ApiError::no_such_path)?;
        return Ok(answer::bytes(200, "application/json", document));
    }
    Ok(answer::json(200, &schema::openapi_v3_index()))
}

/// `/openapi/v2`: kubectl asks for it before it says that it does not know a kind. The kinds are described in OpenAPI v3 only;
/// this document says so and describes none.
pub fn openapi_v2(call: &Call) -> Response<Body> {
    const TITLE: &str = "cncfdemo: see /openapi/v3";
    const VERSION: &str = "v1";
    let accept = call
        .headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if !accept.contains("proto-openapi.spec.v2") {
        let body = json!({"swagger": "2.0", "info": {"title": TITLE, "version": VERSION}, "paths": {}});
        return answer::json(200, &body);
    }
    // gnostic's openapi.v2.Document: swagger = 1, info = 2 (title = 1, version = 2), paths = 8.
    let field = |tag: u8, bytes: &[u8]| [&[tag << 3 | 2, bytes.len() as u8], bytes].concat();
    let info = [field(1, TITLE.as_bytes()), field(2, VERSION.as_bytes())].concat();
    let document = [field(1, b"2.0"), field(2, &info), field(8, &[])].concat();
    answer::bytes(
        200,
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        document,
    )
}

impl Api {
    /// `/version`.
    pub fn version(&self) -> Value {
        let version = &self.config.git_version;
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("36"));
        json!({
            "major": major, "minor": minor, "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
            "emulationMajor": major, "emulationMinor": minor, "minCompatibilityMajor": major,
            "minCompatibilityMinor": minor, "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            }),
        })
    }
}
