//! The Node object and its lease: what this machine offers, that it is alive, which images it has.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
    NodeStatus, NodeSystemInfo,
};
use k8s_openapi::api::storage::v1::{CSINode, CSINodeSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use crate::error::{Error, Result, is_not_found};
use crate::images::Images;
use crate::status::time;

/// A renewal that failed is tried again after this, doubled each time up to the usual interval (component-helpers, lease controller).
const RENEW_AGAIN: Duration = Duration::from_millis(200);
/// Status is reported anew after five minutes even if nothing has changed.
const REPORT: Duration = Duration::from_mins(5);
const MAX_IMAGES: usize = 50;
/// Where a CSINode says which volume plugins are left to drivers, and upstream's list of them (pkg/volume/csi/csi_plugin.go).
const MIGRATED: &str = "storage.alpha.kubernetes.io/migrated-plugins";
const BUILT_IN: [&str; 7] = [
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/azure-file",
    "kubernetes.io/cinder",
    "kubernetes.io/gce-pd",
    "kubernetes.io/portworx-volume",
    "kubernetes.io/vsphere-volume",
];
/// What kubectl shows as the node's version.
pub const KUBELET_VERSION: &str = "v1.36.2";

/// What the node offers.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// CPU in thousandths.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Disk in bytes.
    pub storage: i64,
    /// Number of pods.
    pub pods: i64,
}

/// What the Node object says.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// InternalIP.
    pub ip: IpAddr,
    /// Range of its pods.
    pub pod_cidr: String,
    /// Labels besides upstream's own.
    pub labels: BTreeMap<String, String>,
    /// Taints, such as of a control plane; usually none.
    pub capacity: Capacity,
    /// Set for the first node: `node-role.kubernetes.io/control-plane`.
    pub control_plane: bool,
    /// Version of our program, for the container runtime's name.
    pub runtime_version: String,
    /// How long its lease is valid; it is renewed four times as often (pkg/kubelet, nodeLeaseRenewIntervalFraction).
    pub lease_seconds: u32,
}

/// Creates the Node, or brings its spec and labels up to date, and reports it ready.
pub async fn register(client: &Client, identity: &Identity, images: &Images) -> Result<Node> {
    let api: Api<Node> = Api::all(client.clone());
    let wanted = object(identity);
    let what = || format!("register node {}", identity.name);
    let node = match api.get(&identity.name).await {
        Ok(found) => {
            let patch = json!({"metadata": {"labels": wanted.metadata.labels, "annotations": wanted.metadata.annotations}, "spec": {
                "podCIDR": identity.pod_cidr, "podCIDRs": [identity.pod_cidr]}});
            let _ = found;
            api.patch(&identity.name, &PatchParams::default(), &Patch::Strategic(patch))
                .await
        }
        Err(err) if is_not_found(&err) => api.create(&PostParams::default(), &wanted).await,
        Err(err) => Err(err),
    };
    let node = node.map_err(|err| Error::api(what(), err))?;
    announce_drivers(client, &node)
        .await
        .map_err(|err| Error::api(what(), err))?;
    report(client, identity, images, false, node.status.as_ref())
        .await
        .map_err(|err| Error::api(what(), err))
}

/// The node's CSINode: it has no drivers, and knows how to do without those that were once built in
/// (pkg/volume/csi/nodeinfomanager, CreateCSINode).
async fn announce_drivers(client: &Client, node: &Node) -> kube::Result<()> {
    let api: Api<CSINode> = Api::all(client.clone());
    let name = node.metadata.name.clone().unwrap_or_default();
    if api.get_opt(&name).await?.is_some() {
        return Ok(());
    }
    let object = CSINode {
        metadata: ObjectMeta {
            name: Some(name),
            annotations: Some([(MIGRATED.to_owned(), BUILT_IN.join(","))].into()),
            owner_references: Some(vec![owner(node)]),
            ..ObjectMeta::default()
        },
        spec: CSINodeSpec { drivers: Vec::new() },
    };
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

fn owner(node: &Node) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    }
}

