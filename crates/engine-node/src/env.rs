//! The environment of a container, in upstream's order of precedence: envFrom, then env, then service variables
//! (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables; third_party/forked/golang/expansion).
use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Container, FileKeySelector, Pod};

use crate::objects::{Kind, Source};
use crate::volumes::Ready;
use crate::{downward, env_file};

/// A service as far as environment variables are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLink {
    /// Service name.
    pub name: String,
    /// Cluster address; services without one are not links.
    pub cluster_ip: String,
    /// Port number, protocol and name, in the order of the spec.
    pub ports: Vec<(i32, String, Option<String>)>,
}

/// Where ConfigMaps and Secrets come from; absent objects are `None`.
pub type Sources = HashMap<(Kind, String), Option<std::sync::Arc<Source>>>;

/// What a container's environment is made of besides its spec.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Addresses of the pod, and of the node.
    pub facts: &'a downward::Facts,
    /// ConfigMaps and Secrets that the container names.
    pub sources: &'a Sources,
    /// The pod's volumes, for files with variables.
    pub volumes: &'a BTreeMap<String, Ready>,
    /// Service variables that apply to the pod.
    pub services: BTreeMap<String, String>,
}

/// The ConfigMaps and Secrets that a container's environment refers to.
pub fn references(container: &Container) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    for from in container.env_from.iter().flatten() {
        if let Some(map) = &from.config_map_ref {
            found.push((Kind::ConfigMap, map.name.clone()));
        }
        if let Some(secret) = &from.secret_ref {
            found.push((Kind::Secret, secret.name.clone()));
        }
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|var| var.value_from.as_ref())
    {
        if let Some(map) = &source.config_map_key_ref {
            found.push((Kind::ConfigMap, map.name.clone()));
        }
        if let Some(secret) = &source.secret_key_ref {
            found.push((Kind::Secret, secret.name.clone()));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// All variables of a container, or upstream's message of why it cannot be configured.
pub fn build(container: &Container, inputs: &Inputs<'_>) -> Result<BTreeMap<String, String>, String> {
    let namespace = inputs.pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut vars = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let (kind, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(map), _) => (Kind::ConfigMap, &map.name, map.optional),
            (None, Some(secret)) => (Kind::Secret, &secret.name, secret.optional),
            (None, None) => continue,
        };
        let Some(source) = lookup(inputs.sources, kind, name, optional)? else {
            continue;
        };
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (key, value) in &source.text {
            vars.insert(
                format!("{prefix}{key}"),
                String::from_utf8_lossy(value).into_owned(),
            );
        }
    }
    for var in container.env.iter().flatten() {
        let mut value = var.value.clone().unwrap_or_default();
        if !value.is_empty() {
            value = expand(&value, |name| {
                vars.get(name).or_else(|| inputs.services.get(name)).cloned()
            });
        } else if let Some(from) = &var.value_from {
            if let Some(field) = &from.field_ref {
                value = downward::field(inputs.pod, inputs.facts, &field.field_path)?;
            } else if let Some(resource) = &from.resource_field_ref {
                value = downward::resource(inputs.pod, inputs.facts, resource, &container.name)?;
            } else if let Some(reference) = &from.config_map_key_ref {
                match key(
                    inputs.sources,
                    Kind::ConfigMap,
                    namespace,
                    &reference.name,
                    &reference.key,
                    reference.optional,
                )? {
                    Some(found) => value = found,
                    None => continue,
                }
            } else if let Some(reference) = &from.secret_key_ref {
                match key(
                    inputs.sources,
                    Kind::Secret,
                    namespace,
                    &reference.name,
                    &reference.key,
                    reference.optional,
                )? {
                    Some(found) => value = found,
                    None => continue,
                }
            } else if let Some(reference) = &from.file_key_ref {
                match file_key(inputs.volumes, reference)? {
                    Some(found) => value = found,
                    None => continue,
                }
            }
        }
        vars.insert(var.name.clone(), value);
    }
    for (name, value) in &inputs.services {
        vars.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(vars)
}

/// A variable from a file of a volume; where that lies on the node is not the pod's to know.
fn file_key(
    volumes: &BTreeMap<String, Ready>,
    reference: &FileKeySelector,
) -> Result<Option<String>, String> {
    let FileKeySelector { key, path, .. } = reference;
    let volume = volumes.get(&reference.volume_name).ok_or_else(|| {
        let name = &reference.volume_name;
        format!("cannot find the volume {name:?} referenced by FileKeyRef")
    })?;
    let text = env_file::read(&volume.path, path);
    let found = text.and_then(|text| env_file::value(&text, key)).map_err(|why| {
        tracing::debug!(path, why, "file of variables cannot be read");
        "couldn't parse env file".to_owned()
    })?;
    if found.is_none() && reference.optional != Some(true) {
        return Err(format!(
            "environment variable key {key:?} not found in file {path:?}"
        ));
    }
    Ok(found)
}

fn lookup<'a>(
    sources: &'a Sources,
    kind: Kind,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'a Source>, String> {
    match sources.get(&(kind, name.to_owned())).and_then(Option::as_deref) {
        Some(source) => Ok(Some(source)),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("{} \"{name}\" not found", kind.word())),
    }
}

