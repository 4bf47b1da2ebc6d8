//! The operations that OpenAPI documents describe, before they have the form of one version of OpenAPI: for each path what can be
//! asked, with which parameters, and what comes back (apiserver `endpoints/installer.go` of 1.36).

use serde_json::{Value, json};

use crate::{
    kinds::{KindInfo, Subresource},
    openapi::{META, definition_of, path_of},
    openapi_schemas::VERSION_INFO,
    parameters::{self, Parameter},
};

/// A path and what can be asked of it.
pub(crate) struct PathItem {
    pub url: String,
    /// Those of all its operations, and those in the path itself; sorted by name.
    pub parameters: Vec<Parameter>,
    /// By HTTP method.
    pub operations: Vec<(&'static str, Operation)>,
}

/// A method on a path.
pub(crate) struct Operation {
    pub id: String,
    pub description: String,
    pub tag: String,
    pub action: &'static str,
    /// Group, version and kind of what is asked for; none for what says which there are.
    pub gvk: Option<[String; 3]>,
    /// What bodies it takes; empty where any will do.
    pub consumes: &'static [&'static str],
    pub produces: &'static [&'static str],
    pub parameters: Vec<Parameter>,
    /// The definition of the body, and whether there has to be one.
    pub body: Option<(String, bool)>,
    /// The codes of success.
    pub codes: &'static [u16],
    /// The definition of the answer; none for text.
    pub answer: Option<String>,
}

impl Operation {
    /// What both versions of OpenAPI say of it alike: name, description, answers, kind. `reference` is how a definition is named, and
    /// `answered` what an answer of a schema has beside its description.
    pub(crate) fn outline(&self, reference: fn(&str) -> String, answered: impl Fn(Value) -> Value) -> Value {
        let schema = match &self.answer {
            Some(name) => json!({ "$ref": reference(name) }),
            None => json!({ "type": "string" }),
        };
        let mut responses = json!({"401": {"description": phrase(401)}});
        for code in self.codes {
            let mut answer = answered(schema.clone());
            answer["description"] = phrase(*code).into();
            responses[code.to_string()] = answer;
        }
        let mut out = json!({
            "operationId": self.id,
            "description": self.description,
            "responses": responses,
            "tags": [self.tag]
        });
        if let Some([group, version, kind]) = &self.gvk {
            out["x-kubernetes-action"] = self.action.into();
            out["x-kubernetes-group-version-kind"] =
                json!({"group": group, "version": version, "kind": kind});
        }
        out
    }

    /// What bodies it takes, in the words of a document.
    pub(crate) fn bodies(&self) -> &'static [&'static str] {
        if self.consumes.is_empty() {
            &["*/*"]
        } else {
            self.consumes
        }
    }
}

/// What OpenAPI documents call an answer of this code.
fn phrase(code: u16) -> &'static str {
    match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        _ => "Unauthorized",
    }
}

const OBJECTS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const LISTS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const LOGS: &[&str] = &[
    "text/plain",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const CUSTOM_OBJECTS: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];
/// Kinds whose deletion answers with the object and not with a Status (`ReturnDeletedObject` of upstream's strategies).
const RETURNED_WHEN_DELETED: &[&str] = &[
    "csidrivers",
    "csinodes",
    "deviceclasses",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourceclaims",
    "resourceclaimtemplates",
    "resourcequotas",
    "resourceslices",
    "serviceaccounts",
    "services",
    "storageclasses",
    "volumeattachments",
    "volumeattributesclasses",
];

/// A resource whose paths are described.
struct Resource<'a> {
    kind: &'a KindInfo,
    /// The names of the definitions of its objects and lists: those of a custom kind are not in `kind`.
    definition: &'a str,
    list: String,
    custom: bool,
}

/// The paths of a built-in kind.
pub(crate) fn paths_of(kind: &KindInfo) -> Vec<PathItem> {
    let resource = Resource {
        kind,
        definition: kind.definition,
        list: format!("{}List", kind.definition),
        custom: false,
    };
    resource.paths()
}

/// The paths of a custom kind, whose objects and lists are described by these definitions.
pub(crate) fn paths_of_custom(kind: &KindInfo, definition: &str, list: &str) -> Vec<PathItem> {
    let resource = Resource {
        kind,
        definition,
        list: list.to_owned(),
        custom: true,
    };
    resource.paths()
}

