//! Role-based access control (kubernetes `plugin/pkg/auth/authorizer/rbac`). Rules are compiled from the stored objects and
//! compiled anew after a write to any of them.
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use engine_store::Store;
use kube_types::{FieldRequirement, LabelSelector};
use serde_json::Value;

use crate::{
    json::{list, strings, text},
    status::ApiError,
    user::User,
};

/// What somebody wants to do.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    /// Verb.
    pub verb: String,
    /// API group.
    pub group: String,
    /// Resource; empty for a path.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace, empty for all or none.
    pub namespace: String,
    /// Object name, empty for all.
    pub name: String,
    /// Path, for what is not a resource; empty for what is, even if its name is.
    pub path: String,
    /// What a list, watch or deletion of many selects. RBAC takes no notice of it.
    pub fields: Vec<FieldRequirement>,
}

/// One compiled rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Verbs.
    pub verbs: Vec<String>,
    /// API groups.
    pub groups: Vec<String>,
    /// Resources, `pods/log` for subresources.
    pub resources: Vec<String>,
    /// Object names; empty for all.
    pub names: Vec<String>,
    /// Paths, with `*` at the end for a prefix.
    pub urls: Vec<String>,
}

struct Binding {
    subjects: Vec<Subject>,
    /// Namespace (empty for a ClusterRole) and name.
    role: (String, String),
    /// As upstream describes it, without the subject (kubernetes `pkg/registry/rbac/validation/rule.go`).
    described: String,
}

struct Subject {
    who: Who,
    /// As the binding says it.
    described: String,
}

enum Who {
    User(String),
    Group(String),
}

/// An answer to who may do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether they may.
    pub allowed: bool,
    /// Why, in upstream's words; often nothing.
    pub reason: String,
}

#[derive(Default)]
struct Index {
    roles: HashMap<(String, String), Vec<Rule>>,
    cluster: Vec<Binding>,
    namespaced: HashMap<String, Vec<Binding>>,
}

/// The rules in force.
#[derive(Default)]
pub struct Rbac {
    changes: AtomicU64,
    index: Mutex<(u64, Option<Arc<Index>>)>,
}

impl Rbac {
    /// A role or binding was written.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn index(&self, store: &Store) -> Arc<Index> {
        let wanted = self.changes.load(Ordering::Acquire);
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let (at, Some(found)) = &*index
            && *at == wanted
        {
            return found.clone();
        }
        let compiled = Arc::new(Index::compile(store));
        *index = (wanted, Some(compiled.clone()));
        compiled
    }

    /// Whether the user may do this.
    pub fn allowed(&self, store: &Store, user: &User, wanted: &Attributes) -> bool {
        user.is_master() || self.index(store).allows(user, wanted)
    }

    /// Whether the user may do this, and why (kubernetes `plugin/pkg/auth/authorizer/rbac/rbac.go` Authorize).
    pub fn decide(&self, store: &Store, user: &User, wanted: &Attributes) -> Decision {
        if user.is_master() {
            return Decision {
                allowed: true,
                ..Decision::default()
            };
        }
        let index = self.index(store);
        for (binding, subject) in index.bindings(user, &wanted.namespace) {
            if let Some(rules) = index.roles.get(&binding.role)
                && rules.iter().any(|rule| rule.allows(wanted))
            {
                let reason = format!("RBAC: allowed by {} to {}", binding.described, subject.described);
                return Decision {
                    allowed: true,
                    reason,
                };
            }
        }
        let missing = index.missing(user, &wanted.namespace);
        Decision {
            allowed: false,
            reason: if missing.is_empty() {
                missing
            } else {
                format!("RBAC: {missing}")
            },
        }
    }

    /// The rules that roles give a user in a namespace, and which of the roles are not there.
    pub fn given(&self, store: &Store, user: &User, namespace: &str) -> (Vec<Rule>, String) {
        let index = self.index(store);
        let rules = index.bindings(user, namespace);
        let rules = rules.filter_map(|(binding, _)| index.roles.get(&binding.role));
        (rules.flatten().cloned().collect(), index.missing(user, namespace))
    }

    /// All rules that hold for a user in a namespace, for escalation checks.
    pub fn rules_of(&self, store: &Store, user: &User, namespace: &str) -> Vec<Rule> {
        let mut found = Vec::new();
        if user.is_master() {
            found.extend(Rule::all());
        }
        found.extend(self.given(store, user, namespace).0);
        found
    }
}

