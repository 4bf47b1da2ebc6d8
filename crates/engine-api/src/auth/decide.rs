//! One authorizer after the other, until one allows it (`--authorization-mode=Node,RBAC`; apiserver `authorization/union/union.go`).
use super::{
    node,
    rbac::{Attributes, Decision},
};
use crate::{api::Api, user::User};

impl Api {
    /// Whether the user may do this.
    pub fn may(&self, user: &User, wanted: &Attributes) -> bool {
        self.rbac.allowed(&self.store, user, wanted) || node::decide(&self.store, user, wanted).allowed
    }

    /// Whether the user may do this, and why: each authorizer that does not allow it may say a word.
    pub fn decide(&self, user: &User, wanted: &Attributes) -> Decision {
        if user.is_master() {
            return self.rbac.decide(&self.store, user, wanted);
        }
        let mut reasons = Vec::new();
        let of_node = node::decide(&self.store, user, wanted);
        if of_node.allowed {
            return of_node;
        }
        reasons.push(of_node.reason);
        let of_roles = self.rbac.decide(&self.store, user, wanted);
        if of_roles.allowed {
            return of_roles;
        }
        reasons.push(of_roles.reason);
        reasons.retain(|reason| !reason.is_empty());
        Decision {
            allowed: false,
            reason: reasons.join("\n"),
        }
    }
}