/// Renews the lease, and reports the status when it has changed or is old. Never ends.
/// `pressure` says whether the disk is nearly full.
pub async fn keep(
    client: Client,
    identity: Identity,
    images: Images,
    node: Node,
    mut pressure: watch::Receiver<bool>,
) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let nodes: Api<Node> = Api::all(client.clone());
    let mut reported = tokio::time::Instant::now();
    let mut status = node.status.clone();
    let mut shown = image_list(&images).await;
    let every = Duration::from_secs(u64::from(identity.lease_seconds)) / 4;
    let mut again = RENEW_AGAIN;
    let mut told = false;
    loop {
        let pause = match renew(&leases, &identity, &node).await {
            Ok(()) => {
                again = RENEW_AGAIN;
                every
            }
            Err(err) => {
                tracing::warn!(node = identity.name, %err, "lease not renewed");
                again = (again * 2).min(every);
                again
            }
        };
        let now = image_list(&images).await;
        // Whoever took this node for lost has said so in its status: that is to be put right as soon as it is seen.
        let taken_for_lost = match nodes.get(&identity.name).await {
            Ok(node) => {
                let lost = is_lost(&node);
                status = node.status;
                lost
            }
            Err(_) => false,
        };
        let pressed = *pressure.borrow_and_update();
        if now != shown || pressed != told || taken_for_lost || reported.elapsed() >= REPORT {
            match report(&client, &identity, &images, pressed, status.as_ref()).await {
                Ok(node) => {
                    status = node.status;
                    shown = now;
                    told = pressed;
                    reported = tokio::time::Instant::now();
                }
                Err(err) => tracing::warn!(node = identity.name, %err, "node status not reported"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = pressure.changed() => {}
        }
    }
}

fn is_lost(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.status == "Unknown")
}

async fn renew(leases: &Api<Lease>, identity: &Identity, node: &Node) -> kube::Result<()> {
    let name = &identity.name;
    let now = MicroTime(Timestamp::now());
    let seconds = identity.lease_seconds as i32;
    let patch = json!({"spec": {"renewTime": now, "leaseDurationSeconds": seconds}});
    match leases
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(err) if is_not_found(&err) => {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some("kube-node-lease".into()),
                    owner_references: Some(vec![owner(node)]),
                    ..ObjectMeta::default()
                },
                spec: Some(LeaseSpec {
                    holder_identity: Some(name.clone()),
                    lease_duration_seconds: Some(seconds),
                    renew_time: Some(now),
                    ..LeaseSpec::default()
                }),
            };
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        Err(err) => Err(err),
    }
}

/// Features by their gates that whoever changes a pod wants to know of (component-helpers nodedeclaredfeatures, AllFeatures): those of
/// upstream's that are here.
const FEATURES: [&str; 3] = [
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
];

async fn report(
    client: &Client,
    identity: &Identity,
    images: &Images,
    disk_pressure: bool,
    old: Option<&NodeStatus>,
) -> kube::Result<Node> {
    let api: Api<Node> = Api::all(client.clone());
    let mut status = status(identity, disk_pressure, old);
    status.images = Some(image_list(images).await);
    let patch = json!({"status": status});
    api.patch_status(&identity.name, &PatchParams::default(), &Patch::Strategic(patch))
        .await
}

async fn image_list(images: &Images) -> Vec<ContainerImage> {
    let mut all: Vec<ContainerImage> = images
        .list()
        .await
        .into_iter()
        .map(|image| {
            let plain = image.name.split('@').next().unwrap_or_default();
            let repository = plain
                .rsplit_once(':')
                .filter(|(_, tag)| !tag.contains('/'))
                .map_or(plain, |(name, _)| name);
            let mut names = vec![format!("{repository}@{}", image.digest)];
            if !image.name.contains('@') {
                names.push(image.name.clone());
            }
            ContainerImage {
                names: Some(names),
                size_bytes: i64::try_from(image.size).ok(),
            }
        })
        .collect();
    all.sort_by_key(|image| std::cmp::Reverse(image.size_bytes));
    all.truncate(MAX_IMAGES);
    all
}

