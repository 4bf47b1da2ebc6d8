//! Fields of pods and of devices behind feature gates that are off by default in 1.36: they are taken away from what is written, unless the
//! object has them already (pkg/api/pod/util.go, DropDisabledPodFields; pkg/registry/resource/resourceslice/strategy.go, dropDisabledFields).
use schema::KindInfo;
use serde_json::Value;

use crate::json;

/// Of the spec: `GenericWorkload`.
const OF_SPEC: [&str; 1] = ["schedulingGroup"];
/// Of a container's lifecycle: `ContainerStopSignals`.
const OF_LIFECYCLE: [&str; 1] = ["stopSignal"];
/// Of a projected source: `ClusterTrustBundleProjection`, `PodCertificateRequest`.
const OF_SOURCE: [&str; 2] = ["clusterTrustBundle", "podCertificate"];

/// Of a device: `DRANodeAllocatableResources`.
const OF_DEVICE: &str = "nodeAllocatableResourceMappings";
/// Of a device's attribute: `DRAListTypeAttributes`.
const OF_ATTRIBUTE: [&str; 4] = ["bools", "ints", "strings", "versions"];

/// Of other kinds: `CoordinatedLeaderElection`, `VolumeLimitScaling`, and what nobody reads any more.
const OF_OTHERS: [(&str, &str, [&str; 2]); 4] = [
    ("coordination.k8s.io", "leases", ["spec", "preferredHolder"]),
    ("coordination.k8s.io", "leases", ["spec", "strategy"]),
    ("", "nodes", ["spec", "configSource"]),
    (
        "storage.k8s.io",
        "csidrivers",
        ["spec", "preventPodSchedulingIfMissing"],
    ),
];

/// Where a kind has the spec of a pod.
fn pod_spec(kind: &KindInfo) -> Option<&'static str> {
    Some(match (kind.group, kind.plural) {
        ("", "pods") => "/spec",
        ("", "podtemplates") => "/template/spec",
        ("", "replicationcontrollers")
        | ("apps", "daemonsets" | "deployments" | "replicasets" | "statefulsets")
        | ("batch", "jobs") => "/spec/template/spec",
        ("batch", "cronjobs") => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    })
}

/// Takes them away.
pub fn drop_disabled(kind: &KindInfo, new: &mut Value, old: Option<&Value>) {
    const TOPOLOGY: &str = "deprecatedTopology";
    if (kind.group, kind.plural) == ("resource.k8s.io", "resourceslices") {
        return of_slice(new, old);
    }
    let has = |old: &Value| {
        json::list(old, "/endpoints")
            .iter()
            .any(|one| one.get(TOPOLOGY).is_some())
    };
    if (kind.group, kind.plural) == ("discovery.k8s.io", "endpointslices") && !old.is_some_and(has) {
        // The old API's field (pkg/registry/discovery/endpointslice/strategy.go, dropTopologyOnV1).
        for endpoint in items(new, "/endpoints") {
            json::remove(endpoint, &[TOPOLOGY]);
        }
    }
    for (_, _, path) in OF_OTHERS
        .iter()
        .filter(|(group, plural, _)| (kind.group, kind.plural) == (*group, *plural))
    {
        if old.is_none_or(|old| old[path[0]].get(path[1]).is_none()) {
            json::remove(new, path);
        }
    }
    let Some(at) = pod_spec(kind) else { return };
    let old = old.and_then(|old| old.pointer(at));
    let Some(spec) = new.pointer_mut(at) else { return };
    let used = |list: &str, part: &[&str], field: &str| {
        let items = old.and_then(|old| old.pointer(list)).and_then(Value::as_array);
        let mut items = items.into_iter().flatten();
        items.any(|item| part.iter().fold(item, |at, name| &at[*name]).get(field).is_some())
    };
    for field in OF_SPEC {
        if old.is_none_or(|old| old.get(field).is_none()) {
            json::remove(spec, &[field]);
        }
    }
    let lists = ["/initContainers", "/containers", "/ephemeralContainers"];
    for field in OF_LIFECYCLE {
        if lists.iter().any(|list| used(list, &["lifecycle"], field)) {
            continue;
        }
        for list in lists {
            for container in items(spec, list) {
                let dropped = json::remove(container, &["lifecycle", field]).is_some();
                if dropped
                    && container["lifecycle"]
                        .as_object()
                        .is_some_and(serde_json::Map::is_empty)
                {
                    json::remove(container, &["lifecycle"]);
                }
            }
        }
    }
    let volumes = old.map(|old| &old["volumes"]).and_then(Value::as_array);
    for field in OF_SOURCE {
        let mut sources = volumes.into_iter().flatten().flat_map(|volume| {
            let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
            sources.into_iter().flatten()
        });
        if sources.any(|source| source.get(field).is_some()) {
            continue;
        }
        for volume in items(spec, "/volumes") {
            for source in items(volume, "/projected/sources") {
                json::remove(source, &[field]);
            }
        }
    }
}