fn key(
    sources: &Sources,
    kind: Kind,
    namespace: &str,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<String>, String> {
    let Some(source) = lookup(sources, kind, name, optional)? else {
        return Ok(None);
    };
    match source.text.get(key) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional == Some(true) => Ok(None),
        None => Err(format!(
            "couldn't find key {key} in {} {namespace}/{name}",
            kind.title()
        )),
    }
}

/// Replaces `$(NAME)` by its value; `$$(NAME)` is the escape and unknown names stay as they are.
pub fn expand(input: &str, get: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some(open) = after.strip_prefix('(') {
            if let Some(end) = open.find(')') {
                let name = &open[..end];
                match get(name) {
                    Some(value) => out.push_str(&value),
                    None => {
                        out.push_str("$(");
                        out.push_str(name);
                        out.push(')');
                    }
                }
                rest = &open[end + 1..];
            } else {
                out.push_str("$(");
                rest = open;
            }
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The variables by which a container finds services (pkg/kubelet/envvars/envvars.go).
pub fn service_variables<'a>(
    services: impl IntoIterator<Item = &'a ServiceLink>,
) -> BTreeMap<String, String> {
    let mut vars = BTreeMap::new();
    for service in services {
        let Some(first) = service.ports.first() else {
            continue;
        };
        let prefix = service.name.replace('-', "_").to_uppercase();
        vars.insert(format!("{prefix}_SERVICE_HOST"), service.cluster_ip.clone());
        vars.insert(format!("{prefix}_SERVICE_PORT"), first.0.to_string());
        for (index, (port, protocol, name)) in service.ports.iter().enumerate() {
            if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
                let name = name.replace('-', "_").to_uppercase();
                vars.insert(format!("{prefix}_SERVICE_PORT_{name}"), port.to_string());
            }
            let lower = protocol.to_lowercase();
            let host = if service.cluster_ip.contains(':') {
                format!("[{}]", service.cluster_ip)
            } else {
                service.cluster_ip.clone()
            };
            let url = format!("{lower}://{host}:{port}");
            if index == 0 {
                vars.insert(format!("{prefix}_PORT"), url.clone());
            }
            let link = format!("{prefix}_PORT_{port}_{}", protocol.to_uppercase());
            vars.insert(format!("{link}_PROTO"), lower);
            vars.insert(format!("{link}_PORT"), port.to_string());
            vars.insert(format!("{link}_ADDR"), service.cluster_ip.clone());
            vars.insert(link, url);
        }
    }
    vars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn expansion_follows_upstream() {
        for (input, want) in [
            ("$(A)", "one"),
            ("x$(A)y$(EMPTY)z", "xoneyz"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$(NOPE)", "$(NOPE)"),
            ("$(A", "$(A"),
            ("cost: $5 $", "cost: $5 $"),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(input, vars), want, "{input}");
        }
    }

    #[test]
    fn services_become_link_variables() {
        let links = [ServiceLink {
            name: "redis-master".into(),
            cluster_ip: "10.0.0.11".into(),
            ports: vec![(6379, "TCP".into(), Some("db".into()))],
        }];
        let vars = service_variables(&links);
        assert_eq!(vars["REDIS_MASTER_SERVICE_HOST"], "10.0.0.11");
        assert_eq!(vars["REDIS_MASTER_SERVICE_PORT_DB"], "6379");
        assert_eq!(vars["REDIS_MASTER_PORT"], "tcp://10.0.0.11:6379");
        assert_eq!(vars["REDIS_MASTER_PORT_6379_TCP_PROTO"], "tcp");
        assert_eq!(vars.len(), 8);
    }

    #[test]
    fn keys_that_are_missing_say_so() {
        let pod = Pod {
            metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                namespace: Some("ns".into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "c",
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "x"}}}]
        }))
        .unwrap();
        let facts = downward::Facts::default();
        let mut sources = Sources::new();
        let build = |sources: &Sources| {
            build(
                &container,
                &Inputs {
                    pod: &pod,
                    facts: &facts,
                    sources,
                    volumes: &BTreeMap::new(),
                    services: BTreeMap::new(),
                },
            )
        };
        assert_eq!(build(&sources).unwrap_err(), "configmap \"cfg\" not found");
        sources.insert((Kind::ConfigMap, "cfg".into()), Some(std::sync::Arc::default()));
        assert_eq!(
            build(&sources).unwrap_err(),
            "couldn't find key x in ConfigMap ns/cfg"
        );
    }
}
