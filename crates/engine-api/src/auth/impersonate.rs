//! `Impersonate-User` and its companions (`kubectl --as`; apiserver `endpoints/filters/impersonation/{constrained_impersonation,mode}.go`).
//!
//! Whoever may `impersonate` a user may do all that the user may. The constrained modes ask for two rights instead: to take that
//! user's place (`impersonate:MODE`), and to do this very thing in it (`impersonate-on:MODE:VERB`).
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use http::HeaderMap;
use kube_types::{is_dns1123_label, is_dns1123_subdomain};

use crate::{
    api::Api,
    auth::rbac::Attributes,
    query::decode,
    status::{ApiError, Result},
    user::{ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, User},
};

const EXTRA: &str = "impersonate-extra-";
const GROUP: &str = "authentication.k8s.io";
/// From so many groups or values on, the right to all of them is asked for first.
const MANY: usize = 4;

/// Whether a header is about impersonation; nobody further on is told of it.
pub fn is_header(name: &str) -> bool {
    matches!(name, "impersonate-user" | "impersonate-group" | "impersonate-uid") || name.starts_with(EXTRA)
}

/// What the headers ask for, as it stands there.
#[derive(Debug, Default)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Result<Option<Self>> {
        // A name need not be ASCII. To leave out what is not would let whoever asks act as themselves instead.
        let all = |name: &str| -> Vec<String> {
            let values = headers.get_all(name).iter();
            values
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
                .collect()
        };
        let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
        let keys = headers.keys().filter_map(|key| key.as_str().strip_prefix(EXTRA));
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in keys {
            let values = extra.entry(decode(key, false)).or_default();
            values.extend(all(&format!("{EXTRA}{key}")));
        }
        let wanted = Self {
            name: first("impersonate-user"),
            uid: first("impersonate-uid"),
            groups: all("impersonate-group"),
            extra,
        };
        if !wanted.name.is_empty() {
            return Ok(Some(wanted));
        }
        if wanted.is_name_only() {
            return Ok(None);
        }
        Err(ApiError::bad_request(format!(
            "requested {} without impersonating a user name",
            wanted.as_go()
        )))
    }

    fn is_name_only(&self) -> bool {
        self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }

    /// As Go's `%#v` prints it.
    fn as_go(&self) -> String {
        let list = |list: &[String]| match list {
            [] => "[]string(nil)".to_owned(),
            list => format!(
                "[]string{{{}}}",
                list.iter()
                    .map(|text| format!("{text:?}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        let extra = if self.extra.is_empty() {
            "map[string][]string(nil)".to_owned()
        } else {
            let entries = self
                .extra
                .iter()
                .map(|(key, values)| format!("{key:?}:{}", list(values)));
            format!(
                "map[string][]string{{{}}}",
                entries.collect::<Vec<_>>().join(", ")
            )
        };
        format!(
            "&user.DefaultInfo{{Name:\"\", UID:{:?}, Groups:{}, Extra:{extra}}}",
            self.uid,
            list(&self.groups)
        )
    }
}

/// Namespace and name of a service account, by the name of its user.
fn account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (is_dns1123_label(namespace).is_empty() && is_dns1123_subdomain(name).is_empty())
        .then_some((namespace, name))
}

fn node(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:")
        .filter(|name| is_dns1123_subdomain(name).is_empty())
}

/// By which way each user took somebody's place last: it is tried first, which shows in refusals and in the groups of nodes (apiserver
/// `endpoints/filters/impersonation/cache.go` modeIndexCache).
#[derive(Default)]
pub struct Modes(Mutex<HashMap<String, Mode>>);

/// So many users are remembered; then it begins anew.
const REMEMBERED: usize = 10_000;

impl Modes {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Mode>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, user: &str) -> Option<Mode> {
        self.lock().get(user).copied()
    }

    fn note(&self, user: &str, mode: Mode) {
        let mut modes = self.lock();
        if modes.get(user) == Some(&mode) {
            return;
        }
        if modes.len() >= REMEMBERED {
            modes.clear();
        }
        modes.insert(user.to_owned(), mode);
    }
}

/// The ways to take somebody's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    /// That of before 1.35.
    Legacy,
}

