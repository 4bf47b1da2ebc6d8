//! What this server serves: discovery in both forms, the version.
use std::{cmp::Reverse, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, Response, header};
use schema::KindInfo;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    aggregation::{Remote, priority},
    answer::{self, Body},
    api::{Api, Call},
    convert,
    custom::{self, Custom},
    health, negotiate, openapi, resource_metrics,
    status::{ApiError, Result},
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A version of a group, and who serves it.
struct Version {
    name: String,
    priority: i64,
    source: Source,
}

enum Source {
    /// This server's kinds.
    Kinds,
    /// This server's resource metrics.
    Metrics,
    /// Kinds that clients have defined.
    Custom,
    /// Another server.
    Remote(Arc<Remote>),
}

/// A group, its versions in order of preference.
struct Group {
    name: String,
    priority: i64,
    versions: Vec<Version>,
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

impl Api {
    /// All groups but the core one: by priority, then by name, as kube-aggregator orders them.
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut add = |group: &str, version: &str, (minimum, priority): (i64, i64), source: Source| {
            let at = groups.iter().position(|g| g.name == group).unwrap_or_else(|| {
                groups.push(Group {
                    name: group.to_owned(),
                    priority: 0,
                    versions: Vec::new(),
                });
                groups.len() - 1
            });
            let group = &mut groups[at];
            if group.versions.iter().all(|v| v.name != version) {
                group.priority = group.priority.max(minimum);
                group.versions.push(Version {
                    name: version.to_owned(),
                    priority,
                    source,
                });
            }
        };
        for ((group, version), remote) in self.remotes.all() {
            add(&group, &version, remote.priority, Source::Remote(remote.clone()));
        }
        for kind in schema::kinds().iter().filter(|k| !k.group.is_empty()) {
            add(
                kind.group,
                kind.version,
                priority(kind.group, kind.version),
                Source::Kinds,
            );
        }
        for custom in self.customs.all() {
            let kind = custom.kind;
            add(kind.group, kind.version, (1000, 100), Source::Custom);
        }
        let (group, version) = (resource_metrics::GROUP, resource_metrics::VERSION);
        add(group, version, priority(group, version), Source::Metrics);
        for group in &mut groups {
            group.versions.sort_by(|a, b| {
                b.priority
                    .cmp(&a.priority)
                    .then_with(|| rank(&b.name).cmp(&rank(&a.name)))
            });
        }
        groups.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        groups
    }

    /// All paths that are no resources, as upstream lists them at its root.
    pub fn all_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = [
            "/.well-known/openid-configuration",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/",
            "/flagz",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/openid/v1/jwks",
            "/statusz",
            "/version",
        ]
        .map(str::to_owned)
        .to_vec();
        for group in self.groups() {
            paths.push(format!("/apis/{}", group.name));
            let versions = group.versions.iter();
            paths.extend(versions.map(|version| format!("/apis/{}/{}", group.name, version.name)));
        }
        paths.extend(health::paths());
        paths.sort_unstable();
        paths
    }

    /// Answer `/api`, `/apis` and what is below them, or `None` for another path.
    pub fn discovery(&self, call: &Call) -> Option<Result<Response<Body>>> {
        let path = call.route.path.trim_end_matches('/');
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if let Some(error) = self.refused(call, &parts) {
            return Some(Err(error));
        }
        let body = match parts.as_slice() {
            ["api"] if wants_aggregated(&call.headers) => {
                let core = Group {
                    name: String::new(),
                    priority: 0,
                    versions: vec![Version {
                        name: "v1".to_owned(),
                        priority: 0,
                        source: Source::Kinds,
                    }],
                };
                return Some(Ok(self.aggregated(&call.headers, &[core])));
            }
            ["apis"] if wants_aggregated(&call.headers) => {
                return Some(Ok(self.aggregated(&call.headers, &self.groups())));
            }
            ["api"] => {
                let address = self.config.advertise.map(
                    |(ip, port)| json!({"clientCIDR": "0.0.0.0/0", "serverAddress": format!("{ip}:{port}")}),
                );
                json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": Vec::from_iter(address)})
            }
            ["apis"] => {
                let list: Vec<Value> = self.groups().iter().map(|g| group(g, false)).collect();
                json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
            }
            ["api", "v1"] => resources("", "v1", of("", "v1")),
            ["apis", name] => match self.groups().iter().find(|g| g.name == *name) {
                Some(found) => group(found, true),
                None => return Some(Ok(answer::page_not_found())),
            },
            ["apis", resource_metrics::GROUP, resource_metrics::VERSION] => resource_list(
                resource_metrics::GROUP,
                resource_metrics::VERSION,
                resource_metrics::resources(),
            ),
            ["apis", group, version] if of(group, version).next().is_some() => {
                resources(group, version, of(group, version))
            }
            ["apis", group, version] if !self.customs_of(group, version).is_empty() => {
                let kinds = self.customs_of(group, version);
                resources(group, version, kinds.iter().map(|c| c.kind))
            }
            ["api" | "apis", ..] => return Some(nothing_here(&call.route.path)),
            _ => return None,
        };
        let format = negotiate::plain(&call.headers).unwrap_or(negotiate::Format::JSON);
        Some(Ok(answer::made(format, 200, &body)))
    }

    /// What the router refuses of a document: other methods than GET, where upstream has one, and forms that it does not have.
    fn refused(&self, call: &Call, parts: &[&str]) -> Option<ApiError> {
        let routed = match parts {
            ["api"] | ["api", "v1"] => true,
            ["apis", group, version] => of(group, version).next().is_some(),
            ["apis"] => false,
            ["apis", name] if self.groups().iter().any(|g| g.name == *name) => false,
            _ => return None,
        };
        if routed {
            if call.method != Method::GET {
                return Some(ApiError::method_not_allowed());
            }
            if let Err(error) = negotiate::routed(&call.headers, &negotiate::OBJECTS) {
                return Some(error);
            }
        }
        let aggregated = matches!(parts, ["api" | "apis"]) && wants_aggregated(&call.headers);
        (!aggregated)
            .then(|| negotiate::plain(&call.headers).err())
            .flatten()
    }

    /// The custom kinds of a group version, by name as upstream lists them.
    pub fn customs_of(&self, group: &str, version: &str) -> Vec<Arc<Custom>> {
        let all = self.customs.all().into_iter();
        all.filter(|c| c.kind.group == group && c.kind.version == version)
            .collect()
    }
}

