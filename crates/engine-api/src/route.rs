//! What a request is about: verb, resource, name (apiserver `endpoints/request/requestinfo.go`).
use http::Method;

use crate::query::{Query, decode};

/// The parts of an API request; `resource` is empty for a path that is not a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case method elsewhere.
    pub verb: &'static str,
    /// Decoded path.
    pub path: String,
    /// API group, empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource name, empty for a path that is not a resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace, empty for none or all.
    pub namespace: String,
    /// Object name.
    pub name: String,
    /// What follows the subresource, still encoded (for proxies), with its leading slash.
    pub rest: String,
}

/// Subresources of a namespace; anything else below a namespace is a resource in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl Route {
    /// Work out what a request is about.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut route = Self {
            path: decode(path, false),
            verb: plain_verb(method),
            ..Self::default()
        };
        let trimmed = path.trim_matches('/');
        let parts: Vec<&str> = trimmed.split('/').collect();
        let mut rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                route.version = decode(version, false);
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                route.group = decode(group, false);
                route.version = decode(version, false);
                rest
            }
            _ => return route,
        };
        let mut watch_prefix = false;
        if let ["watch", after @ ..] = rest
            && !after.is_empty()
        {
            watch_prefix = true;
            rest = after;
        }
        if let ["namespaces", namespace, after @ ..] = rest
            && (after.is_empty() || !NAMESPACE_SUBRESOURCES.contains(&after[0]))
            && !after.is_empty()
        {
            route.namespace = decode(namespace, false);
            rest = after;
        }
        route.resource = decode(rest[0], false);
        route.name = rest.get(1).map(|n| decode(n, false)).unwrap_or_default();
        if route.resource == "namespaces" {
            route.namespace.clone_from(&route.name);
        }
        route.subresource = rest.get(2).map(|s| decode(s, false)).unwrap_or_default();
        if rest.len() > 3 {
            route.rest = format!("/{}", rest[3..].join("/"));
        }
        if !route.rest.is_empty() && path.ends_with('/') {
            route.rest.push('/');
        }
        let named = !route.name.is_empty();
        route.verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if named => "delete",
            Method::DELETE => "deletecollection",
            Method::GET | Method::HEAD
                if watch_prefix || (query.truth("watch") && route.subresource.is_empty()) =>
            {
                "watch"
            }
            Method::GET | Method::HEAD if named => "get",
            Method::GET | Method::HEAD => "list",
            _ => route.verb,
        };
        if route.verb == "watch" && named {
            // `GET …/name?watch=1` watches one object; upstream turns it into a field selector.
        } else if !named
            && matches!(route.verb, "list" | "watch" | "deletecollection")
            && let Some(name) = query
                .get("fieldSelector")
                .and_then(|s| s.strip_prefix("metadata.name="))
            && !name.contains([',', '!', '='])
        {
            name.clone_into(&mut route.name);
        }
        route
    }

    /// Whether the request is for a resource.
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

fn plain_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "connect",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str, query: &str) -> Route {
        Route::parse(&method.parse().unwrap(), path, &Query::parse(query))
    }

    #[test]
    fn resources() {
        let r = route("GET", "/api/v1/namespaces/d/pods/p/log", "");
        assert_eq!(
            (r.verb, r.resource.as_str(), r.namespace.as_str()),
            ("get", "pods", "d")
        );
        assert_eq!((r.name.as_str(), r.subresource.as_str()), ("p", "log"));
        let r = route("GET", "/apis/apps/v1/deployments", "watch=1");
        assert_eq!((r.verb, r.group.as_str(), r.name.as_str()), ("watch", "apps", ""));
        let r = route("GET", "/api/v1/namespaces/x", "");
        assert_eq!(
            (r.verb, r.resource.as_str(), r.name.as_str()),
            ("get", "namespaces", "x")
        );
        let r = route("PUT", "/api/v1/namespaces/x/finalize", "");
        assert_eq!(
            (r.resource.as_str(), r.name.as_str(), r.subresource.as_str()),
            ("namespaces", "x", "finalize")
        );
        let r = route("DELETE", "/api/v1/namespaces/x/pods", "");
        assert_eq!(r.verb, "deletecollection");
        let r = route(
            "GET",
            "/api/v1/namespaces/x/services/http:web:80/proxy/a/b%20c/",
            "q=1",
        );
        assert_eq!((r.name.as_str(), r.rest.as_str()), ("http:web:80", "/a/b%20c/"));
        assert!(!route("GET", "/apis/apps/v1", "").is_resource());
        assert!(!route("GET", "/metrics", "").is_resource());
    }
}