impl Mode {
    /// In the order in which they are tried; the first refusal is told.
    const ALL: [Self; 5] = [
        Self::AssociatedNode,
        Self::ArbitraryNode,
        Self::ServiceAccount,
        Self::UserInfo,
        Self::Legacy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn is_constrained(self) -> bool {
        self != Self::Legacy
    }

    fn verb(self) -> String {
        match self {
            Self::Legacy => "impersonate".to_owned(),
            mode => format!("impersonate:{}", mode.name()),
        }
    }

    /// Whether this is a way at all to acting whom the requester wants to be.
    fn applies(self, wanted: &Wanted, requester: &User) -> bool {
        let (node, account_name) = (node(&wanted.name), account(&wanted.name));
        match self {
            Self::AssociatedNode => {
                let own = requester
                    .extra
                    .get("authentication.kubernetes.io/node-name")
                    .map(Vec::as_slice);
                wanted.is_name_only()
                    && account(&requester.name).is_some()
                    && node.is_some_and(|node| matches!(own, Some([own]) if own == node))
            }
            Self::ArbitraryNode => wanted.is_name_only() && node.is_some(),
            Self::ServiceAccount => wanted.is_name_only() && account_name.is_some(),
            Self::UserInfo => node.is_none() && account_name.is_none(),
            Self::Legacy => true,
        }
    }
}

impl Api {
    /// The user that a request acts as: itself, or whom it may impersonate.
    pub fn impersonated(&self, user: User, headers: &HeaderMap, request: &Attributes) -> Result<User> {
        let Some(wanted) = Wanted::of(headers)? else {
            return Ok(user);
        };
        let mut refused = None;
        let last = self.modes.of(&user.name);
        let others = Mode::ALL.into_iter().filter(|mode| Some(*mode) != last);
        let modes = last.into_iter().chain(others);
        for mode in modes.filter(|mode| mode.applies(&wanted, &user)) {
            match self.impersonate(mode, &user, &wanted, request) {
                Ok(acting) => {
                    self.modes.note(&user.name, mode);
                    return Ok(acting);
                }
                Err(why) => drop(refused.get_or_insert(why)),
            }
        }
        Err(refused.unwrap_or_else(|| ApiError::internal("all impersonation modes failed")))
    }

