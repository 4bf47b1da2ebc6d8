//! Fields of pods behind feature gates that are off by default in 1.36: they are taken away from what is written, unless the object has
//! them already (pkg/api/pod/util.go, DropDisabledPodFields).
use schema::KindInfo;
use serde_json::Value;

use crate::json;

/// Of the spec: `GenericWorkload`.
const OF_SPEC: [&str; 1] = ["schedulingGroup"];
/// Of a container's lifecycle: `ContainerStopSignals`.
const OF_LIFECYCLE: [&str; 1] = ["stopSignal"];
/// Of a projected source: `ClusterTrustBundleProjection`, `PodCertificateRequest`.
const OF_SOURCE: [&str; 2] = ["clusterTrustBundle", "podCertificate"];

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
                json::remove(container, &["lifecycle", field]);
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
}
