//! What is accepted and still wrong: the texts of upstream's Warning headers (`pkg/api/*/warnings.go`, the strategies'
//! `WarningsOnCreate` and `WarningsOnUpdate`, and the deprecation of whole APIs).

mod formats;
mod ports;
mod template;
mod tls;
mod volumes;

use kube_types::is_dns1123_label;
use serde_json::Value;

use crate::{field::Node, kind_of};

const STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// What every request for a deprecated API is told.
pub fn deprecation(definition: &str) -> Option<&'static str> {
    match kind_of(definition) {
        "ComponentStatus" => Some("v1 ComponentStatus is deprecated in v1.19+"),
        "Endpoints" => Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        _ => None,
    }
}

/// What whoever creates this object, or changes the `old` one into it, is told.
pub fn warnings(definition: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let kind = kind_of(definition);
    let object = Node::root(new);
    let mut found = Vec::new();
    let spec = object.get("spec");
    // An update that leaves the spec alone is not warned of what is in it.
    let touched = old.is_none_or(|old| old["metadata"]["generation"] != new["metadata"]["generation"]);
    match kind {
        "Pod" if old.is_none() => {
            found.extend(host_name(&object, "this is used in the Pod's hostname"));
            found.extend(template::warnings(&object));
        }
        "Deployment" | "ReplicaSet" | "ReplicationController" if touched => {
            if old.is_none() {
                found.extend(host_name(&object, "this is used in Pod names and hostnames"));
            }
            match old.filter(|_| kind == "ReplicationController") {
                // Upstream takes the old template for the new one there (`pkg/registry/core/replicationcontroller/strategy.go`
                // WarningsOnUpdate).
                Some(old) => found.extend(template::warnings(&Node::root(old).at(&["spec", "template"]))),
                None => found.extend(template::warnings(&spec.get("template"))),
            }
        }
        "PodTemplate" => found.extend(template::warnings(&object.get("template"))),
        "DaemonSet" if touched => found.extend(template::warnings(&spec.get("template"))),
        "StatefulSet" => {
            if touched {
                found.extend(template::warnings(&spec.get("template")));
            }
            for claim in spec.get("volumeClaimTemplates").items() {
                // Upstream's paths have a slip each.
                let path = claim.path();
                let shown = if old.is_some() {
                    format!("{path}.Spec")
                } else {
                    path.to_owned()
                };
                found.extend(claim_spec(&claim.get("spec").renamed(shown)));
            }
            if spec.get("revisionHistoryLimit").int().is_some_and(|n| n < 0) {
                found.push(
                    "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
                        .to_owned(),
                );
            }
        }
        "Job" if touched => found.extend(job(&object, old.is_none())),
        "CronJob" => {
            if old.is_none() {
                found.extend(host_name(&object, "this is used in Pod names and hostnames"));
            }
            if touched {
                found.extend(template::warnings(&spec.at(&["jobTemplate", "spec", "template"])));
            }
            if old.is_some() && spec.get("schedule").text().contains("TZ") {
                found.push(
                    "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                     https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                        .to_owned(),
                );
            }
        }
        "Service" => found.extend(service(&object)),
        "PersistentVolumeClaim" => {
            if !object
                .at(&["metadata", "annotations"])
                .key(STORAGE_CLASS)
                .is_empty()
            {
                found.push(format!(
                    "metadata.annotations[{STORAGE_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
                ));
            }
            found.extend(claim_spec(&spec));
        }
        "PersistentVolume" => found.extend(volumes::persistent(&object)),
        "Ingress" => {
            let class = object.at(&["metadata", "annotations"]);
            if old.is_none() && class.key("kubernetes.io/ingress.class").present() {
                found.push(
                    "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
                        .to_owned(),
                );
            }
        }
        "ServiceAccount" => {
            const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
            let has = |object: &Node<'_>| object.at(&["metadata", "annotations"]).key(ENFORCE).present();
            if has(&object) && !old.is_some_and(|old| has(&Node::root(old))) {
                found.push(format!(
                    "metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
                ));
            }
        }
        "ResourceQuota" if old.is_none() => found.extend(quota(&spec)),
        "Secret" if object.get("type").text() == "kubernetes.io/tls" => {
            found.extend(tls::warning(&object.get("data")));
        }
        "CustomResourceDefinition" => found.extend(formats::warnings(old, new)),
        "Node" if !spec.get("externalID").is_empty() => {
            found.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        "CSIDriver" => {
            let tokens = spec.get("tokenRequests");
            let new = old.is_none_or(|old| old["spec"]["tokenRequests"] != *tokens.value());
            if new && !tokens.is_empty() && !spec.get("serviceAccountTokenInSecrets").present() {
                found.push(
                    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of \
                     tokens in volume attributes"
                        .to_owned(),
                );
            }
        }
        "ResourceSlice" => {
            let driver = spec.get("driver").text();
            if driver != driver.to_lowercase() {
                found.push(format!(
                    "spec.driver: driver names should be lowercase; {driver:?} contains uppercase characters"
                ));
            }
        }
        _ => {}
    }
    found
}

fn host_name(object: &Node<'_>, why: &str) -> Option<String> {
    let complaints = is_dns1123_label(object.at(&["metadata", "name"]).text());
    (!complaints.is_empty()).then(|| {
        format!(
            "metadata.name: {why}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            complaints.join(" ")
        )
    })
}

fn job(object: &Node<'_>, new: bool) -> Vec<String> {
    const COMPLETIONS: i64 = 100_000;
    const PARALLELISM: i64 = 10_000;
    let spec = object.get("spec");
    let mut found = Vec::new();
    if new {
        found.extend(host_name(object, "this is used in Pod names and hostnames"));
    }
    let indexed = spec.get("completionMode").text() == "Indexed";
    let number = |name: &str| spec.get(name).int().unwrap_or(0);
    if indexed && number("completions") > COMPLETIONS && number("parallelism") > PARALLELISM {
        found.push(
            "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might \
             not be able to track completedIndexes when a big number of indexes fail"
                .to_owned(),
        );
    }
    found.extend(template::warnings(&spec.get("template")));
    found
}

fn service(object: &Node<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let spec = object.get("spec");
    let kind = spec.get("type").text();
    let headless = kind == "ClusterIP" && spec.get("clusterIP").text() == "None";
    let external = !spec.get("externalIPs").is_empty();
    if object
        .at(&["metadata", "annotations"])
        .key("service.kubernetes.io/topology-aware-hints")
        .present()
    {
        found.push(
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use \
             service.kubernetes.io/topology-mode instead"
                .to_owned(),
        );
    }
    if headless {
        let ignored = [
            ("loadBalancerIP", !spec.get("loadBalancerIP").is_empty()),
            ("externalIPs", external),
            ("SessionAffinity", spec.get("sessionAffinity").text() != "None"),
        ];
        for (field, _) in ignored.iter().filter(|(_, set)| *set) {
            found.push(format!("spec.{field} is ignored for headless services"));
        }
    }
    if external && !headless && kind != "ExternalName" {
        found.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    if external && kind == "ExternalName" {
        found.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !spec.get("externalName").is_empty() {
        found.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.get("trafficDistribution").text() == "PreferClose" {
        found.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
        );
    }
    found
}

/// A claim asks for whole bytes.
fn claim_spec(spec: &Node<'_>) -> Vec<String> {
    let storage = ["requests", "limits"].map(|list| spec.at(&["resources", list]).key("storage"));
    storage.iter().filter_map(fraction).collect()
}

/// Bytes that are not whole.
fn fraction(quantity: &Node<'_>) -> Option<String> {
    let value = quantity.quantity()?;
    value.has_thousandths().then(|| {
        format!(
            "{}: fractional byte value \"{}\" is invalid, must be an integer",
            quantity.path(),
            value.canonical()
        )
    })
}

/// A request above its limit can never be used up.
fn quota(spec: &Node<'_>) -> Vec<String> {
    let hard = spec.get("hard");
    let mut found = Vec::new();
    for resource in ["cpu", "memory", "storage", "ephemeral-storage"] {
        let named = format!("requests.{resource}");
        let bare = !hard.key(&named).present() && ["cpu", "memory"].contains(&resource);
        let request = if bare { resource } else { &named };
        let limit = &format!("limits.{resource}");
        let (asked, most) = (hard.key(request).quantity(), hard.key(limit).quantity());
        if let (Some(asked), Some(most)) = (asked, most)
            && asked.nano_value() > most.nano_value()
        {
            found.push(format!(
                "ResourceQuota {request} ({}) should be less than {limit} ({})",
                asked.canonical(),
                most.canonical()
            ));
        }
    }
    found
}