impl Resource<'_> {
    fn paths(&self) -> Vec<PathItem> {
        let kind = self.kind;
        let root = format!("/{}", path_of(kind));
        let scope = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let collection = format!("{root}{scope}/{}", kind.plural);
        let verbs = |wanted: &[(&'static str, &'static str)]| -> Vec<(&'static str, Operation)> {
            let served = wanted.iter().filter(|(verb, _)| kind.has_verb(verb));
            served
                .map(|(verb, method)| (*method, self.operation(verb, None, false)))
                .collect()
        };
        let mut paths = vec![
            self.item(
                collection.clone(),
                verbs(&[
                    ("list", "get"),
                    ("create", "post"),
                    ("deletecollection", "delete"),
                ]),
            ),
            self.item(
                format!("{collection}/{{name}}"),
                verbs(&[
                    ("get", "get"),
                    ("update", "put"),
                    ("patch", "patch"),
                    ("delete", "delete"),
                ]),
            ),
        ];
        if kind.namespaced && kind.has_verb("list") {
            let everywhere = vec![("get", self.operation("list", None, true))];
            paths.push(self.item(format!("{root}/{}", kind.plural), everywhere));
        }
        if kind.has_verb("watch") && !self.custom {
            let watched = |verb, everywhere| vec![("get", self.operation(verb, None, everywhere))];
            let collection = format!("{root}/watch{scope}/{}", kind.plural);
            paths.push(self.item(collection.clone(), watched("watchlist", false)));
            paths.push(self.item(format!("{collection}/{{name}}"), watched("watch", false)));
            if kind.namespaced {
                let url = format!("{root}/watch/{}", kind.plural);
                paths.push(self.item(url, watched("watchlist", true)));
            }
        }
        for subresource in kind.subresource_table {
            let url = format!("{collection}/{{name}}/{}", subresource.name);
            let methods = methods(subresource);
            let operations = methods
                .iter()
                .map(|(verb, method)| (*method, self.operation(verb, Some(subresource), false)));
            if subresource.name == "proxy" {
                let below = methods.iter().map(|(verb, method)| {
                    let mut operation = self.operation(verb, Some(subresource), false);
                    operation.id.push_str("WithPath");
                    (*method, operation)
                });
                paths.push(self.item(format!("{url}/{{path}}"), below.collect()));
            }
            paths.push(self.item(url, operations.collect()));
        }
        paths.retain(|item| !item.operations.is_empty());
        paths
    }

    /// A path; what all its operations take is said once.
    fn item(&self, url: String, mut operations: Vec<(&'static str, Operation)>) -> PathItem {
        let mut shared: Vec<Parameter> = match operations.split_first() {
            Some(((_, first), rest)) => first
                .parameters
                .iter()
                .filter(|p| rest.iter().all(|(_, o)| o.parameters.contains(p)))
                .cloned()
                .collect(),
            None => Vec::new(),
        };
        for (_, operation) in &mut operations {
            operation.parameters.retain(|p| !shared.contains(p));
        }
        if url.contains("{name}") {
            let kind = url
                .split("{name}/")
                .nth(1)
                .and_then(|rest| self.subresource(rest.split('/').next().unwrap_or(rest)))
                .map_or(self.kind.kind, |s| s.kind);
            shared.push(parameters::name(kind));
        }
        if url.contains("{namespace}") {
            shared.push(parameters::NAMESPACE);
        }
        if url.contains("{path}") {
            shared.push(parameters::PATH);
        }
        shared.sort_by_key(|p| (p.name, !p.in_path));
        PathItem {
            url,
            parameters: shared,
            operations,
        }
    }

    fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.kind.subresource_table.iter().find(|s| s.name == name)
    }

    fn operation(&self, verb: &'static str, sub: Option<&Subresource>, everywhere: bool) -> Operation {
        let kind = self.kind;
        let connects = sub.is_some_and(connects);
        let gvk = sub.map_or((kind.group, kind.version, kind.kind), |s| {
            (s.group, s.version, s.kind)
        });
        let whole = match sub {
            Some(sub) if sub.name == "log" || connects => None,
            Some(sub) if sub.name == "scale" => definition_of(sub).map(str::to_owned),
            Some(sub) if self.custom && sub.name == "status" => Some(self.definition.to_owned()),
            Some(sub) => definition_of(sub).map(str::to_owned),
            None => Some(self.definition.to_owned()),
        };
        let status = || Some(format!("{META}Status"));
        let answer = match verb {
            "list" => Some(self.list.clone()),
            "watch" | "watchlist" => Some(format!("{META}WatchEvent")),
            "deletecollection" => status(),
            "delete" if !connects && !RETURNED_WHEN_DELETED.contains(&kind.plural) => status(),
            _ => whole.clone(),
        };
        let body = match verb {
            _ if connects => None,
            "create" | "update" => whole.map(|definition| (definition, true)),
            "patch" => Some((format!("{META}Patch"), true)),
            "delete" | "deletecollection" => Some((format!("{META}DeleteOptions"), false)),
            _ => None,
        };
        let codes: &[u16] = match verb {
            _ if connects => &[200],
            "create" => &[200, 201, 202],
            "update" | "patch" => &[200, 201],
            "delete" => &[200, 202],
            _ => &[200],
        };
        let consumes: &[&str] = match verb {
            "patch" if connects => &[],
            "patch" if self.custom => CUSTOM_PATCHES,
            "patch" => PATCHES,
            _ => &[],
        };
        let produces: &[&str] = match (verb, sub) {
            _ if connects => &["*/*"],
            _ if self.custom => CUSTOM_OBJECTS,
            (_, Some(sub)) if sub.name == "log" => LOGS,
            ("list" | "watch" | "watchlist", _) => LISTS,
            _ => OBJECTS,
        };
        Operation {
            id: self.id(verb, sub, everywhere),
            description: self.description(verb, sub),
            tag: format!("{}_{}", group_name(kind.group), kind.version),
            action: match verb {
                _ if connects => "connect",
                "create" => "post",
                "update" => "put",
                other => other,
            },
            gvk: Some([gvk.0, gvk.1, gvk.2].map(str::to_owned)),
            consumes,
            produces,
            parameters: parameters::of(verb, sub, connects),
            body,
            codes,
            answer,
        }
    }

    fn description(&self, verb: &str, sub: Option<&Subresource>) -> String {
        const DEPRECATED: &str = "deprecated: use the 'watch' parameter with a list operation instead";
        let kind = self.kind.kind;
        match (verb, sub) {
            (_, Some(sub)) if connects(sub) => {
                format!(
                    "connect {} requests to {} of {kind}",
                    method(verb).to_uppercase(),
                    sub.name
                )
            }
            ("get", Some(sub)) => format!("read {} of the specified {kind}", sub.name),
            ("update", Some(sub)) => format!("replace {} of the specified {kind}", sub.name),
            ("patch", Some(sub)) => format!("partially update {} of the specified {kind}", sub.name),
            ("create", Some(sub)) => format!("create {} of {}", sub.name, one(kind)),
            ("get", None) => format!("read the specified {kind}"),
            ("update", None) => format!("replace the specified {kind}"),
            ("patch", None) => format!("partially update the specified {kind}"),
            ("create", None) => format!("create {}", one(kind)),
            ("list", _) if !self.kind.has_verb("watch") => format!("list objects of kind {kind}"),
            ("list", _) => format!("list or watch objects of kind {kind}"),
            ("deletecollection", _) => format!("delete collection of {kind}"),
            ("watchlist", _) => format!("watch individual changes to a list of {kind}. {DEPRECATED}."),
            ("watch", _) => format!(
                "watch changes to an object of kind {kind}. {DEPRECATED}, filtered to a single item with the 'fieldSelector' parameter."
            ),
            _ => format!("delete {}", one(kind)),
        }
    }

    /// As upstream names them: `patchAppsV1NamespacedDeploymentStatus`.
    fn id(&self, verb: &str, sub: Option<&Subresource>, everywhere: bool) -> String {
        let connects = sub.is_some_and(connects);
        let (does, infix) = match verb {
            _ if connects => ("connect", upper_first(method(verb))),
            "get" => ("read", String::new()),
            "update" => ("replace", String::new()),
            "deletecollection" => ("delete", "Collection".to_owned()),
            "watchlist" => ("watch", String::new()),
            other => (other, String::new()),
        };
        let scope = if self.kind.namespaced && !everywhere {
            "Namespaced"
        } else {
            ""
        };
        let list = if verb == "watchlist" { "List" } else { "" };
        let all = if everywhere { "ForAllNamespaces" } else { "" };
        format!(
            "{does}{}{}{infix}{scope}{}{}{list}{all}",
            upper_first(&group_name(self.kind.group)),
            upper_first(self.kind.version),
            self.kind.kind,
            upper_first(sub.map_or("", |s| s.name)),
        )
    }
}