impl Rbac {
    /// The rules of a role (of a ClusterRole without a namespace), with those that it gathers.
    pub fn rules_of_role(&self, store: &Store, namespace: &str, name: &str) -> Vec<Rule> {
        let key = (namespace.to_owned(), name.to_owned());
        self.index(store).roles.get(&key).cloned().unwrap_or_default()
    }
}

impl Index {
    fn compile(store: &Store) -> Self {
        const GROUP: &str = "rbac.authorization.k8s.io";
        let mut index = Self::default();
        let cluster_roles = store.list(&format!("clusterroles.{GROUP}/")).items;
        for role in &cluster_roles {
            let own = compile_rules(&role.value());
            let mut rules = own.clone();
            for selector in list(&role.value(), "/aggregationRule/clusterRoleSelectors") {
                // One that does not parse selects nothing.
                let selector =
                    LabelSelector::from_object(selector).unwrap_or_else(|_| LabelSelector::nothing());
                for other in cluster_roles
                    .iter()
                    .filter(|o| selector.matches_object(&o.value()))
                {
                    // Those that the controller has written down already are there once.
                    let gathered = compile_rules(&other.value());
                    rules.extend(gathered.into_iter().filter(|rule| !own.contains(rule)));
                }
            }
            index.roles.insert(
                (String::new(), text(&role.value(), "/metadata/name").to_owned()),
                rules,
            );
        }
        for role in store.list(&format!("roles.{GROUP}/")).items {
            let key = (
                text(&role.value(), "/metadata/namespace").to_owned(),
                text(&role.value(), "/metadata/name").to_owned(),
            );
            index.roles.insert(key, compile_rules(&role.value()));
        }
        for binding in store.list(&format!("clusterrolebindings.{GROUP}/")).items {
            index.cluster.push(compile_binding(&binding.value(), ""));
        }
        for binding in store.list(&format!("rolebindings.{GROUP}/")).items {
            let binding = binding.value();
            let namespace = text(&binding, "/metadata/namespace");
            index
                .namespaced
                .entry(namespace.to_owned())
                .or_default()
                .push(compile_binding(&binding, namespace));
        }
        index
    }

    fn allows(&self, user: &User, wanted: &Attributes) -> bool {
        self.bindings(user, &wanted.namespace)
            .filter_map(|(binding, _)| self.roles.get(&binding.role))
            .flatten()
            .any(|rule| rule.allows(wanted))
    }

    /// The bindings that apply to a user, each with the subject that does.
    fn bindings<'a>(
        &'a self,
        user: &'a User,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Binding, &'a Subject)> {
        let here = self.namespaced.get(namespace).filter(|_| !namespace.is_empty());
        self.cluster
            .iter()
            .chain(here.into_iter().flatten())
            .filter_map(|binding| Some((binding, binding.subject(user)?)))
    }

    /// Roles that bindings of the user name and nobody has made.
    fn missing(&self, user: &User, namespace: &str) -> String {
        let mut missing: Vec<String> = Vec::new();
        for (binding, _) in self.bindings(user, namespace) {
            let (scope, name) = &binding.role;
            if self.roles.contains_key(&binding.role) {
                continue;
            }
            let kind = if scope.is_empty() { "clusterrole" } else { "role" };
            let line = format!("{kind}.rbac.authorization.k8s.io {name:?} not found");
            if !missing.contains(&line) {
                missing.push(line);
            }
        }
        match missing.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        }
    }
}

