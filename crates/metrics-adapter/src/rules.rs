//! The rules: which metrics there are, and the queries that give them.
use serde::Deserialize;

use crate::Error;

/// The rules of an adapter, from a TOML file.
///
/// In queries, `$namespace` stands for the namespace, `$names` for a regular expression that matches the objects asked for, and
/// `$selector` for label matchers (each with a comma before it) of the selector that came with the request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Metrics of objects.
    #[serde(default)]
    pub custom: Vec<CustomRule>,
    /// Metrics of nothing in the cluster.
    #[serde(default)]
    pub external: Vec<ExternalRule>,
    /// CPU and memory of pods and nodes.
    pub resource: Option<ResourceRules>,
}

/// A metric of objects of one resource.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// Its name.
    pub name: String,
    /// The objects' resource: `pods`, `services`, `deployments.apps`.
    pub resource: String,
    /// Their kind: `Pod`.
    pub kind: String,
    /// Version of the resource's group.
    #[serde(default = "v1")]
    pub version: String,
    /// Whether they live in namespaces.
    #[serde(default = "yes")]
    pub namespaced: bool,
    /// PromQL; each sample carries the object's name in `label`.
    pub query: String,
    /// The label that names the object.
    pub label: String,
    /// Over how many seconds it is an average.
    pub window_seconds: Option<i64>,
}

/// A metric by itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalRule {
    /// Its name.
    pub name: String,
    /// PromQL; each sample is a value.
    pub query: String,
}

/// CPU (in cores) and memory (in bytes).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRules {
    /// By `namespace`, `pod` and `container`.
    pub container_cpu: String,
    /// By the same.
    pub container_memory: String,
    /// By `node`.
    pub node_cpu: String,
    /// By the same.
    pub node_memory: String,
    /// Over how many seconds CPU use is an average.
    pub window_seconds: i64,
}

fn v1() -> String {
    "v1".to_owned()
}

fn yes() -> bool {
    true
}

impl Rules {
    /// Reads TOML; `origin` is named in errors.
    pub fn parse(origin: &str, text: &str) -> Result<Self, Error> {
        let failed = |reason: String| Error::Rules {
            origin: origin.to_owned(),
            reason,
        };
        let rules: Self = toml::from_str(text).map_err(|e| failed(e.to_string().trim_end().to_owned()))?;
        if rules.custom.is_empty() && rules.external.is_empty() && rules.resource.is_none() {
            return Err(failed("no rule: nothing would be served".to_owned()));
        }
        for rule in &rules.custom {
            let same = |other: &&CustomRule| (&other.name, &other.resource) == (&rule.name, &rule.resource);
            if rules.custom.iter().filter(same).count() > 1 {
                let what = format!("metric `{}` of `{}` is given twice", rule.name, rule.resource);
                return Err(failed(what));
            }
        }
        Ok(rules)
    }
}

impl CustomRule {
    /// Group, version and plural of the objects.
    pub fn group(&self) -> &str {
        self.resource.split_once('.').map_or("", |(_, group)| group)
    }

    /// Plural of the objects.
    pub fn plural(&self) -> &str {
        self.resource.split('.').next().unwrap_or_default()
    }

    /// `apiVersion` of the objects.
    pub fn api_version(&self) -> String {
        match self.group() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told() {
        let says = |text: &str| Rules::parse("rules.toml", text).unwrap_err().to_string();
        assert_eq!(says(""), "rules.toml: no rule: nothing would be served");
        assert!(says("[[custom]]\nname = 'x'\n").contains("missing field"));
        assert!(says("[[external]]\nname = 'x'\nquery = 'y'\nextra = 1\n").contains("unknown field"));
        let rule = "[[custom]]\nname='a'\nresource='pods'\nkind='Pod'\nquery='q'\nlabel='pod'\n";
        assert_eq!(
            says(&rule.repeat(2)),
            "rules.toml: metric `a` of `pods` is given twice"
        );
        let rules = Rules::parse("rules.toml", &rule.replace("pods", "deployments.apps")).unwrap();
        assert_eq!(rules.custom[0].api_version(), "apps/v1");
        assert_eq!(rules.custom[0].plural(), "deployments");
    }
}