/// `/apis/apps/v1/`: what there is of a version.
pub(crate) fn resources_of(group: &str, version: &str) -> PathItem {
    let root = if group.is_empty() { "/api" } else { "/apis/" };
    let name = group_name(group);
    told(
        format!("{root}{group}/{version}/"),
        format!("get{}{}APIResources", upper_first(&name), upper_first(version)),
        "get available resources",
        format!("{name}_{version}"),
        format!("{META}APIResourceList"),
        OBJECTS,
    )
}

/// What there is of groups and versions, and the server's version.
pub(crate) fn documents<'a>(groups: impl Iterator<Item = &'a str>) -> Vec<PathItem> {
    const VERSIONS: &str = "get available API versions";
    let mut items = vec![
        told(
            "/api/".to_owned(),
            "getCoreAPIVersions".to_owned(),
            VERSIONS,
            "core".to_owned(),
            format!("{META}APIVersions"),
            OBJECTS,
        ),
        told(
            "/apis/".to_owned(),
            "getAPIVersions".to_owned(),
            VERSIONS,
            "apis".to_owned(),
            format!("{META}APIGroupList"),
            OBJECTS,
        ),
        told(
            "/version/".to_owned(),
            "getCodeVersion".to_owned(),
            "get the version information for this server",
            "version".to_owned(),
            VERSION_INFO.to_owned(),
            &["application/json"],
        ),
    ];
    // (`pkg/routes/openidmetadata.go`)
    for (url, id, description, tag, form) in [
        (
            "/.well-known/openid-configuration/",
            "getServiceAccountIssuerOpenIDConfiguration",
            "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
            "WellKnown",
            &["application/json"],
        ),
        (
            "/openid/v1/jwks/",
            "getServiceAccountIssuerOpenIDKeyset",
            "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
            "openid",
            &["application/jwk-set+json"],
        ),
    ] {
        let mut item = told(
            url.to_owned(),
            id.to_owned(),
            description,
            tag.to_owned(),
            String::new(),
            form,
        );
        for (_, operation) in &mut item.operations {
            operation.consumes = &[];
        }
        items.push(item);
    }
    items.extend(groups.map(|group| {
        let name = group_name(group);
        told(
            format!("/apis/{group}/"),
            format!("get{}APIGroup", upper_first(&name)),
            "get information of a group",
            name,
            format!("{META}APIGroup"),
            OBJECTS,
        )
    }));
    items
}

