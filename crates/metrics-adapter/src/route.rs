//! What a request is about.

/// The API groups served.
pub const CUSTOM: &str = "custom.metrics.k8s.io";
/// See [`CUSTOM`].
pub const EXTERNAL: &str = "external.metrics.k8s.io";
/// See [`CUSTOM`].
pub const RESOURCE: &str = "metrics.k8s.io";

/// A request, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Whether the server is well; open to anybody.
    Health,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/apis/GROUP/VERSION`.
    Resources(String, String),
    /// A metric of objects.
    Custom {
        /// `v1beta1` or `v1beta2`.
        version: String,
        /// Empty for objects that live in none.
        namespace: String,
        /// `pods`, `deployments.apps`.
        resource: String,
        /// Name, or `*`.
        name: String,
        /// The metric.
        metric: String,
    },
    /// A metric by itself.
    External {
        /// The namespace in whose behalf it is read.
        namespace: String,
        /// The metric.
        metric: String,
    },
    /// Use of pods; all namespaces and all names when empty.
    Pods {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// Use of nodes; all when empty.
    Nodes {
        /// Name.
        name: String,
    },
    /// Nothing that is served here.
    Unknown,
}

impl Route {
    /// From a path, still encoded.
    pub fn parse(path: &str) -> Self {
        let parts: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let own = |text: &str| text.to_owned();
        match parts.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Self::Health,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group(own(group)),
            ["apis", group, version] => Self::Resources(own(group), own(version)),
            ["apis", group, version, rest @ ..] => Self::within(group, version, rest),
            _ => Self::Unknown,
        }
    }

    fn within(group: &str, version: &str, rest: &[&str]) -> Self {
        let own = |text: &str| text.to_owned();
        let custom = |namespace: &str, resource: &str, name: &str, metric: &str| Self::Custom {
            version: own(version),
            namespace: own(namespace),
            resource: own(resource),
            name: own(name),
            metric: own(metric),
        };
        match (group, version, rest) {
            (CUSTOM, "v1beta1" | "v1beta2", rest) => match rest {
                // The metric of a namespace itself.
                ["namespaces", namespace, "metrics", metric] => custom("", "namespaces", namespace, metric),
                ["namespaces", namespace, resource, name, metric] => {
                    custom(namespace, resource, name, metric)
                }
                [resource, name, metric] => custom("", resource, name, metric),
                _ => Self::Unknown,
            },
            (EXTERNAL, "v1beta1", ["namespaces", namespace, metric]) => Self::External {
                namespace: own(namespace),
                metric: own(metric),
            },
            (RESOURCE, "v1beta1", rest) => match rest {
                ["nodes"] => Self::Nodes { name: String::new() },
                ["nodes", name] => Self::Nodes { name: own(name) },
                ["pods"] => Self::Pods {
                    namespace: String::new(),
                    name: String::new(),
                },
                ["namespaces", namespace, "pods"] => Self::Pods {
                    namespace: own(namespace),
                    name: String::new(),
                },
                ["namespaces", namespace, "pods", name] => Self::Pods {
                    namespace: own(namespace),
                    name: own(name),
                },
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }
}

fn decoded(part: &str) -> String {
    // A path knows no `+` for a space.
    let escaped = part.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(key, _)| key.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let custom = |namespace: &str, resource: &str, name: &str| Route::Custom {
            version: "v1beta2".to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            metric: "m".to_owned(),
        };
        let root = "/apis/custom.metrics.k8s.io/v1beta2";
        assert_eq!(
            Route::parse(&format!("{root}/namespaces/d/pods/%2A/m")),
            custom("d", "pods", "*")
        );
        assert_eq!(
            Route::parse(&format!("{root}/namespaces/d/metrics/m")),
            custom("", "namespaces", "d")
        );
        assert_eq!(
            Route::parse(&format!("{root}/nodes/n/m")),
            custom("", "nodes", "n")
        );
        assert_eq!(
            Route::parse(root),
            Route::Resources(CUSTOM.to_owned(), "v1beta2".to_owned())
        );
        assert_eq!(
            Route::parse("/apis/external.metrics.k8s.io/v1beta1/namespaces/d/q"),
            Route::External {
                namespace: "d".to_owned(),
                metric: "q".to_owned()
            }
        );
        assert_eq!(
            Route::parse("/apis/metrics.k8s.io/v1beta1/pods"),
            Route::Pods {
                namespace: String::new(),
                name: String::new()
            }
        );
        assert_eq!(Route::parse("/readyz"), Route::Health);
        assert_eq!(
            Route::parse("/apis/custom.metrics.k8s.io/v9/nodes/n/m"),
            Route::Unknown
        );
        assert_eq!(Route::parse("/"), Route::Unknown);
    }
}