/// The answer to a path that nobody serves. Paths of the API are refused by the router that serves the rest of their version or
/// group, others by the plain server around it.
pub fn nothing_here(path: &str) -> Result<Response<Body>> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["api", ..] | ["version", _, ..] => Err(ApiError::no_such_path()),
        ["apis", group, ..]
            if *group == resource_metrics::GROUP || schema::kinds().iter().any(|k| k.group == *group) =>
        {
            Err(ApiError::no_such_path())
        }
        _ => Ok(answer::page_not_found()),
    }
}

/// How far a version has come: general ones before betas before alphas, the newest first, others by name (apimachinery
/// `pkg/version/helpers.go`).
pub fn rank(version: &str) -> (u8, u64, u64, Reverse<&str>) {
    let parsed = || {
        let rest = version.strip_prefix('v')?;
        let (stage, major, minor) = match (rest.split_once("beta"), rest.split_once("alpha")) {
            (Some((major, minor)), _) => (2, major, minor),
            (_, Some((major, minor))) => (1, major, minor),
            _ => (3, rest, "0"),
        };
        Some((stage, major.parse().ok()?, minor.parse().ok()?))
    };
    match parsed() {
        Some((stage, major, minor)) => (stage, major, minor, Reverse("")),
        None => (0, 0, 0, Reverse(version)),
    }
}

fn of(group: &str, version: &str) -> impl Iterator<Item = &'static KindInfo> {
    schema::kinds()
        .iter()
        .filter(move |k| k.group == group && k.version == version)
}

fn group(group: &Group, alone: bool) -> Value {
    let name = &group.name;
    let all: Vec<Value> = group
        .versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{name}/{}", v.name), "version": v.name}))
        .collect();
    let mut body = json!({"name": name, "versions": all, "preferredVersion": all[0]});
    if alone {
        body["kind"] = "APIGroup".into();
        body["apiVersion"] = "v1".into();
    }
    body
}

