//! Where objects are stored, and which version of a kind is stored.
use schema::KindInfo;

/// The prefix of all objects of a resource, with its trailing slash.
pub fn prefix(kind: &KindInfo, namespace: &str) -> String {
    // Both groups of events are one storage, as upstream has it.
    let root = if kind.group.is_empty() || kind.plural == "events" {
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