fn told(
    url: String,
    id: String,
    description: &str,
    tag: String,
    answer: String,
    forms: &'static [&'static str],
) -> PathItem {
    let operation = Operation {
        id,
        description: description.to_owned(),
        tag,
        action: "",
        gvk: None,
        consumes: forms,
        produces: forms,
        parameters: Vec::new(),
        body: None,
        codes: &[200],
        answer: Some(answer).filter(|name| !name.is_empty()),
    };
    PathItem {
        url,
        parameters: Vec::new(),
        operations: vec![("get", operation)],
    }
}

/// `core`, `apps`, `rbacAuthorization`.
fn group_name(group: &str) -> String {
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    let mut parts = group.split('.');
    let first = parts
        .next()
        .filter(|p| !p.is_empty())
        .unwrap_or("core")
        .to_owned();
    parts.fold(first, |name, part| name + &upper_first(part))
}

/// Streams and proxies: what they take is a kind of options.
fn connects(subresource: &Subresource) -> bool {
    subresource.kind.ends_with("Options")
}

/// The verbs and methods of a subresource. Proxies pass on what discovery has no verb for, too.
fn methods(subresource: &Subresource) -> Vec<(&'static str, &'static str)> {
    let own = subresource.verbs.iter().map(|verb| (*verb, method(verb)));
    let passed = (subresource.name == "proxy").then_some([("head", "head"), ("options", "options")]);
    own.chain(passed.into_iter().flatten()).collect()
}

fn method(verb: &str) -> &'static str {
    match verb {
        "create" => "post",
        "update" => "put",
        "patch" => "patch",
        "delete" | "deletecollection" => "delete",
        "head" => "head",
        "options" => "options",
        _ => "get",
    }
}

/// A kind with its article, unless it is a plural (apiserver `GetArticleForNoun`).
fn one(kind: &str) -> String {
    match kind {
        _ if kind.ends_with('s') && !kind.ends_with("ss") => kind.to_owned(),
        _ if kind.starts_with(['A', 'E', 'I', 'O', 'U']) => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

pub(crate) fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}
