//! Nobody grants more than they have (kubernetes `pkg/registry/rbac/validation`).
use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::{Api, Call},
    auth::rbac::{Attributes, Rule, compile_rules},
    json::{self, list, text},
    keys,
    status::{ApiError, Result},
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuse a role or binding, new or changed, that gives more than its maker has.
pub fn check(
    api: &Api,
    call: &Call,
    kind: &'static KindInfo,
    object: &Value,
    old: Option<&Value>,
) -> Result<()> {
    if kind.group != GROUP || call.user.is_master() {
        return Ok(());
    }
    let namespace = call.route.namespace.as_str();
    let may = |verb: &str, resource: &str, name: &str| {
        let wanted = Attributes {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        api.may(&call.user, &wanted)
    };
    let rules = match kind.plural {
        "roles" | "clusterroles" => {
            if may("escalate", kind.plural, text(object, "/metadata/name")) {
                return Ok(());
            }
            compile_rules(object)
        }
        _ => {
            let name = text(object, "/roleRef/name");
            let (plural, scope) = if text(object, "/roleRef/kind") == "Role" {
                ("roles", namespace)
            } else {
                ("clusterroles", "")
            };
            if may("bind", plural, name) {
                return Ok(());
            }
            let Some(kind) = schema::by_resource(GROUP, "v1", plural) else {
                return Ok(());
            };
            if api.store.get(&keys::key(kind, scope, name)).is_none() {
                return Err(ApiError::not_found(kind, name));
            }
            api.rbac.rules_of_role(&api.store, scope, name)
        }
    };
    let own = api.rbac.rules_of(&api.store, &call.user, namespace);
    let held = |rule: &Rule| rule.is_held_by(&own);
    let missing: Vec<&Rule> = rules.iter().filter(|rule| !held(rule)).collect();
    let name = text(object, "/metadata/name");
    if missing.is_empty() {
        let gathers = |role: &Value| !list(role, "/aggregationRule/clusterRoleSelectors").is_empty();
        // What it gathers may be anything, and may change at any time.
        if (gathers(object) || old.is_some_and(gathers)) && !Rule::all().iter().all(held) {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(ApiError::forbidden(kind, name, why));
        }
        return Ok(());
    }
    let words: Vec<String> = missing
        .iter()
        .map(|r| {
            // The order of upstream's CompactString (pkg/apis/rbac/v1/helpers.go).
            let parts = [
                ("APIGroups", &r.groups),
                ("Resources", &r.resources),
                ("NonResourceURLs", &r.urls),
                ("ResourceNames", &r.names),
                ("Verbs", &r.verbs),
            ];
            let said = parts.iter().filter(|(_, list)| !list.is_empty());
            let quoted = |list: &[String]| {
                list.iter()
                    .map(|word| format!("{word:?}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let said: Vec<String> = said
                .map(|(name, list)| format!("{name}:[{}]", quoted(list)))
                .collect();
            format!("{{{}}}", said.join(", "))
        })
        .collect();
    let why = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        call.user.name,
        call.user.groups,
        words.join("\n")
    );
    Err(ApiError::forbidden(kind, name, why))
}

/// The same for updates, unless they only let go of the object (`pkg/registry/rbac/helpers.go` IsOnlyMutatingGCFields): also a label
/// grants, of a role that others gather.
pub fn check_update(api: &Api, call: &Call, kind: &'static KindInfo, new: &Value, old: &Value) -> Result<()> {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "selfLink"] {
            json::remove(&mut rest, &["metadata", field]);
        }
        rest
    };
    if kind.group != GROUP || rest(new) == rest(old) {
        return Ok(());
    }
    check(api, call, kind, new, Some(old))
}
