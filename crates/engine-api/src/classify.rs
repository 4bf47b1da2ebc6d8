//! Which flow schema a request belongs to (apiserver `pkg/util/flowcontrol/{rule,apf_filter}.go`). Nobody waits for it here: the answer
//! says it, for clients and dashboards that look.
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::{
    api::flowcontrol::v1::{
        FlowSchemaSpec, NonResourcePolicyRule, PolicyRulesWithSubjects, ResourcePolicyRule, Subject,
    },
    serde::Deserialize,
};
use serde_json::Value;

use crate::{
    json::{number, text},
    keys,
    route::Route,
    user::User,
};

/// The flow schemas, by precedence.
#[derive(Default)]
pub struct Flows(RwLock<Arc<Vec<Flow>>>);

struct Flow {
    uid: String,
    level_uid: String,
    rules: Vec<PolicyRulesWithSubjects>,
}

/// The unique identifiers of a flow schema and of its priority level.
pub type Uids = (String, String);

impl Flows {
    /// Take these schemas and levels from now on.
    pub fn set(&self, mut schemas: Vec<Arc<Value>>, levels: &[Arc<Value>]) {
        schemas.sort_by_cached_key(|schema| {
            let precedence = number(schema, "/spec/matchingPrecedence").unwrap_or_default();
            (precedence, text(schema, "/metadata/name").to_owned())
        });
        let flows = schemas.into_iter().filter_map(|schema| {
            let level = text(&schema, "/spec/priorityLevelConfiguration/name");
            let level = levels.iter().find(|l| text(l, "/metadata/name") == level)?;
            Some(Flow {
                uid: text(&schema, "/metadata/uid").to_owned(),
                level_uid: text(level, "/metadata/uid").to_owned(),
                rules: FlowSchemaSpec::deserialize(&schema["spec"]).ok()?.rules?,
            })
        });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(flows.collect());
    }

    /// Where a request of this user belongs; nowhere when it may take long and is no watch, which is not counted.
    pub fn of(&self, user: &User, route: &Route) -> Option<Uids> {
        const LONG: [&str; 5] = ["attach", "exec", "proxy", "log", "portforward"];
        let long = LONG.contains(&route.subresource.as_str()) || route.path.starts_with("/debug/pprof");
        if long && route.verb != "watch" {
            return None;
        }
        let flows = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let flow = flows
            .iter()
            .find(|flow| flow.rules.iter().any(|rule| matches(rule, user, route)))?;
        Some((flow.uid.clone(), flow.level_uid.clone()))
    }
}

fn matches(rule: &PolicyRulesWithSubjects, user: &User, route: &Route) -> bool {
    rule.subjects.iter().any(|subject| is(subject, user))
        && if route.of_resource {
            rule.resource_rules
                .iter()
                .flatten()
                .any(|rule| of_resource(rule, route))
        } else {
            rule.non_resource_rules
                .iter()
                .flatten()
                .any(|rule| of_path(rule, route))
        }
}

fn fits(pattern: &str, own: &str) -> bool {
    pattern == "*" || pattern == own
}

fn has(patterns: &[String], own: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, own))
}

fn is(subject: &Subject, user: &User) -> bool {
    let of_user = || subject.user.as_ref().is_some_and(|of| fits(&of.name, &user.name));
    let of_group = || {
        let group = subject.group.as_ref();
        group.is_some_and(|of| user.groups.iter().any(|own| fits(&of.name, own)))
    };
    let of_account = || {
        let (Some(of), Some(own)) = (
            &subject.service_account,
            user.name.strip_prefix("system:serviceaccount:"),
        ) else {
            return false;
        };
        own.split_once(':')
            .is_some_and(|(namespace, name)| of.namespace == namespace && fits(&of.name, name))
    };
    match subject.kind.as_str() {
        "User" => of_user(),
        "Group" => of_group(),
        "ServiceAccount" => of_account(),
        _ => false,
    }
}

