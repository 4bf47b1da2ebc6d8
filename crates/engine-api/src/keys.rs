//! Where objects are stored, and which version of a kind is stored.
use schema::KindInfo;

use crate::custom;

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

/// The key that upstream has for an object in etcd, as its messages show it (`pkg/registry/*/*/storage`).
pub fn upstream(kind: &KindInfo, namespace: &str, name: &str) -> String {
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
