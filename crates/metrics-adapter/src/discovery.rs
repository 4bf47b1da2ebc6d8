//! What is served, as the aggregator and clients ask for it.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::route::{CUSTOM, EXTERNAL, RESOURCE};
use crate::rules::Rules;

/// The groups that have rules, each with its versions in order of preference.
fn groups(rules: &Rules) -> Vec<(&'static str, &'static [&'static str])> {
    let mut groups: Vec<(&str, &[&str])> = Vec::new();
    if !rules.custom.is_empty() {
        groups.push((CUSTOM, &["v1beta2", "v1beta1"]));
    }
    if !rules.external.is_empty() {
        groups.push((EXTERNAL, &["v1beta1"]));
    }
    if rules.resource.is_some() {
        groups.push((RESOURCE, &["v1beta1"]));
    }
    groups
}

fn described(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

/// `/apis`.
pub fn list(rules: &Rules) -> Value {
    let groups: Vec<Value> = groups(rules)
        .into_iter()
        .map(|(name, versions)| described(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(rules: &Rules, name: &str) -> Option<Value> {
    let (name, versions) = groups(rules).into_iter().find(|(group, _)| *group == name)?;
    let mut body = described(name, versions);
    body["kind"] = "APIGroup".into();
    body["apiVersion"] = "v1".into();
    Some(body)
}

/// `/apis/GROUP/VERSION`.
pub fn resources(rules: &Rules, group: &str, version: &str) -> Option<Value> {
    let (_, versions) = groups(rules).into_iter().find(|(name, _)| *name == group)?;
    if !versions.contains(&version) {
        return None;
    }
    let resource = |name: &str, namespaced: bool, kind: &str, verbs: &[&str]| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": verbs});
    let resources: Vec<Value> = match group {
        CUSTOM => rules
            .custom
            .iter()
            .map(|rule| {
                let name = format!("{}/{}", rule.resource, rule.name);
                resource(&name, rule.namespaced, "MetricValueList", &["get"])
            })
            .collect(),
        EXTERNAL => {
            let names: BTreeSet<&str> = rules.external.iter().map(|rule| rule.name.as_str()).collect();
            names
                .into_iter()
                .map(|name| resource(name, true, "ExternalMetricValueList", &["get"]))
                .collect()
        }
        _ => vec![
            resource("nodes", false, "NodeMetrics", &["get", "list"]),
            resource("pods", true, "PodMetrics", &["get", "list"]),
        ],
    };
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"),
        "resources": resources}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_rules() {
        let text = "[[custom]]\nname='rps'\nresource='pods'\nkind='Pod'\nquery='q'\nlabel='pod'\n";
        let rules = Rules::parse("r", text).unwrap();
        assert_eq!(list(&rules)["groups"].as_array().unwrap().len(), 1);
        assert_eq!(
            group(&rules, CUSTOM).unwrap()["preferredVersion"]["version"],
            "v1beta2"
        );
        let found = resources(&rules, CUSTOM, "v1beta1").unwrap();
        assert_eq!(found["resources"][0]["name"], "pods/rps");
        assert_eq!(resources(&rules, CUSTOM, "v1"), None);
        assert_eq!(resources(&rules, EXTERNAL, "v1beta1"), None);
    }
}