fn compile_binding(value: &Value, namespace: &str) -> Binding {
    let subjects = list(value, "/subjects").iter().filter_map(|s| {
        let name = text(s, "/name").to_owned();
        let kind = text(s, "/kind");
        let (described, who) = match kind {
            "User" => (format!("{kind} {name:?}"), Who::User(name)),
            "Group" => (format!("{kind} {name:?}"), Who::Group(name)),
            "ServiceAccount" => {
                let own = text(s, "/namespace");
                let namespace = if own.is_empty() { namespace } else { own };
                let described = format!("{kind} {:?}", format!("{name}/{namespace}"));
                (
                    described,
                    Who::User(format!("system:serviceaccount:{namespace}:{name}")),
                )
            }
            _ => return None,
        };
        Some(Subject { who, described })
    });
    let (own, role) = (text(value, "/metadata/name"), text(value, "/roleRef/name"));
    let binding = if namespace.is_empty() {
        format!("ClusterRoleBinding {own:?}")
    } else {
        format!("RoleBinding {:?}", format!("{own}/{namespace}"))
    };
    let scope = if text(value, "/roleRef/kind") == "Role" {
        namespace
    } else {
        ""
    };
    Binding {
        subjects: subjects.collect(),
        role: (scope.to_owned(), role.to_owned()),
        described: format!("{binding} of {} {role:?}", text(value, "/roleRef/kind")),
    }
}

/// The rules of a role.
pub fn compile_rules(role: &Value) -> Vec<Rule> {
    let owned = |rule: &Value, at: &str| strings(rule, at).into_iter().map(str::to_owned).collect();
    list(role, "/rules")
        .iter()
        .map(|rule| Rule {
            verbs: owned(rule, "/verbs"),
            groups: owned(rule, "/apiGroups"),
            resources: owned(rule, "/resources"),
            names: owned(rule, "/resourceNames"),
            urls: owned(rule, "/nonResourceURLs"),
        })
        .collect()
}

impl Binding {
    fn subject(&self, user: &User) -> Option<&Subject> {
        self.subjects.iter().find(|subject| match &subject.who {
            Who::User(name) => *name == user.name,
            Who::Group(name) => user.groups.contains(name),
        })
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|x| x == "*" || x == wanted)
}

impl Rule {
    fn nothing() -> Self {
        Self {
            verbs: vec![],
            groups: vec![],
            resources: vec![],
            names: vec![],
            urls: vec![],
        }
    }

    /// The rules that allow everything.
    pub fn all() -> [Self; 2] {
        let all = || vec!["*".to_owned()];
        let resources = Self {
            verbs: all(),
            groups: all(),
            resources: all(),
            ..Self::nothing()
        };
        let paths = Self {
            verbs: all(),
            urls: all(),
            ..Self::nothing()
        };
        [resources, paths]
    }

    /// Whether this rule allows it.
    pub fn allows(&self, wanted: &Attributes) -> bool {
        if !has(&self.verbs, &wanted.verb) {
            return false;
        }
        if !wanted.path.is_empty() {
            return reaches(&self.urls, &wanted.path);
        }
        let combined = format!("{}/{}", wanted.resource, wanted.subresource);
        let any_resource = format!("*/{}", wanted.subresource);
        let resource = self.resources.iter().any(|r| {
            r == "*"
                || if wanted.subresource.is_empty() {
                    *r == wanted.resource
                } else {
                    *r == combined || *r == any_resource
                }
        });
        resource
            && has(&self.groups, &wanted.group)
            && (self.names.is_empty() || self.names.contains(&wanted.name))
    }

    /// Whether others together give all that this one gives (kubernetes `component-helpers/auth/rbac/validation/policy_comparator.go`).
    /// A rule's rights are the product of its lists, and one object has room for 10^15 of them: words that the same of the others give
    /// are one.
    pub fn is_held_by(&self, others: &[Self]) -> bool {
        let others: Vec<Words<'_>> = others.iter().map(Words::of).collect();
        let all: Vec<&Words<'_>> = others.iter().collect();
        let names = if self.names.is_empty() {
            &[String::new()][..]
        } else {
            &self.names
        };
        shares(&all, &self.verbs, |o, verb| o.has(&o.verbs, verb))
            .iter()
            .all(|given| {
                self.urls
                    .iter()
                    .all(|url| given.iter().any(|o| reaches(o.urls, url)))
                    && shares(given, &self.groups, |o, group| o.has(&o.groups, group))
                        .iter()
                        .all(|given| {
                            shares(given, &self.resources, Words::has_resource)
                                .iter()
                                .all(|given| names.iter().all(|name| given.iter().any(|o| o.has_name(name))))
                        })
            })
    }
}

