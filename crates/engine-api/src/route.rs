//! What a request is about: verb, resource, name (apiserver `endpoints/request/requestinfo.go`).
use http::Method;
use kube_types::FieldSelector;

use crate::{
    auth::rbac::Attributes,
    query::{Query, decode},
};

/// The parts of an API request.
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
    /// Whether the path is one of a resource. Its name may be missing (`/api/v1//pods`), and then nobody serves it.
    pub of_resource: bool,
    /// Whether the path itself says that it is a watch: `/api/v1/watch/…`.
    pub watch_path: bool,
    /// What of a collection is meant; a selector that is not understood selects everything.
    pub fields: FieldSelector,
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
        // Go decodes a path before it splits it: a slash divides however it is written. What is authorised and what is answered
        // (by an aggregated server, say) would differ otherwise.
        let path = &path.replace("%2F", "/").replace("%2f", "/");
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
        route.of_resource = true;
        let mut watch_prefix = false;
        if let ["watch", after @ ..] = rest
            && !after.is_empty()
        {
            watch_prefix = true;
            route.watch_path = true;
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
        if route.resource == "namespaces" && route.namespace.is_empty() {
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
        let reads = matches!(*method, Method::GET | Method::HEAD);
        route.verb = match *method {
            _ if watch_prefix => "watch",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if named => "delete",
            Method::DELETE => "deletecollection",
            _ if !reads => route.verb,
            _ if named => "get",
            _ if query.truth("watch") => "watch",
            _ => "list",
        };
        // Paths that begin with `watch/` take no selectors.
        if matches!(route.verb, "list" | "watch" | "deletecollection")
            && !watch_prefix
            && let Some(selector) = query.get("fieldSelector")
        {
            route.fields = selector.parse().unwrap_or_default();
            if route.verb != "deletecollection"
                && let Some(name) = route.fields.exact("metadata.name")
                && !matches!(name, "." | "..")
                && !name.contains(['/', '%'])
            {
                name.clone_into(&mut route.name);
            }
        }
        route
    }

    /// What somebody has to be allowed for this.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            verb: self.verb.to_owned(),
            group: self.group.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            path: if self.of_resource {
                String::new()
            } else {
                self.path.clone()
            },
            fields: self.fields.requirements().to_vec(),
        }
    }

    /// Whether this changes something here, and is over soon.
    pub fn is_write(&self) -> bool {
        let carried = matches!(self.subresource.as_str(), "exec" | "attach" | "portforward");
        self.of_resource
            && !carried
            && matches!(
                self.verb,
                "create" | "update" | "patch" | "delete" | "deletecollection"
            )
    }

    /// Whether the path ends with a verb that wants a resource.
    pub fn is_unfinished(&self) -> bool {
        self.of_resource && self.name.is_empty() && matches!(self.resource.as_str(), "watch" | "proxy")
    }

    /// Whether the request is for a resource.
    pub fn is_resource(&self) -> bool {
        self.of_resource
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
        let r = route("DELETE", "/api/v1/watch/namespaces/x/pods/p", "");
        assert_eq!((r.verb, r.name.as_str()), ("watch", "p"));
        let r = route("GET", "/api/v1/namespaces/x/pods/p", "watch=1");
        assert_eq!(
            r.verb, "get",
            "a parameter makes no watch of one object (requestinfo.go)"
        );
        let r = route(
            "DELETE",
            "/api/v1/namespaces/x/pods",
            "fieldSelector=metadata.name=p",
        );
        assert_eq!((r.verb, r.name.as_str()), ("deletecollection", ""));
    }

    /// Rights to paths (`/apis/*`, which everybody has) are no rights to resources.
    #[test]
    fn a_resource_is_one_however_it_is_written() {
        for path in [
            "/apis%2Fcustom.metrics.k8s.io%2Fv1beta1%2Fnamespaces%2Fx%2Fpods",
            "/apis/custom.metrics.k8s.io%2fv1beta1/namespaces/x/pods",
        ] {
            let asked = route("GET", path, "").attributes();
            assert_eq!(
                (
                    asked.resource.as_str(),
                    asked.namespace.as_str(),
                    asked.path.as_str()
                ),
                ("pods", "x", ""),
                "{path}"
            );
        }
        let nameless = route(
            "GET",
            "/apis/custom.metrics.k8s.io/v1beta1//namespaces/x/pods",
            "",
        );
        assert!(nameless.is_resource());
        assert_eq!(
            (nameless.attributes().resource, nameless.attributes().path),
            (String::new(), String::new())
        );
    }
}