    fn impersonate(
        &self,
        mode: Mode,
        requester: &User,
        wanted: &Wanted,
        request: &Attributes,
    ) -> Result<User> {
        let may = |attributes: &Attributes| {
            let decided = self.decide(requester, attributes);
            if decided.allowed {
                Ok(())
            } else {
                Err(attributes.forbidden(requester, &decided.reason))
            }
        };
        if mode.is_constrained() {
            may(&Attributes {
                verb: format!("impersonate-on:{}:{}", mode.name(), request.verb),
                ..request.clone()
            })?;
        }
        let about = |group: &str, resource: &str, name: &str| Attributes {
            verb: mode.verb(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        let group = if mode.is_constrained() { GROUP } else { "" };
        let mut groups = wanted.groups.clone();
        let mut whom = about(group, "users", &wanted.name);
        if mode.is_constrained()
            && let Some(node) = node(&wanted.name)
        {
            // The right to be one's own node is the right to be any that one runs on.
            let name = if mode == Mode::AssociatedNode { "*" } else { node };
            whom = about(group, "nodes", name);
            groups = vec!["system:nodes".to_owned()];
        }
        if let Some((namespace, name)) = account(&wanted.name) {
            whom = Attributes {
                namespace: namespace.to_owned(),
                ..about(group, "serviceaccounts", name)
            };
            if groups.is_empty() {
                groups = vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                ];
            }
        }
        may(&whom)?;
        if !wanted.uid.is_empty() {
            may(&about(GROUP, "uids", &wanted.uid))?;
        }

        let refused = |what: Attributes, why: &str| Err(what.forbidden(requester, why));
        if mode.is_constrained() && wanted.groups.iter().any(String::is_empty) {
            return refused(
                about(group, "groups", ""),
                "impersonating the empty string group is not allowed",
            );
        }
        if mode.is_constrained() && wanted.groups.iter().any(|g| g == MASTERS) {
            return refused(
                about(group, "groups", MASTERS),
                "impersonating the system:masters group is not allowed",
            );
        }
        let many = mode.is_constrained() && wanted.groups.len() >= MANY;
        if !(many && may(&about(group, "groups", "*")).is_ok()) {
            for name in &wanted.groups {
                may(&about(group, "groups", name))?;
            }
        }

        let extra = |key: &str, value: &str| Attributes {
            subresource: key.to_owned(),
            ..about(GROUP, "userextras", value)
        };
        if mode.is_constrained()
            && let Some(why) = bad_extra(&wanted.extra)
        {
            return refused(extra("", ""), &why);
        }
        let values = wanted.extra.values().map(Vec::len).sum::<usize>();
        let many = mode.is_constrained() && values.max(wanted.extra.len()) >= MANY;
        if !(many && may(&extra("*", "*")).is_ok()) {
            for (key, values) in &wanted.extra {
                for value in values {
                    may(&extra(key, value))?;
                }
            }
        }

        let has = |groups: &[String], name: &str| groups.iter().any(|g| g == name);
        let own = if wanted.name == ANONYMOUS || has(&groups, UNAUTHENTICATED) {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        };
        if !has(&groups, own) {
            groups.push(own.to_owned());
        }
        Ok(User {
            name: wanted.name.clone(),
            uid: wanted.uid.clone(),
            groups,
            extra: wanted.extra.clone(),
            is_own: false,
        })
    }
}

/// What the constrained modes refuse of extra values (`validateExtra`).
fn bad_extra(extra: &BTreeMap<String, Vec<String>>) -> Option<String> {
    for (key, values) in extra {
        if key.is_empty() {
            return Some("impersonating the empty string key in extra is not allowed".to_owned());
        }
        let parts = key
            .split_once('/')
            .filter(|(host, path)| !host.is_empty() && !path.is_empty());
        let Some((host, path)) = parts else {
            return Some(format!(
                "impersonating an invalid key in extra is not allowed: extra[key]: Invalid value: {key:?}: must be a \
                 domain-prefixed path (such as \"acme.io/foo\")"
            ));
        };
        if let Some(why) = is_dns1123_subdomain(host).first() {
            return Some(format!(
                "impersonating an invalid key in extra is not allowed: extra[key]: Invalid value: {host:?}: {why}"
            ));
        }
        // `httpPathFmt` of apimachinery's `util/validation`.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
        if !path.bytes().all(fits) {
            return Some(format!(
                "impersonating an invalid key in extra is not allowed: extra[key]: Invalid value: {path:?}: Invalid path (regex used for \
                 validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"
            ));
        }
        if *key != key.to_lowercase() {
            return Some(format!(
                "impersonating a non-lowercase key in extra is not allowed: {key:?}"
            ));
        }
        if values.iter().any(String::is_empty) {
            return Some("impersonating the empty string value in extra is not allowed".to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use engine_store::Precondition;
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    const BOSS: &str = "boss";

    /// A server on which `boss` has these rules.
    async fn server(rules: serde_json::Value) -> Api {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let config = crate::Config {
            service_account_keys: vec![key.serialize_pem()],
            ..crate::Config::default()
        };
        let api = Api::new(config).unwrap();
        let rbac = "rbac.authorization.k8s.io";
        let role = json!({"metadata": {"name": "r"}, "rules": rules});
        let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
            "subjects": [{"kind": "User", "name": BOSS}]});
        for (key, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            let key = format!("{key}.{rbac}/{}", object["metadata"]["name"].as_str().unwrap());
            api.store.put(&key, object, Precondition::None).await.unwrap();
        }
        api.rbac.changed();
        api
    }

    fn ask(api: &Api, headers: &[(&str, &str)]) -> Result<User> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let list = Attributes {
            verb: "list".into(),
            resource: "pods".into(),
            namespace: "ns".into(),
            ..Attributes::default()
        };
        api.impersonated(User::new(BOSS, ["staff"]), &map, &list)
    }

    /// Seen on 1.36.2: a node has its group only as long as nobody was impersonated in the old way.
    #[tokio::test]
    async fn the_way_that_worked_last_is_tried_first() {
        let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        let api = server(all).await;
        let node = [("impersonate-user", "system:node:n")];
        let groups = |headers: &[(&str, &str)]| ask(&api, headers).unwrap().groups;
        assert_eq!(groups(&node), ["system:nodes", "system:authenticated"]);
        let with_group = [node[0], ("impersonate-group", "g")];
        assert_eq!(groups(&with_group), ["g", "system:authenticated"]);
        assert_eq!(groups(&node), ["system:authenticated"]);
    }

    fn anybody() -> serde_json::Value {
        json!([{"verbs": ["impersonate"], "apiGroups": ["", GROUP],
            "resources": ["users", "groups", "serviceaccounts", "uids", "userextras/scopes"]}])
    }

    #[tokio::test]
    async fn a_name_that_is_not_ascii_is_a_name() {
        let api = server(anybody()).await;
        assert_eq!(
            ask(&api, &[("impersonate-user", "jürgen")]).unwrap().name,
            "jürgen"
        );
        let api = server(json!([])).await;
        let refused = ask(&api, &[("impersonate-user", "jürgen")]).unwrap_err();
        assert_eq!(
            refused.code, 403,
            "and nobody acts as themselves instead: {refused}"
        );
    }

    #[tokio::test]
    async fn all_of_a_user_is_taken_on_and_asked_for() {
        let api = server(anybody()).await;
        let headers = [
            ("impersonate-user", "jane"),
            ("impersonate-uid", "u-1"),
            ("impersonate-group", "dev"),
            ("impersonate-extra-scopes", "a"),
            ("impersonate-extra-scopes", "b"),
        ];
        let jane = ask(&api, &headers).unwrap();
        assert_eq!(jane.groups, ["dev", AUTHENTICATED]);
        assert_eq!(
            (jane.uid.as_str(), &jane.extra["scopes"]),
            ("u-1", &vec!["a".to_owned(), "b".to_owned()])
        );
        let refused = ask(
            &api,
            &[("impersonate-user", "jane"), ("impersonate-extra-other", "x")],
        )
        .unwrap_err();
        assert_eq!(refused.code, 403);
        let account = ask(&api, &[("impersonate-user", "system:serviceaccount:ns:web")]).unwrap();
        assert_eq!(
            account.groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                AUTHENTICATED
            ]
        );
        assert_eq!(
            ask(&api, &[("impersonate-user", ANONYMOUS)]).unwrap().groups,
            [UNAUTHENTICATED]
        );
        let nobody = ask(&api, &[("impersonate-group", "dev")]).unwrap_err();
        assert_eq!(
            nobody.message,
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"dev\"}, Extra:map[string][]string(nil)} without \
             impersonating a user name"
        );
        assert_eq!(ask(&api, &[]).unwrap().name, BOSS);
    }