/// Whether any of these paths is this one, or begins it.
fn reaches(urls: &[String], path: &str) -> bool {
    urls.iter().any(|url| match url.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => url == path,
    })
}

/// The words of a rule, to look for many.
struct Words<'r> {
    verbs: HashSet<&'r str>,
    groups: HashSet<&'r str>,
    resources: HashSet<&'r str>,
    names: HashSet<&'r str>,
    urls: &'r [String],
}

impl<'r> Words<'r> {
    fn of(rule: &'r Rule) -> Self {
        let set = |list: &'r [String]| list.iter().map(String::as_str).collect();
        Self {
            verbs: set(&rule.verbs),
            groups: set(&rule.groups),
            resources: set(&rule.resources),
            names: set(&rule.names),
            urls: &rule.urls,
        }
    }

    fn has(&self, words: &HashSet<&str>, word: &str) -> bool {
        words.contains("*") || words.contains(word)
    }

    fn has_resource(&self, resource: &str) -> bool {
        let of_any = |sub: &str| self.resources.contains(format!("*/{sub}").as_str());
        self.has(&self.resources, resource) || resource.split_once('/').is_some_and(|(_, sub)| of_any(sub))
    }

    fn has_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.contains(name)
    }
}

/// Which of the rules give a word, once for each such choice of them.
fn shares<'w, 'r>(
    rules: &[&'w Words<'r>],
    words: &[String],
    gives: impl Fn(&Words<'r>, &str) -> bool,
) -> Vec<Vec<&'w Words<'r>>> {
    let choices: BTreeSet<Vec<usize>> = words
        .iter()
        .map(|word| (0..rules.len()).filter(|at| gives(rules[*at], word)).collect())
        .collect();
    choices
        .into_iter()
        .map(|choice| choice.into_iter().map(|at| rules[at]).collect())
        .collect()
}

impl Attributes {
    /// 403 for a user who may not, with a further reason if there is one (apiserver `endpoints/handlers/responsewriters/errors.go`).
    pub fn forbidden(&self, user: &User, why: &str) -> ApiError {
        let mut message = self.refusal(user);
        if !why.is_empty() {
            message = format!("{message}: {why}");
        }
        let qualified = match (self.resource.as_str(), self.group.as_str()) {
            ("", _) => String::new(),
            (resource, "") => resource.to_owned(),
            (resource, group) => format!("{resource}.{group}"),
        };
        let mut details = serde_json::Map::new();
        for (key, value) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.resource),
        ] {
            if !value.is_empty() {
                details.insert(key.to_owned(), value.as_str().into());
            }
        }
        ApiError {
            details: Some(details.into()),
            ..ApiError::new(
                403,
                "Forbidden",
                match (qualified.as_str(), self.name.as_str()) {
                    ("", _) => format!("forbidden: {message}"),
                    (what, "") => format!("{what} is forbidden: {message}"),
                    (what, name) => format!("{what} \"{name}\" is forbidden: {message}"),
                },
            )
        }
    }

    /// Upstream's words for a refusal (apiserver `endpoints/handlers/responsewriters/errors.go`).
    pub fn refusal(&self, user: &User) -> String {
        let name = &user.name;
        if !self.path.is_empty() {
            return format!("User \"{name}\" cannot {} path \"{}\"", self.verb, self.path);
        }
        let resource = if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        };
        let scope = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        format!(
            "User \"{name}\" cannot {} resource \"{resource}\" in API group \"{}\" {scope}",
            self.verb, self.group
        )
    }
}

#[cfg(test)]
#[path = "rbac_tests.rs"]
mod tests;