fn resources(group: &str, version: &str, kinds: impl Iterator<Item = &'static KindInfo>) -> Value {
    let mut list = Vec::new();
    for kind in kinds {
        let mut entry = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs});
        if !kind.short_names.is_empty() {
            entry["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        if kind.stored() && kind.has_verb("create") {
            entry["storageVersionHash"] = storage_version_hash(kind).into();
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
    resource_list(group, version, list)
}

/// By what clients tell that objects are stored in another version than before (apiserver `endpoints/discovery`
/// `StorageVersionHash`).
fn storage_version_hash(kind: &'static KindInfo) -> String {
    let stored = convert::stored(kind);
    if let Some(custom) = custom::of(kind) {
        let hash = Sha256::digest(format!("{}/{}/{}", kind.group, custom.stored, kind.kind));
        return STANDARD.encode(&hash[..8]);
    }
    let version = match (stored.group, stored.kind) {
        // Stored as these still, in upstream 1.36.
        ("apiextensions.k8s.io", _) | (_, "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding") => {
            "v1beta1"
        }
        _ => stored.version,
    };
    let hash = Sha256::digest(format!("{}/{version}/{}", stored.group, stored.kind));
    STANDARD.encode(&hash[..8])
}

fn resource_list(group: &str, version: &str, resources: Vec<Value>) -> Value {
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    // The oldest list of all has no version.
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    list
}

impl Api {
    fn aggregated(&self, headers: &HeaderMap, groups: &[Group]) -> Response<Body> {
        let items: Vec<Value> = groups
            .iter()
            .map(|group| {
                let versions = group
                    .versions
                    .iter()
                    .map(|v| self.aggregated_version(&group.name, v));
                let mut metadata = Map::new();
                if !group.name.is_empty() {
                    metadata.insert("name".to_owned(), group.name.as_str().into());
                }
                json!({"metadata": metadata, "versions": versions.collect::<Vec<_>>()})
            })
            .collect();
        let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items});
        let body = body.to_string();
        // Clients keep it, and ask whether it is still so (apiserver `endpoints/discovery/aggregated/etag.go`).
        let hash = hex::encode_upper(Sha256::digest(&body));
        let mut response = if openapi::holds(headers, &hash) {
            answer::empty(304)
        } else {
            answer::bytes(200, AGGREGATED, body)
        };
        for (name, value) in [(header::VARY, "Accept"), (header::CACHE_CONTROL, "public")] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        openapi::tagged(response, &hash)
    }

    fn aggregated_version(&self, group: &str, version: &Version) -> Value {
        let (resources, current) = match &version.source {
            Source::Custom => {
                let customs = self.customs_of(group, &version.name);
                (
                    customs.iter().map(|c| aggregated_resource(c.kind)).collect(),
                    true,
                )
            }
            Source::Kinds => (of(group, &version.name).map(aggregated_resource).collect(), true),
            Source::Metrics => (converted(&resource_metrics::resources()), true),
            Source::Remote(remote) => (converted(&remote.resources), remote.available),
        };
        let freshness = if current { "Current" } else { "Stale" };
        json!({"version": version.name, "resources": resources, "freshness": freshness})
    }
}

/// Resources of an APIResourceList in the aggregated form (apiserver `ConvertGroupVersionIntoToDiscovery`).
fn converted(resources: &[Value]) -> Vec<Value> {
    let mut converted: Vec<Value> = Vec::new();
    for resource in resources {
        let text = |field: &str| resource[field].as_str().unwrap_or_default();
        let kind = json!({"group": text("group"), "version": text("version"), "kind": text("kind")});
        let (name, sub) = text("name").split_once('/').unwrap_or((text("name"), ""));
        if sub.is_empty() {
            let mut entry = json!({"resource": name, "responseKind": kind, "singularResource": text("singularName"),
                "scope": if resource["namespaced"] == true { "Namespaced" } else { "Cluster" }, "verbs": resource["verbs"]});
            for field in ["shortNames", "categories"] {
                if resource[field].is_array() {
                    entry[field] = resource[field].clone();
                }
            }
            converted.push(entry);
            continue;
        }
        let entry = json!({"subresource": sub, "responseKind": kind, "verbs": resource["verbs"]});
        let at = converted.iter().position(|r| r["resource"] == name);
        let at = at.unwrap_or_else(|| {
            // Only subresources are served: custom metrics, for one.
            let scope = if resource["namespaced"] == true {
                "Namespaced"
            } else {
                "Cluster"
            };
            converted.push(
                json!({"resource": name, "responseKind": {"group": "", "version": "", "kind": ""},
                "scope": scope, "singularResource": "", "verbs": null}),
            );
            converted.len() - 1
        });
        match converted[at]["subresources"].as_array_mut() {
            Some(all) => all.push(entry),
            None => converted[at]["subresources"] = json!([entry]),
        }
    }
    converted
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

impl Api {
    /// `/version`, as upstream indents it.
    pub fn version(&self) -> String {
        let version = &self.config.git_version;
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("36"));
        let compatible = minor.parse::<u32>().unwrap_or(36).saturating_sub(1).to_string();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let platform = format!("{}/{architecture}", std::env::consts::OS);
        let fields = [
            ("major", major),
            ("minor", minor),
            ("emulationMajor", major),
            ("emulationMinor", minor),
            ("minCompatibilityMajor", major),
            ("minCompatibilityMinor", &compatible),
            ("gitVersion", version),
            ("gitCommit", ""),
            ("gitTreeState", "clean"),
            ("buildDate", "1970-01-01T00:00:00Z"),
            ("goVersion", ""),
            ("compiler", "rustc"),
            ("platform", &platform),
        ];
        let lines: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("  {name:?}: {value:?}"))
            .collect();
        format!("{{\n{}\n}}", lines.join(",\n"))
    }
}
