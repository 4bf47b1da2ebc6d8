//! What all controllers share: the caches, the recorders, the settings.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimTemplate};
use k8s_openapi::api::storage::v1::{
    CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass,
};
use kube::Resource;
use tokio::task::JoinSet;

use crate::Config;
use crate::cache::{Cache, Kind};
use crate::events::Recorder;

/// The ConfigMap that carries the cluster's certificate authority.
pub(crate) const ROOT_CA_NAME: &str = "kube-root-ca.crt";
const ROOT_CA_FIELDS: &str = "metadata.name=kube-root-ca.crt";

/// Something to be done with each cache, whatever it holds.
pub(crate) trait Visitor {
    fn visit<K: Kind + Resource<DynamicType = ()>>(&mut self, cache: &Arc<Cache<K>>);
}

macro_rules! context {
    ($($field:ident: $kind:ty $(, $fields:expr)?;)*) => {
        /// See the module's documentation.
        pub(crate) struct Context {
            pub config: Config,
            pub events: Recorder,
            pub scheduler_events: Recorder,
            $(pub $field: Arc<Cache<$kind>>,)*
        }

        impl Context {
            pub fn start(config: Config, tasks: &mut JoinSet<()>) -> Arc<Self> {
                let client = config.client.clone();
                let events = Recorder::start(client.clone(), tasks);
                let scheduler_events = Recorder::start(config.scheduler_client.clone(), tasks);
                $(
                    #[allow(unused_mut, unused_assignments)]
                    let $field = {
                        let mut fields: Option<&str> = None;
                        $(fields = Some($fields);)?
                        let cache = Cache::new(client.clone(), (), fields);
                        cache.start(tasks);
                        cache
                    };
                )*
                Arc::new(Self { config, events, scheduler_events, $($field,)* })
            }

            /// Shows every cache that holds all objects of its kind.
            pub fn visit(&self, visitor: &mut impl Visitor) {
                $(
                    #[allow(unused_mut, unused_assignments)]
                    {
                        let mut whole = true;
                        $(let _ = $fields; whole = false;)?
                        if whole {
                            visitor.visit(&self.$field);
                        }
                    }
                )*
            }

            pub async fn wait_synced(&self) {
                $(self.$field.wait_synced().await;)*
            }
        }
    };
}

context! {
    namespaces: Namespace;
    nodes: Node;
    pods: Pod;
    services: Service;
    endpoints: Endpoints;
    service_cidrs: ServiceCIDR;
    ip_addresses: IPAddress;
    endpoint_slices: EndpointSlice;
    service_accounts: ServiceAccount;
    account_tokens: Secret, "type=kubernetes.io/service-account-token";
    root_cas: ConfigMap, ROOT_CA_FIELDS;
    deployments: Deployment;
    replica_sets: ReplicaSet;
    replication_controllers: ReplicationController;
    stateful_sets: StatefulSet;
    daemon_sets: DaemonSet;
    controller_revisions: ControllerRevision;
    jobs: Job;
    cron_jobs: CronJob;
    claims: PersistentVolumeClaim;
    volumes: PersistentVolume;
    storage_classes: StorageClass;
    attributes_classes: VolumeAttributesClass;
    attachments: VolumeAttachment;
    csi_drivers: CSIDriver;
    csi_nodes: CSINode;
    storage_capacities: CSIStorageCapacity;
    leases: Lease, "metadata.namespace=kube-node-lease";
    quotas: ResourceQuota;
    budgets: PodDisruptionBudget;
    autoscalers: HorizontalPodAutoscaler;
    cluster_roles: ClusterRole;
    signing_requests: CertificateSigningRequest;
    resource_claims: ResourceClaim;
    claim_templates: ResourceClaimTemplate;
    device_classes: DeviceClass;
}
