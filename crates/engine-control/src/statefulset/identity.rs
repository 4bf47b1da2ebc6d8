//! What belongs to an ordinal: the pod's name, host name, labels, and its claims.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::meta::{Meta, controller_ref};
use crate::revision::HASH_LABEL;
use crate::template::pod_of;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in a pod's name, if it is one of the set's names.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let canonical = digits == "0" || !digits.starts_with('0');
    digits.parse().ok().filter(|n| canonical && *n >= 0)
}

/// Names of the claims of an ordinal, with their templates.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let spec = set.spec.clone().unwrap_or_default();
    let labels = spec.selector.match_labels.unwrap_or_default();
    let templates = spec.volume_claim_templates.unwrap_or_default();
    templates
        .into_iter()
        .map(|template| {
            let mut all: BTreeMap<String, String> = template.metadata.labels.clone().unwrap_or_default();
            all.extend(labels.clone());
            PersistentVolumeClaim {
                metadata: ObjectMeta {
                    name: Some(format!("{}-{}-{ordinal}", template.name(), set.name())),
                    namespace: Some(set.ns().to_owned()),
                    labels: Some(all),
                    annotations: template.metadata.annotations,
                    ..ObjectMeta::default()
                },
                spec: template.spec,
                status: None,
            }
        })
        .collect()
}

pub(super) fn pod(
    set: &StatefulSet,
    template: &PodTemplateSpec,
    revision: &ControllerRevision,
    ordinal: i32,
) -> Pod {
    let name = format!("{}-{ordinal}", set.name());
    let mut pod = pod_of(template, set.name(), set.ns(), controller_ref(set));
    pod.metadata.generate_name = Some(format!("{}-", set.name()));
    pod.metadata.name = Some(name.clone());
    self::name(set, &mut pod, ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(HASH_LABEL.into(), revision.name().to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set
        .spec
        .as_ref()
        .and_then(|s| s.service_name.clone())
        .filter(|s| !s.is_empty());
    store(set, &mut pod, ordinal);
    pod
}

/// Whether a pod says who it is (identityMatches).
pub(super) fn has_name(pod: &Pod) -> bool {
    pod.label(POD_NAME) == Some(pod.name())
}

/// Has a pod say who it is (updateIdentity).
pub(super) fn name(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_INDEX.into(), ordinal.to_string());
    labels.insert(POD_NAME.into(), format!("{}-{ordinal}", set.name()));
}

/// The volumes that the claims of an ordinal are.
fn claimed(set: &StatefulSet, ordinal: i32) -> Vec<Volume> {
    let templates = set
        .spec
        .iter()
        .flat_map(|s| s.volume_claim_templates.iter().flatten());
    templates
        .map(|template| Volume {
            name: template.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: format!("{}-{}-{ordinal}", template.name(), set.name()),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect()
}

/// Whether a pod has the claims of its ordinal (storageMatches).
pub(super) fn has_storage(set: &StatefulSet, pod: &Pod, ordinal: i32) -> bool {
    let source = |v: &Volume| v.persistent_volume_claim.as_ref().map(|c| c.claim_name.clone());
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let volumes: Vec<&Volume> = volumes.collect();
    claimed(set, ordinal).iter().all(|wanted| {
        let there = volumes.iter().find(|v| v.name == wanted.name);
        there.is_some_and(|v| source(v) == source(wanted))
    })
}

/// Gives a pod the claims of its ordinal (updateStorage).
pub(super) fn store(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let mut volumes = claimed(set, ordinal);
    if volumes.is_empty() {
        return;
    }
    let spec = pod.spec.get_or_insert_default();
    let given = spec.volumes.take().unwrap_or_default();
    let names: Vec<String> = volumes.iter().map(|v| v.name.clone()).collect();
    volumes.extend(given.into_iter().filter(|v| !names.contains(&v.name)));
    spec.volumes = Some(volumes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        assert_eq!(ordinal("db", "db-0"), Some(0));
        assert_eq!(ordinal("db", "db-12"), Some(12));
        assert_eq!(ordinal("db", "db-01"), None);
        assert_eq!(ordinal("db", "db-x"), None);
        assert_eq!(ordinal("db", "dbx-0"), None);
        assert_eq!(ordinal("db-1", "db-1-0"), Some(0));
    }

    #[test]
    fn a_pod_of_an_ordinal() {
        let set: StatefulSet = serde_json::from_value(json!({"metadata": {"name": "db", "namespace": "n", "uid": "u"}, "spec": {"serviceName": "svc",
            "selector": {"matchLabels": {"app": "db"}}, "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [], "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}}))
        .unwrap();
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some("db-abc".into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let pod = pod(&set, &set.spec.as_ref().unwrap().template, &revision, 1);
        assert_eq!(
            (pod.name(), pod.label(HASH_LABEL), pod.label(POD_INDEX)),
            ("db-1", Some("db-abc"), Some("1"))
        );
        let spec = pod.spec.unwrap();
        assert_eq!(
            (spec.hostname.as_deref(), spec.subdomain.as_deref()),
            (Some("db-1"), Some("svc"))
        );
        let volumes = spec.volumes.unwrap();
        assert_eq!(
            volumes[0].persistent_volume_claim.as_ref().unwrap().claim_name,
            "data-db-1"
        );
        assert_eq!(volumes.len(), 2);
        let mut adopted: Pod = serde_json::from_value(
            json!({"metadata": {"name": "db-1"}, "spec": {"containers": [], "volumes": [{"name": "tmp"}]}}),
        )
        .unwrap();
        assert!(!has_name(&adopted) && !has_storage(&set, &adopted, 1));
        name(&set, &mut adopted, 1);
        store(&set, &mut adopted, 1);
        assert!(has_name(&adopted) && has_storage(&set, &adopted, 1));
        assert!(!has_storage(&set, &adopted, 2));
        let claims = claims(&set, 1);
        assert_eq!(
            (claims[0].name(), claims[0].label("app")),
            ("data-db-1", Some("db"))
        );
    }
}
