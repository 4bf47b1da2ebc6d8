//! Which flow schema a request belongs to (apiserver `pkg/util/flowcontrol/{rule,apf_filter}.go`). Nobody waits for it here: the answer
//! says it, for clients and dashboards that look.
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::{
    json::{list, number, strings, text},
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
    schema: Arc<Value>,
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
                schema,
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
        let flow = flows.iter().find(|flow| matches(&flow.schema, user, route))?;
        Some((flow.uid.clone(), flow.level_uid.clone()))
    }
}

fn matches(schema: &Value, user: &User, route: &Route) -> bool {
    list(schema, "/spec/rules").iter().any(|rule| {
        let rules = if route.of_resource {
            list(rule, "/resourceRules")
        } else {
            list(rule, "/nonResourceRules")
        };
        list(rule, "/subjects").iter().any(|subject| is(subject, user))
            && rules.iter().any(|rule| {
                has(rule, "/verbs", route.verb)
                    && if route.of_resource {
                        of_resource(rule, route)
                    } else {
                        of_path(rule, route)
                    }
            })
    })
}

fn has(rule: &Value, field: &str, wanted: &str) -> bool {
    strings(rule, field)
        .iter()
        .any(|one| *one == "*" || *one == wanted)
}

fn is(subject: &Value, user: &User) -> bool {
    let fits = |name: &str, own: &str| name == "*" || name == own;
    match text(subject, "/kind") {
        "User" => fits(text(subject, "/user/name"), &user.name),
        "Group" => user
            .groups
            .iter()
            .any(|group| fits(text(subject, "/group/name"), group)),
        "ServiceAccount" => {
            let own = user
                .name
                .strip_prefix("system:serviceaccount:")
                .and_then(|own| own.split_once(':'));
            own.is_some_and(|(namespace, name)| {
                text(subject, "/serviceAccount/namespace") == namespace
                    && fits(text(subject, "/serviceAccount/name"), name)
            })
        }
        _ => false,
    }
}

fn of_resource(rule: &Value, route: &Route) -> bool {
    let resource = if route.subresource.is_empty() {
        route.resource.clone()
    } else {
        format!("{}/{}", route.resource, route.subresource)
    };
    let placed = if route.namespace.is_empty() {
        rule["clusterScope"] == true
    } else {
        has(rule, "/namespaces", &route.namespace)
    };
    placed && has(rule, "/apiGroups", &route.group) && has(rule, "/resources", &resource)
}

fn of_path(rule: &Value, route: &Route) -> bool {
    strings(rule, "/nonResourceURLs")
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
