//! What a node may do: only what concerns itself and the pods that are bound to it (kubernetes `plugin/pkg/auth/authorizer/node/node_authorizer.go`).
use std::sync::LazyLock;

use engine_store::Store;

use super::{
    node_graph::{self, Thing},
    rbac::{Attributes, Decision, Rule, compile_rules},
};
use crate::{bootstrap, user::User};

/// The group of nodes.
pub const NODES: &str = "system:nodes";
/// What comes before a node's name in the name of its user.
const PREFIX: &str = "system:node:";
/// Where nodes renew their leases.
pub const LEASES: &str = "kube-node-lease";

/// The rules that hold for every node alike; nobody has to be bound to the role.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let role = bootstrap::role("system:node");
    role.as_ref().map(compile_rules).unwrap_or_default()
});

/// The name of the node that a user is (`pkg/auth/nodeidentifier/default.go`). It may be empty.
pub fn identity(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix(PREFIX)?;
    user.groups.iter().any(|group| group == NODES).then_some(name)
}

/// What the Node authorizer says: allowed, or no opinion with a reason that is often empty.
pub fn decide(store: &Store, user: &User, wanted: &Attributes) -> Decision {
    let Some(node) = identity(user) else {
        return Decision::default();
    };
    if node.is_empty() {
        return unless(false, || format!("unknown node for user {:?}", user.name));
    }
    let asked = Asked { store, node, wanted };
    if !wanted.path.is_empty() {
        return unless(RULES.iter().any(|rule| rule.allows(wanted)), String::new);
    }
    match (wanted.group.as_str(), wanted.resource.as_str()) {
        ("", "secrets") => asked.read(Thing::Secret),
        ("", "configmaps") => asked.read(Thing::ConfigMap),
        ("", "persistentvolumeclaims") if wanted.subresource == "status" => match wanted.verb.as_str() {
            "update" | "patch" => asked.related(Thing::Claim),
            _ => no("can only get/update/patch this type"),
        },
        ("", "persistentvolumeclaims") => asked.get(Thing::Claim),
        ("", "persistentvolumes") => asked.get(Thing::Volume),
        ("resource.k8s.io", "resourceclaims") => asked.get(Thing::ResourceClaim),
        ("storage.k8s.io", "volumeattachments") => asked.get(Thing::Attachment),
        ("", "serviceaccounts") => asked.account(),
        ("coordination.k8s.io", "leases") => asked.lease(),
        ("storage.k8s.io", "csinodes") => asked.csi_node(),
        ("resource.k8s.io", "resourceslices") => asked.slice(),
        ("", "nodes") => asked.node(),
        ("", "pods") => asked.pod(),
        _ => unless(RULES.iter().any(|rule| rule.allows(wanted)), String::new),
    }
}

fn unless(allowed: bool, reason: impl FnOnce() -> String) -> Decision {
    Decision {
        allowed,
        reason: if allowed { String::new() } else { reason() },
    }
}

fn yes() -> Decision {
    unless(true, String::new)
}

fn no(reason: &str) -> Decision {
    unless(false, || reason.to_owned())
}

/// A request of a node.
struct Asked<'a> {
    store: &'a Store,
    node: &'a str,
    wanted: &'a Attributes,
}

impl Asked<'_> {
    fn is_part(&self) -> bool {
        !self.wanted.subresource.is_empty()
    }

    /// Whether only what this node has is selected.
    fn selects_own(&self, field: &str) -> bool {
        let fields = &self.wanted.fields;
        fields
            .iter()
            .any(|r| r.equal && r.field == field && r.value == self.node)
    }

    fn related(&self, thing: Thing) -> Decision {
        let (namespace, name) = (self.wanted.namespace.as_str(), self.wanted.name.as_str());
        if name.is_empty() {
            return no("No Object name found");
        }
        let found = node_graph::reaches(self.store, self.node, thing, namespace, name);
        unless(found, || {
            format!(
                "no relationship found between node '{}' and this object",
                self.node
            )
        })
    }

    fn get(&self, thing: Thing) -> Decision {
        if self.wanted.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if self.is_part() {
            return no("cannot get subresource");
        }
        self.related(thing)
    }

    fn read(&self, thing: Thing) -> Decision {
        if !matches!(self.wanted.verb.as_str(), "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if self.is_part() {
            return no("cannot read subresource");
        }
        if self.wanted.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(thing)
    }

    fn account(&self) -> Decision {
        if self.wanted.verb == "get" && !self.is_part() {
            return self.read(Thing::Account);
        }
        if self.wanted.verb != "create" || self.wanted.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if self.wanted.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Thing::Account)
    }

    /// Whether the verb is one of those that a node has on what bears its own name. On creation the name is not known yet: admission
    /// looks at it.
    fn own_verb(&self) -> bool {
        matches!(
            self.wanted.verb.as_str(),
            "get" | "create" | "update" | "patch" | "delete"
        )
    }

    fn is_own(&self) -> bool {
        self.wanted.verb == "create" || self.wanted.name == self.node
    }

    fn lease(&self) -> Decision {
        if !self.own_verb() {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.wanted.namespace != LEASES {
            return unless(false, || {
                format!("can only access leases in the {LEASES:?} system namespace")
            });
        }
        unless(self.is_own(), || {
            "can only access node lease with the same name as the requesting node".to_owned()
        })
    }

    fn csi_node(&self) -> Decision {
        if !self.own_verb() {
            return no("can only get, create, update, patch, or delete a CSINode");
        }
        if self.is_part() {
            return no("cannot authorize CSINode subresources");
        }
        unless(self.is_own(), || {
            "can only access CSINode with the same name as the requesting node".to_owned()
        })
    }

    fn slice(&self) -> Decision {
        if self.is_part() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.wanted.verb.as_str() {
            "create" => yes(),
            "get" | "update" | "patch" | "delete" => self.related(Thing::Slice),
            "watch" | "list" | "deletecollection" => unless(self.selects_own("spec.nodeName"), || {
                "can only list/watch/deletecollection resourceslices with nodeName field selector".to_owned()
            }),
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, \
                 deletecollection",
            ),
        }
    }

    fn node(&self) -> Decision {
        let own = self.node;
        match (self.wanted.subresource.as_str(), self.wanted.verb.as_str()) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => yes(),
            ("", "get" | "list" | "watch") => match self.wanted.name.as_str() {
                name if name == own => yes(),
                "" => unless(false, || {
                    format!("node '{own}' cannot read all nodes, only its own Node object")
                }),
                other => unless(false, || {
                    format!("node '{own}' cannot read '{other}', only its own Node object")
                }),
            },
            _ => no(""),
        }
    }

    fn pod(&self) -> Decision {
        match (self.wanted.subresource.as_str(), self.wanted.verb.as_str()) {
            ("", "get") => self.get(Thing::Pod),
            ("", "list" | "watch") if self.selects_own("spec.nodeName") => yes(),
            ("", "list" | "watch") if !self.wanted.name.is_empty() => self.related(Thing::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => yes(),
            _ => no(""),
        }
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