fn of_resource(rule: &ResourcePolicyRule, route: &Route) -> bool {
    let of_resource = |pattern: &String| match pattern.split_once('/') {
        _ if pattern == "*" => true,
        Some((resource, subresource)) => resource == route.resource && subresource == route.subresource,
        None => *pattern == route.resource && route.subresource.is_empty(),
    };
    let placed = if route.namespace.is_empty() {
        rule.cluster_scope == Some(true)
    } else {
        has(rule.namespaces.as_deref().unwrap_or_default(), &route.namespace)
    };
    placed
        && has(&rule.verbs, route.verb)
        && has(&rule.api_groups, &route.group)
        && rule.resources.iter().any(of_resource)
}

fn of_path(rule: &NonResourcePolicyRule, route: &Route) -> bool {
    has(&rule.verbs, route.verb)
        && rule
            .non_resource_urls
            .iter()
            .any(|url| match url.strip_suffix('*') {
                Some(prefix) => route.path.starts_with(prefix),
                None => *url == route.path,
            })
}

/// What the store has of both kinds.
pub fn refresh(api: &crate::api::Api, schemas: &schema::KindInfo, levels: &schema::KindInfo) {
    let of = |kind| -> Vec<Arc<Value>> {
        let found = api.store.list(&keys::prefix(kind, "")).items;
        found.iter().map(|stored| stored.value()).collect()
    };
    api.flows.set(of(schemas), &of(levels));
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::*;
    use crate::query::Query;

    fn flows() -> Flows {
        let named = |mut object: Value| {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["uid"] = name;
            Arc::new(object)
        };
        let all: Vec<_> = crate::bootstrap::flow::all().into_iter().map(named).collect();
        let (schemas, levels) = all.into_iter().partition(|o| o["kind"] == "FlowSchema");
        let flows = Flows::default();
        flows.set(schemas, &levels);
        flows
    }

    #[test]
    fn requests_belong_where_upstream_puts_them() {
        let flows = flows();
        let of = |user: &str, groups: &[&str], method: Method, path: &str| {
            let user = User {
                name: user.to_owned(),
                groups: groups.iter().map(|g| (*g).to_owned()).collect(),
                ..User::default()
            };
            let route = Route::parse(&method, path, &Query::parse(""));
            flows
                .of(&user, &route)
                .map(|(schema, level)| format!("{schema} {level}"))
        };
        let authenticated = ["system:authenticated"];
        let account = ["system:serviceaccounts", "system:authenticated"];
        let pods = "/api/v1/namespaces/a/pods";
        for (user, groups, path, belongs) in [
            ("admin", &["system:masters"][..], pods, Some("exempt exempt")),
            (
                "jane",
                &authenticated,
                pods,
                Some("global-default global-default"),
            ),
            ("jane", &authenticated, "/healthz", Some("probes exempt")),
            (
                "system:serviceaccount:a:b",
                &account,
                pods,
                Some("service-accounts workload-low"),
            ),
            (
                "system:serviceaccount:kube-system:b",
                &account,
                pods,
                Some("kube-system-service-accounts workload-high"),
            ),
            (
                "system:kube-scheduler",
                &authenticated,
                pods,
                Some("kube-scheduler workload-high"),
            ),
            ("jane", &authenticated, "/api/v1/namespaces/a/pods/b/log", None),
        ] {
            assert_eq!(
                of(user, groups, Method::GET, path).as_deref(),
                belongs,
                "{user} {path}"
            );
        }
    }

    #[test]
    fn one_whose_level_is_not_there_is_none() {
        let flows = Flows::default();
        let schema =
            json!({"metadata": {"name": "a"}, "spec": {"priorityLevelConfiguration": {"name": "l"}}});
        flows.set(vec![Arc::new(schema)], &[]);
        let route = Route::parse(&Method::GET, "/healthz", &Query::parse(""));
        assert_eq!(flows.of(&User::default(), &route), None);
    }
}
