//! The Service `kube-dns`: cluster DNS is part of the engine, and this is how pods and people find it.
use engine_net::AddressPlan;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::Error;

/// Applies the Service and its EndpointSlice, which points to the backbone.
pub(super) async fn ensure(client: &Client, addresses: AddressPlan) -> Result<(), Error> {
    let ports = |port: &str| json!([{"name": "dns", "protocol": "UDP", port: 53}, {"name": "dns-tcp", "protocol": "TCP", port: 53}]);
    let mut service_ports = ports("port");
    for port in service_ports.as_array_mut().into_iter().flatten() {
        port["targetPort"] = 53.into();
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}},
        "spec": {"clusterIP": addresses.dns_service().to_string(), "ports": service_ports},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "kube-dns", "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": "cncfdemo-engine"}},
        "endpoints": [{"addresses": [addresses.backbone().to_string()], "conditions": {"ready": true}}],
        "ports": ports("port"),
    });
    for (group, kind, object) in [
        ("", "Service", service),
        ("discovery.k8s.io", "EndpointSlice", slice),
    ] {
        apply(client, group, kind, &object)
            .await
            .map_err(|e| Error::part("the kube-dns service")(Box::new(e)))?;
    }
    Ok(())
}

async fn apply(client: &Client, group: &str, kind: &str, object: &Value) -> Result<(), kube::Error> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "kube-system", &resource);
    api.patch(
        "kube-dns",
        &PatchParams::apply("cncfdemo-engine").force(),
        &Patch::Apply(object),
    )
    .await
    .map(drop)
}
