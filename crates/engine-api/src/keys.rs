//! Where objects are stored, and which version of a kind is stored.
use schema::KindInfo;

use crate::{api::Call, custom, status::ApiError};

/// The prefix of all objects of a resource, with its trailing slash.
pub fn prefix(kind: &KindInfo, namespace: &str) -> String {
    // Both groups of events are one storage, as upstream has it.
    let root = if kind.group.is_empty() || kind.group == "events.k8s.io" {
        kind.plural.to_owned()
    } else {
        format!("{}.{}", kind.plural, kind.group)
    };
    if namespace.is_empty() {
        format!("{root}/")
    } else {
        format!("{root}/{namespace}/")
    }
}

/// The key of one object.
pub fn key(kind: &KindInfo, namespace: &str, name: &str) -> String {
    format!(
        "{}{name}",
        prefix(kind, if kind.namespaced { namespace } else { "" })
    )
}

/// The key of an object of the core group.
pub fn core(plural: &str, namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("{plural}/{name}")
    } else {
        format!("{plural}/{namespace}/{name}")
    }
}

/// Why upstream's storage does not write: the object has another uid than was said. It shows its key in etcd, and a rehearsal that
/// without the prefix (`pkg/registry/*/*/storage`, apiserver `registry/generic/registry/dryrun.go`).
pub fn unmet(call: &Call, kind: &KindInfo, name: &str, why: &str) -> ApiError {
    let prefix = if call.dry_run() { "" } else { "/registry" };
    let key = upstream(kind, &call.route.namespace, name);
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {prefix}{key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {why}"
    );
    ApiError::conflict(kind, name, &why)
}

/// What is not met when an object has another uid.
pub fn other_uid(said: &str, own: &str) -> String {
    format!("UID in precondition: {said}, UID in object meta: {own}")
}

fn upstream(kind: &KindInfo, namespace: &str, name: &str) -> String {
    let resource = match (kind.group, kind.plural) {
        ("", "services") => "services/specs".to_owned(),
        ("", "endpoints") => "services/endpoints".to_owned(),
        ("", "replicationcontrollers") => "controllers".to_owned(),
        ("", "nodes") => "minions".to_owned(),
        ("networking.k8s.io", "ingresses") => "ingress".to_owned(),
        (group, plural)
            if custom::is(kind) || plural == "customresourcedefinitions" || plural == "apiservices" =>
        {
            format!("{group}/{plural}")
        }
        (_, plural) => plural.to_owned(),
    };
    if kind.namespaced {
        format!("/{resource}/{namespace}/{name}")
    } else {
        format!("/{resource}/{name}")
    }
}
