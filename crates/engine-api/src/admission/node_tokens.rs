//! Tokens that a node asks for: of a service account that one of its pods runs as, and for whom that pod wants it (kubernetes
//! `plugin/pkg/admission/noderestriction/admission.go` admitServiceAccount).
use serde_json::Value;

use super::node_restriction::Request;
use crate::{
    api::{Api, Call},
    auth::{node_graph::ephemeral, rbac::Attributes},
    json::{list, strings, text},
    keys,
    status::{ApiError, Result},
};

/// Volumes of the drivers that were once part of Kubernetes, and the drivers that serve them now (`k8s.io/csi-translation-lib/plugins`).
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("portworxVolume", "pxd.portworx.com"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
];

/// Refuse a token that is not for a pod of this node.
pub fn check(api: &Api, call: &Call, request: &Request<'_>, node: &str) -> Result<()> {
    let bound = |field: &str| text(&request.new["spec"]["boundObjectRef"], field);
    if bound("/apiVersion") != "v1" || bound("/kind") != "Pod" || bound("/name").is_empty() {
        return request.refuse("node requested token not bound to a pod");
    }
    let (name, uid) = (bound("/name"), bound("/uid"));
    if uid.is_empty() {
        return request.refuse("node requested token with a pod binding without a uid");
    }
    let found = api.store.get(&keys::core("pods", request.namespace, name));
    let pod = found
        .ok_or_else(|| ApiError::not_found_named("pod", name))?
        .look();
    if text(&pod, "/metadata/uid") != uid {
        return request.refuse(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then \
             recreated"
        ));
    }
    if text(&pod, "/spec/nodeName") != node {
        return request.refuse("node requested token bound to a pod scheduled on a different node");
    }
    let audience = match strings(request.new, "/spec/audiences")[..] {
        [] => "",
        [one] => one,
        _ => return request.refuse("node may only request 0 or 1 audiences"),
    };
    match wants(api, request.namespace, &pod, audience) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(why) => return request.refuse(format!("error validating audience {audience:?}: {why}")),
    }
    let asked = Attributes {
        verb: "request-serviceaccounts-token-audience".to_owned(),
        namespace: request.namespace.to_owned(),
        resource: audience.to_owned(),
        name: request.name.to_owned(),
        ..Attributes::default()
    };
    if api.may(&call.user, &asked) {
        return Ok(());
    }
    request.refuse(format!(
        "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        call.user.name
    ))
}

/// Whether a volume of the pod wants a token for somebody: by itself, or by the driver that serves it.
fn wants(api: &Api, namespace: &str, pod: &Value, audience: &str) -> Result<bool, String> {
    let mut wrong = Vec::new();
    for volume in list(pod, "/spec/volumes") {
        let tokens = list(volume, "/projected/sources").iter();
        let mut tokens = tokens.filter(|source| source["serviceAccountToken"].is_object());
        if tokens.any(|source| text(source, "/serviceAccountToken/audience") == audience) {
            return Ok(true);
        }
        let driver = if volume["ephemeral"]["volumeClaimTemplate"].is_object() {
            driver_of_claim(api, namespace, &ephemeral(pod, volume))
        } else if volume["persistentVolumeClaim"].is_object() {
            driver_of_claim(api, namespace, text(volume, "/persistentVolumeClaim/claimName"))
        } else {
            Ok(driver(volume))
        };
        let asks = match driver {
            Ok(driver) if driver.is_empty() => Ok(false),
            Ok(driver) => asks_for(api, &driver, audience),
            Err(why) => Err(why),
        };
        match asks {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) if wrong.contains(&why) => {}
            Err(why) => wrong.push(why),
        }
    }
    match wrong.as_slice() {
        [] => Ok(false),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

/// The CSI driver of a volume's source, or nothing.
fn driver(source: &Value) -> String {
    let migrated = MIGRATED.iter().find(|(field, _)| source[field].is_object());
    match (text(source, "/csi/driver"), migrated) {
        ("", Some((_, driver))) => (*driver).to_owned(),
        (driver, _) => driver.to_owned(),
    }
}

fn driver_of_claim(api: &Api, namespace: &str, name: &str) -> Result<String, String> {
    let claim = api
        .store
        .get(&keys::core("persistentvolumeclaims", namespace, name));
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    let claim = claim.look();
    let volume = text(&claim, "/spec/volumeName");
    let found = api.store.get(&keys::core("persistentvolumes", "", volume));
    let found = found.ok_or_else(|| format!("persistentvolume {volume:?} not found"))?;
    Ok(driver(&found.look()["spec"]))
}

fn asks_for(api: &Api, driver: &str, audience: &str) -> Result<bool, String> {
    let found = api.store.get(&format!("csidrivers.storage.k8s.io/{driver}"));
    let found = found.ok_or_else(|| format!("csidriver.storage.k8s.io {driver:?} not found"))?;
    let requests = found.look();
    let requests = list(&requests, "/spec/tokenRequests");
    Ok(requests.iter().any(|asked| text(asked, "/audience") == audience))
}
