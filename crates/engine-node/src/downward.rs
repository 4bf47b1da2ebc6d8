//! The downward API: fields of the pod and resources of its containers as text
//! (pkg/fieldpath/fieldpath.go, pkg/kubelet/kubelet_pods.go, pkg/api/v1/resource/helpers.go).
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::resources;

/// What the node knows and the pod's spec does not say.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The pod's address, once it has one.
    pub pod_ip: Option<IpAddr>,
    /// The node's address.
    pub host_ip: Option<IpAddr>,
    /// Allocatable CPU of the node in thousandths, for containers without a limit.
    pub cpu_milli: i64,
    /// Allocatable memory of the node in bytes.
    pub memory: i64,
    /// Allocatable disk of the node in bytes.
    pub storage: i64,
}

/// Value of a `fieldRef`.
pub fn field(pod: &Pod, facts: &Facts, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let ip = |value: Option<IpAddr>| value.map(|ip| ip.to_string()).unwrap_or_default();
    if let Some((base, key)) = subscript(path) {
        let map = match base {
            "metadata.annotations" => meta.annotations.as_ref(),
            "metadata.labels" => meta.labels.as_ref(),
            _ => return Err(format!("fieldPath \"{path}\" does not support subscript")),
        };
        return Ok(text(map.and_then(|map| map.get(key))));
    }
    Ok(match path {
        "metadata.name" => text(meta.name.as_ref()),
        "metadata.namespace" => text(meta.namespace.as_ref()),
        "metadata.uid" => text(meta.uid.as_ref()),
        "metadata.labels" => map_text(meta.labels.as_ref()),
        "metadata.annotations" => map_text(Some(&with_source(pod))),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "spec.restartPolicy" => text(spec.and_then(|spec| spec.restart_policy.as_ref())),
        "status.hostIP" | "status.hostIPs" => ip(facts.host_ip),
        "status.podIP" | "status.podIPs" => ip(facts.pod_ip),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// Annotations with the two by which upstream's kubelet remembers whence and since when it knows a pod; they are in the files only.
fn with_source(pod: &Pod) -> BTreeMap<String, String> {
    let mut all = pod.metadata.annotations.clone().unwrap_or_default();
    all.insert("kubernetes.io/config.source".to_owned(), "api".to_owned());
    // It is told of a pod as soon as that is created; the time must not change from one look to the next.
    if let Some(created) = &pod.metadata.creation_timestamp {
        all.insert("kubernetes.io/config.seen".to_owned(), created.0.to_string());
    }
    all
}

fn subscript(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_suffix("']")?;
    rest.split_once("['")
}

/// `key="value"` lines, sorted, as Go quotes them.
fn map_text(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", go_quote(value)))
        .collect();
    lines.join("\n")
}

/// strconv.Quote.
pub fn go_quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Value of a `resourceFieldRef`, in units of its divisor, rounded up.
pub fn resource(
    pod: &Pod,
    facts: &Facts,
    selector: &ResourceFieldSelector,
    own: &str,
) -> Result<String, String> {
    let name = selector
        .container_name
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or(own);
    let container = resources::containers(pod)
        .find(|container| container.name == name)
        .ok_or_else(|| format!("container {name} not found"))?;
    let (milli, divisor_milli) = amount(container, facts, selector)?;
    let divisor = if divisor_milli <= 0 {
        if selector.resource.rsplit('.').next() == Some("cpu") {
            1000
        } else {
            1
        }
    } else {
        divisor_milli
    };
    Ok((milli + divisor - 1).div_euclid(divisor).to_string())
}

fn amount(
    container: &Container,
    facts: &Facts,
    selector: &ResourceFieldSelector,
) -> Result<(i64, i64), String> {
    let (from, kind) = selector
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let list = container.resources.as_ref();
    let of = |kind: &str| match from {
        "limits" => Ok(resources::limit(list, kind)),
        "requests" => Ok(resources::request(list, kind)),
        _ => Err(format!("unsupported container resource : {}", selector.resource)),
    };
    let divisor = selector.divisor.as_ref();
    let default = |allocatable: i64| if from == "limits" { allocatable } else { 0 };
    match kind {
        "cpu" => Ok((
            of(kind)?.unwrap_or_else(|| default(facts.cpu_milli)),
            divisor.map_or(0, resources::milli),
        )),
        "memory" => Ok((
            of(kind)?.unwrap_or_else(|| default(facts.memory)),
            divisor.map_or(0, resources::value),
        )),
        "ephemeral-storage" => Ok((
            of(kind)?.unwrap_or_else(|| default(facts.storage)),
            divisor.map_or(0, resources::value),
        )),
        pages if pages.starts_with("hugepages-") => {
            Ok((of(kind)?.unwrap_or(0), divisor.map_or(0, resources::value)))
        }
        _ => Err(format!("unsupported container resource : {}", selector.resource)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"app": "x", "b": "say \"hi\""}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "32Mi", "cpu": "1500m"}}}]}
        }))
        .unwrap()
    }

    #[test]
    fn fields() {
        let facts = Facts {
            pod_ip: "10.64.1.2".parse().ok(),
            ..Facts::default()
        };
        assert_eq!(
            field(&pod(), &facts, "metadata.labels").unwrap(),
            "app=\"x\"\nb=\"say \\\"hi\\\"\""
        );
        assert_eq!(field(&pod(), &facts, "metadata.labels['app']").unwrap(), "x");
        assert_eq!(field(&pod(), &facts, "status.podIP").unwrap(), "10.64.1.2");
        assert!(field(&pod(), &facts, "spec.nope").is_err());
    }

    #[test]
    fn resources_are_rounded_up() {
        let facts = Facts {
            cpu_milli: 2000,
            memory: 1 << 30,
            ..Facts::default()
        };
        let get = |text: &str, divisor: Option<&str>| {
            let selector = ResourceFieldSelector {
                resource: text.into(),
                divisor: divisor.map(|d| k8s_openapi::apimachinery::pkg::api::resource::Quantity(d.into())),
                container_name: None,
            };
            resource(&pod(), &facts, &selector, "c").unwrap()
        };
        assert_eq!(get("limits.memory", None), "33554432");
        assert_eq!(get("limits.memory", Some("1Mi")), "32");
        assert_eq!(get("limits.cpu", None), "2");
        assert_eq!(get("limits.cpu", Some("1m")), "1500");
        assert_eq!(get("requests.cpu", None), "0");
    }
}
