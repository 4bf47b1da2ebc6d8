//! Defaults of pods. Those of [`default_pod_spec`] hold for templates too, those of [`default_pod`] for pods only.

use kube_types::Quantity;
use serde_json::{Map, Value, json};

use crate::{
    defaults::{default_absent, default_in, default_zero, is_absent, is_zero, text},
    image::image_tag,
};

type Fields = Map<String, Value>;

pub(crate) fn default_pod_spec(spec: &mut Fields) {
    default_zero(spec, "dnsPolicy", "ClusterFirst");
    default_zero(spec, "restartPolicy", "Always");
    default_absent(spec, "securityContext", json!({}));
    default_absent(spec, "terminationGracePeriodSeconds", 30);
    default_zero(spec, "schedulerName", "default-scheduler");
    mirror_service_account(spec);
}

pub(crate) fn default_pod(pod: &mut Fields) {
    default_in(pod, "spec", |spec| {
        for list in ["containers", "initContainers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                if let Some(Value::Object(resources)) = container.get_mut("resources") {
                    default_requests(resources);
                }
            }
        }
        default_pod_requests(spec);
        // A pod, not a template (pkg/apis/core/v1/conversion.go).
        let grace = spec.get_mut("terminationGracePeriodSeconds");
        if let Some(grace) = grace.filter(|n| n.as_i64().is_some_and(|n| n < 0)) {
            *grace = 1.into();
        }
        default_absent(spec, "enableServiceLinks", true);
        if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
            for list in ["containers", "initContainers"] {
                default_host_ports(spec.get_mut(list));
            }
        }
    });
}

/// `serviceAccount` is the old name of `serviceAccountName`; upstream's conversion writes both.
fn mirror_service_account(spec: &mut Fields) {
    let name = if is_zero(spec, "serviceAccountName") {
        "serviceAccount"
    } else {
        "serviceAccountName"
    };
    if !is_zero(spec, name) {
        let account = spec.get(name).cloned().unwrap_or_default();
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
}

/// What is limited and not requested is requested in full.
fn default_requests(resources: &mut Fields) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    if is_absent(resources, "requests") && !limits.is_empty() {
        resources.insert("requests".to_owned(), json!({}));
    }
    if let Some(Value::Object(requests)) = resources.get_mut("requests") {
        for (key, value) in limits {
            requests.entry(key).or_insert(value);
        }
    }
}

/// Pod-level resources: requests from the containers' sum for CPU and memory, else from the pod's limits.
fn default_pod_requests(spec: &mut Fields) {
    let has_limits = |r: &Fields| !is_zero(r, "limits");
    let Some(Value::Object(resources)) = spec.get("resources") else {
        return;
    };
    if !has_limits(resources) {
        return;
    }
    let sums: Vec<(&str, Quantity)> = ["cpu", "memory"]
        .into_iter()
        .filter_map(|name| Some((name, container_requests(spec, name)?)))
        .collect();
    let Some(Value::Object(resources)) = spec.get_mut("resources") else {
        return;
    };
    let limits = resources
        .get("limits")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    // Limits that nothing follows from leave requests alone.
    let follows = |key: &str| matches!(key, "cpu" | "memory") || key.starts_with("hugepages-");
    if sums.is_empty() && !limits.keys().any(|key| follows(key)) {
        return;
    }
    default_absent(resources, "requests", json!({}));
    if let Some(Value::Object(requests)) = resources.get_mut("requests") {
        for (name, sum) in sums {
            default_absent(requests, name, sum.to_string());
        }
        for (key, value) in limits {
            if follows(&key) {
                requests.entry(key).or_insert(value);
            }
        }
    }
}

/// What all containers request of `resource` at most at once; `None` when none does.
fn container_requests(spec: &Fields, resource: &str) -> Option<Quantity> {
    let request = |container: &Value| {
        let request = container.get("resources")?.get("requests")?.get(resource)?;
        request.as_str()?.parse::<Quantity>().ok()
    };
    let list = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
    let mut sum: Option<Quantity> = None;
    let add = |sum: &mut Option<Quantity>, quantity: &Quantity| {
        *sum = Some(sum.as_ref().map_or_else(|| quantity.clone(), |s| s.add(quantity)));
    };
    for quantity in list("containers").filter_map(request) {
        add(&mut sum, &quantity);
    }
    // A sidecar counts beside the containers; another init container only while it runs, beside the sidecars before it.
    let (mut sidecars, mut peak): (Option<Quantity>, Option<Quantity>) = (None, None);
    for container in list("initContainers") {
        let Some(quantity) = request(container) else {
            continue;
        };
        let mut here = sidecars.clone();
        add(&mut here, &quantity);
        if container
            .as_object()
            .is_some_and(|c| text(c, "restartPolicy") == "Always")
        {
            add(&mut sum, &quantity);
            sidecars.clone_from(&here);
        }
        peak = peak.max(here);
    }
    sum.max(peak)
}

fn default_host_ports(containers: Option<&mut Value>) {
    for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
        for port in container
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Value::Object(port) = port
                && is_zero(port, "hostPort")
                && let Some(number) = port.get("containerPort").cloned()
            {
                port.insert("hostPort".to_owned(), number);
            }
        }
    }
}

pub(crate) fn default_container(fields: &mut Fields) {
    if is_zero(fields, "imagePullPolicy") {
        let policy = pull_policy(text(fields, "image"));
        fields.insert("imagePullPolicy".to_owned(), policy.into());
    }
    default_zero(fields, "terminationMessagePath", "/dev/termination-log");
    default_zero(fields, "terminationMessagePolicy", "File");
}

pub(crate) fn default_volume(fields: &mut Fields) {
    let has_source = fields
        .iter()
        .any(|(key, value)| key != "name" && !value.is_null());
    if !has_source {
        fields.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(Value::Object(image)) = fields.get_mut("image")
        && is_zero(image, "pullPolicy")
    {
        let policy = pull_policy(text(image, "reference"));
        image.insert("pullPolicy".to_owned(), policy.into());
    }
}

fn pull_policy(image: &str) -> &'static str {
    if image_tag(image) == Some("latest") {
        "Always"
    } else {
        "IfNotPresent"
    }
}
