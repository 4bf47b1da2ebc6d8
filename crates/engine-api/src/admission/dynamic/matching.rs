//! What a webhook or a policy wants to hear of (apiserver `pkg/admission/plugin/webhook/predicates`,
//! `plugin/policy/matching/matching.go`).
use kube_types::LabelSelector;
use serde_json::{Map, Value};

use super::asked::{Asked, Form};
use crate::{
    api::Api,
    json::{list, strings, text},
    keys,
    status::{ApiError, Result},
};

/// `rules`, the selectors and `matchPolicy`.
#[derive(Debug)]
pub struct Wanted {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    namespaces: Result<LabelSelector, String>,
    objects: Result<LabelSelector, String>,
    exact: bool,
}

#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    /// Only these; nothing here for all.
    names: Vec<String>,
    scope: String,
}

impl Rule {
    fn of(value: &Value) -> Self {
        let all = |field: &str| strings(value, field).into_iter().map(str::to_owned).collect();
        Self {
            operations: all("/operations"),
            groups: all("/apiGroups"),
            versions: all("/apiVersions"),
            resources: all("/resources"),
            names: all("/resourceNames"),
            scope: text(value, "/scope").to_owned(),
        }
    }

    fn matches(&self, asked: &Asked<'_>, form: &Form) -> bool {
        let has = |all: &[String], one: &str| all.iter().any(|item| item == "*" || item == one);
        let is_namespace = form.group.is_empty() && form.resource == "namespaces";
        let inside = !is_namespace && !asked.namespace.is_empty();
        let in_scope = match self.scope.as_str() {
            "Namespaced" => inside,
            "Cluster" => !inside,
            _ => true,
        };
        let resource = self.resources.iter().any(|item| {
            let (resource, sub) = item.split_once('/').unwrap_or((item, ""));
            (resource == "*" || resource == form.resource) && (sub == "*" || sub == asked.subresource)
        });
        let named = self.names.is_empty() || self.names.contains(&asked.name);
        in_scope
            && named
            && resource
            && has(&self.operations, asked.operation)
            && has(&self.groups, &form.group)
            && has(&self.versions, &form.version)
    }
}

fn selector(value: &Value) -> Result<LabelSelector, String> {
    match value {
        Value::Null => Ok(LabelSelector::everything()),
        value => LabelSelector::from_object(value).map_err(|e| e.to_string()),
    }
}

fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/labels")?.as_object()
}

impl Wanted {
    /// From a webhook.
    pub fn of_webhook(hook: &Value) -> Self {
        Self {
            rules: list(hook, "/rules").iter().map(Rule::of).collect(),
            excluded: Vec::new(),
            namespaces: selector(&hook["namespaceSelector"]),
            objects: selector(&hook["objectSelector"]),
            exact: hook["matchPolicy"] == "Exact",
        }
    }

    /// From `matchConstraints` or `matchResources`; without any rules all requests are wanted.
    pub fn of_resources(wanted: &Value) -> Self {
        let rules = |field: &str| list(wanted, field).iter().map(Rule::of).collect();
        Self {
            rules: rules("/resourceRules"),
            excluded: rules("/excludeResourceRules"),
            namespaces: selector(&wanted["namespaceSelector"]),
            objects: selector(&wanted["objectSelector"]),
            exact: wanted["matchPolicy"] == "Exact",
        }
    }

    /// Whether no rules are said at all.
    pub fn is_unruled(&self) -> bool {
        self.rules.is_empty()
    }

    /// In which version this request is wanted, if it is.
    pub fn matches(&self, api: &Api, asked: &Asked<'_>) -> Result<Option<Form>> {
        let Some(form) = self.form(api, asked) else {
            return Ok(None);
        };
        let internal = |e: &String| ApiError::internal(e);
        let objects = self.objects.as_ref().map_err(internal)?;
        let is_selected = |object: &Value| !object.is_null() && objects.matches(&labels(object));
        if !objects.is_everything() && !is_selected(&asked.object) && !is_selected(&asked.old) {
            return Ok(None);
        }
        let namespaces = self.namespaces.as_ref().map_err(internal)?;
        let of_namespace = asked.kind.group.is_empty() && asked.kind.plural == "namespaces";
        if namespaces.is_everything() || asked.namespace.is_empty() && !of_namespace {
            return Ok(Some(form));
        }
        // Who makes or changes a namespace is asked about the labels that it is to have.
        let own =
            of_namespace && asked.subresource.is_empty() && matches!(asked.operation, "CREATE" | "UPDATE");
        let selected = if own {
            namespaces.matches(&labels(&asked.object))
        } else {
            let found = api.store.get(&keys::core("namespaces", "", &asked.namespace));
            let found = found.ok_or_else(|| ApiError::not_found_named("namespaces", &asked.namespace))?;
            namespaces.matches(&labels(&found.value()))
        };
        Ok(selected.then_some(form))
    }

    fn form(&self, api: &Api, asked: &Asked<'_>) -> Option<Form> {
        let own = asked.own_form();
        let found = self.find(&self.rules, api, asked, &own);
        // What is excluded is so in any version.
        if self.find(&self.excluded, api, asked, &own).is_some() {
            return None;
        }
        found
    }

    fn find(&self, rules: &[Rule], api: &Api, asked: &Asked<'_>, own: &Form) -> Option<Form> {
        if rules.iter().any(|rule| rule.matches(asked, own)) {
            return Some(own.clone());
        }
        if self.exact || rules.is_empty() {
            return None;
        }
        let others = asked.other_forms(api);
        rules
            .iter()
            .find_map(|rule| others.iter().find(|form| rule.matches(asked, form)))
            .cloned()
    }

    /// The same, where no rules stand for all requests (bindings of policies).
    pub fn narrows(&self, api: &Api, asked: &Asked<'_>) -> Result<bool> {
        if !self.is_unruled() {
            return Ok(self.matches(api, asked)?.is_some());
        }
        let everything = Rule {
            operations: vec!["*".to_owned()],
            groups: vec!["*".to_owned()],
            versions: vec!["*".to_owned()],
            resources: vec!["*/*".to_owned()],
            names: Vec::new(),
            scope: String::new(),
        };
        let whole = Self {
            rules: vec![everything],
            excluded: Vec::new(),
            namespaces: self.namespaces.clone(),
            objects: self.objects.clone(),
            exact: true,
        };
        let own = asked.own_form();
        let excluded = self.find(&self.excluded, api, asked, &own).is_some();
        Ok(!excluded && whole.matches(api, asked)?.is_some())
    }
}