/// `DRANodeAllocatableResources` and `DRAListTypeAttributes`.
fn of_slice(new: &mut Value, old: Option<&Value>) {
    date_taints(new);
    let devices = |old: &Value| json::list(old, "/spec/devices").to_vec();
    let had = old.map(devices).unwrap_or_default();
    let attributes = |device: &Value| device.get("attributes").and_then(Value::as_object).cloned();
    let lists = had.iter().filter_map(attributes).any(|all| {
        all.values()
            .any(|attribute| OF_ATTRIBUTE.iter().any(|field| attribute.get(*field).is_some()))
    });
    for device in items(new, "/spec/devices") {
        if had.iter().all(|device| device.get(OF_DEVICE).is_none()) {
            json::remove(device, &[OF_DEVICE]);
        }
        let attributes = device.get_mut("attributes").and_then(Value::as_object_mut);
        for attribute in attributes.into_iter().flat_map(|all| all.values_mut()) {
            for field in OF_ATTRIBUTE.into_iter().filter(|_| !lists) {
                json::remove(attribute, &[field]);
            }
        }
    }
}

/// A default that wants a clock: when a taint was added (pkg/apis/resource/v1/defaults.go, SetDefaults_DeviceTaint).
fn date_taints(slice: &mut Value) {
    for device in items(slice, "/spec/devices") {
        for taint in items(device, "/taints") {
            if taint["timeAdded"].is_null() {
                json::set(taint, &["timeAdded"], crate::time::now());
            }
        }
    }
}

fn items<'a>(of: &'a mut Value, list: &str) -> Vec<&'a mut Value> {
    let list = of.pointer_mut(list).and_then(Value::as_array_mut);
    list.map(|list| list.iter_mut().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_off_is_dropped_unless_it_is_there() {
        let deployments = schema::by_kind("apps", "v1", "Deployment").unwrap();
        let with = json!({"spec": {"template": {"spec": {
            "schedulingGroup": {}, "containers": [{"name": "c", "lifecycle": {"stopSignal": "SIGABRT", "preStop": {}}}],
            "volumes": [{"name": "v", "projected": {"sources": [{"podCertificate": {}, "secret": {}}]}}]}}}});
        let mut new = with.clone();
        drop_disabled(deployments, &mut new, None);
        let without = json!({"spec": {"template": {"spec": {
            "containers": [{"name": "c", "lifecycle": {"preStop": {}}}],
            "volumes": [{"name": "v", "projected": {"sources": [{"secret": {}}]}}]}}}});
        assert_eq!(new, without);
        let mut kept = with.clone();
        drop_disabled(deployments, &mut kept, Some(&with));
        assert_eq!(kept, with);
        let mut changed = with.clone();
        drop_disabled(deployments, &mut changed, Some(&without));
        assert_eq!(changed, without);
    }

    #[test]
    fn lists_of_attributes_are_off() {
        let slices = schema::by_kind("resource.k8s.io", "v1", "ResourceSlice").unwrap();
        let with = json!({"spec": {"devices": [{"name": "d", "nodeAllocatableResourceMappings": {"cpu": {}}, "attributes": {"a": {"ints": [1]}, "b": {"int": 1}}}]}});
        let without = json!({"spec": {"devices": [{"name": "d", "attributes": {"a": {}, "b": {"int": 1}}}]}});
        let mut new = with.clone();
        drop_disabled(slices, &mut new, None);
        assert_eq!(new, without);
        let mut kept = with.clone();
        drop_disabled(slices, &mut kept, Some(&with));
        assert_eq!(kept, with);
    }
}