fn object(identity: &Identity) -> Node {
    let mut labels = identity.labels.clone();
    let (os, arch) = ("linux", go_arch());
    for prefix in ["kubernetes.io", "beta.kubernetes.io"] {
        labels.insert(format!("{prefix}/os"), os.into());
        labels.insert(format!("{prefix}/arch"), arch.into());
    }
    labels.insert("kubernetes.io/hostname".into(), identity.name.clone());
    if identity.control_plane {
        labels.insert("node-role.kubernetes.io/control-plane".into(), String::new());
    }
    let annotations = [
        ("node.alpha.kubernetes.io/ttl".to_owned(), "0".to_owned()),
        (
            "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
            "true".to_owned(),
        ),
    ];
    Node {
        metadata: ObjectMeta {
            name: Some(identity.name.clone()),
            labels: Some(labels),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: Some(identity.pod_cidr.clone()),
            pod_cidrs: Some(vec![identity.pod_cidr.clone()]),
            ..NodeSpec::default()
        }),
        status: Some(status(identity, false, None)),
    }
}

fn status(identity: &Identity, disk_pressure: bool, old: Option<&NodeStatus>) -> NodeStatus {
    let now = Timestamp::now();
    let address = |kind: &str, value: String| NodeAddress {
        type_: kind.into(),
        address: value,
    };
    let disk = if disk_pressure {
        (
            "DiskPressure",
            "True",
            "KubeletHasDiskPressure",
            "kubelet has disk pressure",
        )
    } else {
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        )
    };
    let conditions = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        disk,
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    let conditions = conditions.iter().map(|(kind, value, reason, message)| {
        let before = old
            .into_iter()
            .flat_map(|old| old.conditions.iter().flatten())
            .find(|c| c.type_ == *kind);
        let since = before
            .filter(|c| c.status == *value)
            .and_then(|c| c.last_transition_time.clone());
        NodeCondition {
            type_: (*kind).into(),
            status: (*value).into(),
            reason: Some((*reason).into()),
            message: Some((*message).into()),
            last_heartbeat_time: Some(time(now)),
            last_transition_time: Some(since.unwrap_or_else(|| time(now))),
        }
    });
    let capacity = resources(&identity.capacity);
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", identity.ip.to_string()),
            address("Hostname", identity.name.clone()),
        ]),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions.collect()),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: 10250 }),
        }),
        node_info: Some(system_info(identity)),
        declared_features: Some(FEATURES.map(str::to_owned).to_vec()),
        ..NodeStatus::default()
    }
}

fn resources(capacity: &Capacity) -> BTreeMap<String, Quantity> {
    let cpu = if capacity.cpu_milli % 1000 == 0 {
        (capacity.cpu_milli / 1000).to_string()
    } else {
        format!("{}m", capacity.cpu_milli)
    };
    [
        ("cpu", cpu),
        ("memory", format!("{}Ki", capacity.memory / 1024)),
        ("ephemeral-storage", format!("{}Ki", capacity.storage / 1024)),
        ("hugepages-1Gi", "0".into()),
        ("hugepages-2Mi", "0".into()),
        ("pods", capacity.pods.to_string()),
    ]
    .into_iter()
    .map(|(name, amount)| (name.to_owned(), Quantity(amount)))
    .collect()
}

fn system_info(identity: &Identity) -> NodeSystemInfo {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let release = read("/etc/os-release");
    let os_image = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"').to_owned());
    NodeSystemInfo {
        architecture: go_arch().into(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("cncfdemo://{}", identity.runtime_version),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        kube_proxy_version: String::new(),
        kubelet_version: KUBELET_VERSION.into(),
        machine_id: read("/etc/machine-id"),
        operating_system: "linux".into(),
        os_image: os_image.unwrap_or_else(|| "Linux".into()),
        system_uuid: read("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
