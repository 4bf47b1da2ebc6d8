//! The parameters of operations in OpenAPI documents (apimachinery `ListOptions`, `CreateOptions`, …; core/v1 `PodLogOptions`, …).

use std::borrow::Cow;

use crate::kinds::Subresource;

/// A parameter in the path or in the query.
#[derive(Clone, PartialEq)]
pub(crate) struct Parameter {
    pub name: &'static str,
    /// `string`, `boolean` or `integer`.
    pub kind: &'static str,
    pub description: Cow<'static, str>,
    pub in_path: bool,
}

pub(crate) const NAMESPACE: Parameter = in_path(
    "namespace",
    "object name and auth scope, such as for teams and projects",
);
pub(crate) const PATH: Parameter = in_path("path", "path to the resource");

/// The name of an object of this kind.
pub(crate) fn name(kind: &str) -> Parameter {
    Parameter {
        description: format!("name of the {kind}").into(),
        ..in_path("name", "")
    }
}

const fn in_path(name: &'static str, description: &'static str) -> Parameter {
    Parameter {
        name,
        kind: "string",
        description: Cow::Borrowed(description),
        in_path: true,
    }
}

/// Name, type, and what it does.
type Row = (&'static str, &'static str, &'static str);

const LIST: &[Row] = &[
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may be sent events of type BOOKMARK, which only carry a resource version.",
    ),
    (
        "continue",
        "string",
        "Where a list that was cut off by limit goes on: the token that came with its last part.",
    ),
    (
        "fieldSelector",
        "string",
        "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
    ),
    (
        "labelSelector",
        "string",
        "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
    ),
    (
        "limit",
        "integer",
        "The most objects that one answer may have. More can be asked for with continue.",
    ),
    (
        "resourceVersion",
        "string",
        "The resource version that the answer is to be of; resourceVersionMatch says how. A watch begins after it.",
    ),
    (
        "resourceVersionMatch",
        "string",
        "How resourceVersion is applied to a list: Exact or NotOlderThan.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with an event for each object that is there, and a bookmark after them.",
    ),
    (
        "shardSelector",
        "string",
        "An expression of ranges of hashes that restricts the list of returned objects.",
    ),
    (
        "timeoutSeconds",
        "integer",
        "The seconds after which a list or watch ends.",
    ),
];
const WATCH: &[Row] = &[(
    "watch",
    "boolean",
    "Watch for changes to the described resources and return them as a stream of events.",
)];
const DRY_RUN: Row = (
    "dryRun",
    "string",
    "Whether nothing is to be kept of the request. The only value is All: everything but the writing is done.",
);
const WRITE: &[Row] = &[
    DRY_RUN,
    (
        "fieldManager",
        "string",
        "The name of who makes the changes, of at most 128 printable characters.",
    ),
    (
        "fieldValidation",
        "string",
        "What happens to fields that are not known or said twice: Ignore drops them, Warn drops them with a warning, Strict refuses the request.",
    ),
];
const FORCE: &[Row] = &[(
    "force",
    "boolean",
    "Whether an apply takes over fields that others own. Not for other patches.",
)];
const DELETE: &[Row] = &[
    DRY_RUN,
    (
        "gracePeriodSeconds",
        "integer",
        "The seconds that the object is given before it is deleted. Zero means at once.",
    ),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Whether an object that cannot be read from the store may be deleted regardless.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: use propagationPolicy. Whether dependents are kept.",
    ),
    (
        "propagationPolicy",
        "string",
        "What happens to dependents: Orphan keeps them, Background deletes them afterwards, Foreground before.",
    ),
];
const LOG: &[Row] = &[
    (
        "container",
        "string",
        "The container whose log is read. May be left out if the pod has only one.",
    ),
    (
        "follow",
        "boolean",
        "Whether to go on with what is written from now on.",
    ),
    (
        "insecureSkipTLSVerifyBackend",
        "boolean",
        "Whether the certificate of the node that has the log goes unchecked.",
    ),
    ("limitBytes", "integer", "The most bytes that are read."),
    (
        "previous",
        "boolean",
        "Whether to read the log of the container that ran before.",
    ),
    (
        "sinceSeconds",
        "integer",
        "Only what was written in the last so many seconds.",
    ),
    ("stream", "string", "Which stream is read: All, Stdout or Stderr."),
    (
        "tailLines",
        "integer",
        "The number of lines from the end of the log.",
    ),
    (
        "timestamps",
        "boolean",
        "Whether every line begins with its time.",
    ),
];
const ATTACH: &[Row] = &[
    (
        "container",
        "string",
        "The container. May be left out if the pod has only one.",
    ),
    ("stderr", "boolean", "Whether the standard error is redirected."),
    ("stdin", "boolean", "Whether the standard input is redirected."),
    ("stdout", "boolean", "Whether the standard output is redirected."),
    ("tty", "boolean", "Whether a terminal is allocated."),
];
const COMMAND: &[Row] = &[(
    "command",
    "string",
    "The command and its arguments; no shell is around it.",
)];
const PORTS: &[Row] = &[(
    "ports",
    "integer",
    "The ports to forward. Required with WebSockets.",
)];
const PROXIED: &[Row] = &[(
    "path",
    "string",
    "The path, with its query, that the request is passed on to.",
)];
const PRETTY: &[Row] = &[("pretty", "string", "Whether the output is indented.")];

/// The query parameters of a verb, of the object itself or of a subresource; sorted by name.
pub(crate) fn of(verb: &str, subresource: Option<&Subresource>, connects: bool) -> Vec<Parameter> {
    let tables: &[&[Row]] = match (verb, subresource.map(|s| s.name)) {
        (_, Some("exec")) => &[ATTACH, COMMAND],
        (_, Some("attach")) => &[ATTACH],
        (_, Some("portforward")) => &[PORTS],
        _ if connects => &[PROXIED],
        (_, Some("log")) => &[LOG, PRETTY],
        ("list" | "watch" | "watchlist", _) => &[LIST, WATCH, PRETTY],
        ("create" | "update", _) => &[WRITE, PRETTY],
        ("patch", _) => &[WRITE, FORCE, PRETTY],
        ("delete", _) => &[DELETE, PRETTY],
        ("deletecollection", _) => &[DELETE, LIST, PRETTY],
        _ => &[PRETTY],
    };
    let rows = tables.iter().flat_map(|table| table.iter());
    // Collections are deleted without a watch.
    let rows = rows.filter(|(name, ..)| verb != "deletecollection" || *name != "allowWatchBookmarks");
    let mut parameters: Vec<Parameter> = rows
        .map(|(name, kind, description)| Parameter {
            name,
            kind,
            description: Cow::Borrowed(description),
            in_path: false,
        })
        .collect();
    parameters.sort_by(|a, b| a.name.cmp(b.name));
    parameters
}