    #[test]
    fn keys_of_extra_values_are_paths_of_a_domain() {
        let of = |key: &str| bad_extra(&BTreeMap::from([(key.to_owned(), vec!["v".to_owned()])]));
        assert_eq!(of("example.com/a/b"), None);
        for (key, why) in [
            ("", "the empty string key"),
            ("scopes", "must be a domain-prefixed path"),
            ("-/a", "a lowercase RFC 1123 subdomain"),
            ("example.com/a b", "Invalid path (regex used"),
            ("example.com/A", "a non-lowercase key"),
        ] {
            assert!(
                of(key).is_some_and(|said| said.contains(why)),
                "{key}: {:?}",
                of(key)
            );
        }
    }

    #[tokio::test]
    async fn constrained_to_one_thing() {
        let rules = |verbs: &str| {
            json!([{"verbs": ["impersonate:user-info"], "apiGroups": [GROUP], "resources": ["users", "groups"]},
                {"verbs": [verbs], "apiGroups": [""], "resources": ["pods"]}])
        };
        let headers = [("impersonate-user", "jane")];
        let api = server(rules("impersonate-on:user-info:list")).await;
        assert_eq!(ask(&api, &headers).unwrap().name, "jane");
        let masters = [("impersonate-user", "jane"), ("impersonate-group", MASTERS)];
        assert!(
            ask(&api, &masters)
                .unwrap_err()
                .message
                .ends_with("impersonating the system:masters group is not allowed")
        );
        let api = server(rules("impersonate-on:user-info:get")).await;
        assert_eq!(
            ask(&api, &headers).unwrap_err().message,
            "pods is forbidden: User \"boss\" cannot impersonate-on:user-info:list resource \"pods\" in API group \"\" in the \
             namespace \"ns\""
        );
    }
}
