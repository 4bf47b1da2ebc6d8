//! Defaults of single kinds of the core and networking groups: `pkg/apis/{core,networking}/v1/defaults.go`, `conversion.go`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::defaults::{default_absent, default_zero, is_absent, is_zero, text};

type Fields = Map<String, Value>;

pub(crate) fn default_secret(fields: &mut Fields) {
    default_zero(fields, "type", "Opaque");
    // Write-only convenience, folded in by upstream's conversion.
    if let Some(Value::Object(strings)) = fields.remove("stringData") {
        let data = fields.entry("data").or_insert_with(|| json!({}));
        if data.is_null() {
            *data = json!({});
        }
        if let Value::Object(data) = data {
            data.extend(strings.into_iter().map(|(key, value)| {
                let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
                (key, Value::String(encoded))
            }));
        }
    }
}

pub(crate) fn default_service(fields: &mut Fields) {
    let Some(Value::Object(spec)) = fields.get_mut("spec") else {
        return;
    };
    default_zero(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let timeout = spec
                .get("sessionAffinityConfig")
                .and_then(|c| c.pointer("/clientIP/timeoutSeconds"));
            if timeout.is_none_or(Value::is_null) {
                spec.insert(
                    "sessionAffinityConfig".to_owned(),
                    json!({"clientIP": {"timeoutSeconds": 10800}}),
                );
            }
        }
        _ => {}
    }
    default_zero(spec, "type", "ClusterIP");
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let Value::Object(port) = port else { continue };
        default_zero(port, "protocol", "TCP");
        if is_zero(port, "targetPort") {
            let number = port.get("port").cloned().unwrap_or_else(|| json!(0));
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let external = kind == "ClusterIP"
        && spec
            .get("externalIPs")
            .and_then(Value::as_array)
            .is_some_and(|l| !l.is_empty());
    if external || kind == "NodePort" || kind == "LoadBalancer" {
        default_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default_absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default_absent(spec, "allocateLoadBalancerNodePorts", true);
        let ingress = fields
            .get_mut("status")
            .and_then(|s| s.pointer_mut("/loadBalancer/ingress"));
        for ingress in ingress.and_then(Value::as_array_mut).into_iter().flatten() {
            let Value::Object(ingress) = ingress else { continue };
            if !is_zero(ingress, "ip") {
                default_absent(ingress, "ipMode", "VIP");
            }
        }
    }
}

pub(crate) fn default_namespace(fields: &mut Fields) {
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
        return;
    };
    let Some(name) = metadata
        .get("name")
        .filter(|n| n.as_str().is_some_and(|n| !n.is_empty()))
        .cloned()
    else {
        return;
    };
    if is_absent(metadata, "labels") {
        metadata.insert("labels".to_owned(), json!({}));
    }
    if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
        labels.insert("kubernetes.io/metadata.name".to_owned(), name);
    }
}

pub(crate) fn default_limit_range_item(fields: &mut Fields) {
    if text(fields, "type") != "Container" {
        return;
    }
    for (from, to) in [
        ("max", "default"),
        ("default", "defaultRequest"),
        ("min", "defaultRequest"),
    ] {
        let Some(Value::Object(source)) = fields.get(from).cloned() else {
            continue;
        };
        let target = fields.entry(to).or_insert_with(|| json!({}));
        if let Value::Object(target) = target {
            for (key, value) in source {
                target.entry(key).or_insert(value);
            }
        }
    }
}

pub(crate) fn default_network_policy(spec: &mut Fields) {
    if is_zero(spec, "policyTypes") {
        let egress = !is_zero(spec, "egress");
        spec.insert(
            "policyTypes".to_owned(),
            if egress {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            },
        );
    }
}

/// A first element and a list of objects that upstream keeps in step; where they differ the single one is right, for older clients
/// know no other (pkg/apis/core/v1/conversion.go).
pub(crate) fn mirror_list(fields: &mut Fields, single: &str, list: &str, key: &str) {
    let first = fields
        .get(list)
        .and_then(|l| l.pointer(&format!("/0/{key}")))
        .cloned();
    let own = fields
        .get(single)
        .filter(|v| v.as_str().is_some_and(|v| !v.is_empty()))
        .cloned();
    match (own, first) {
        (Some(own), first) if first.as_ref() != Some(&own) => {
            fields.insert(list.to_owned(), json!([{ key: own }]));
        }
        (None, Some(first)) => {
            fields.insert(single.to_owned(), first);
        }
        _ => {}
    }
}

pub(crate) fn mirror_plain_list(fields: &mut Fields, single: &str, list: &str) {
    let first = fields.get(list).and_then(|l| l.get(0)).cloned();
    let own = fields
        .get(single)
        .filter(|v| v.as_str().is_some_and(|v| !v.is_empty()))
        .cloned();
    match (own, first) {
        // For clients that know nothing of the list, the single one counts.
        (Some(own), first) if first.as_ref() != Some(&own) => {
            fields.insert(list.to_owned(), json!([own]));
        }
        (None, Some(first)) => {
            fields.insert(single.to_owned(), first);
        }
        _ => {}
    }
}
