//! Services of type LoadBalancer on ports of the host's loopback address.

mod holder;
mod relay;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use k8s_openapi::api::core::v1::{Event, Service};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    Catalog,
    catalog::{Key, Protocol, ServiceInfo},
};
use relay::Relay;

/// When the API server refused a status.
const RETRY: Duration = Duration::from_secs(2);

/// Binds the ports of LoadBalancer services. Dropped, it lets go of them.
#[derive(Debug)]
pub struct HostPorts {
    task: JoinHandle<()>,
}

impl HostPorts {
    /// Starts once the catalog is complete. The client writes service statuses and events, as a cloud's controller would.
    pub fn start(catalog: Arc<Catalog>, client: Client) -> Self {
        Self {
            task: tokio::spawn(run(catalog, client)),
        }
    }
}

impl Drop for HostPorts {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Port = (Protocol, u16);

/// What a service has on the host.
#[derive(Debug, Default)]
struct Held {
    uid: String,
    cluster_ip: Option<Ipv4Addr>,
    relays: BTreeMap<Port, Relay>,
    /// Why others are not there.
    failures: BTreeMap<Port, String>,
    /// The ingress list that the API server has accepted.
    told: Option<Value>,
}

async fn run(catalog: Arc<Catalog>, client: Client) {
    catalog.synced().await;
    let mut changes = catalog.subscribe();
    let mut held: HashMap<Key, Held> = HashMap::new();
    let mut due = BTreeSet::new();
    let mut again = BTreeSet::new();
    loop {
        while let Ok(key) = changes.try_recv() {
            due.insert(key);
        }
        // Those that give ports back come first, so that others can have them.
        let mut keys: Vec<Key> = std::mem::take(&mut due).into_iter().collect();
        keys.sort_by_key(|key| wanted(&catalog, key).is_some());
        let mut freed = false;
        for key in keys {
            let info = wanted(&catalog, &key);
            let exists = catalog.read().services.contains_key(&key);
            let Some(info) = info else {
                let Some(gone) = held.remove(&key) else { continue };
                freed |= !gone.relays.is_empty();
                if exists && gone.told.is_some() {
                    // It is no LoadBalancer any more.
                    let _ = tell(&client, &key, &json!([])).await;
                }
                continue;
            };
            let mine = held.entry(key.clone()).or_default();
            freed |= mine.hold(&client, &key, &info).await;
            let ingress = mine.ingress();
            if mine.told.as_ref() != Some(&ingress) {
                match tell(&client, &key, &ingress).await {
                    Ok(()) => mine.told = Some(ingress),
                    Err(error) => {
                        tracing::warn!(service = %format_args!("{}/{}", key.0, key.1), %error, "cannot set the status");
                        again.insert(key);
                    }
                }
            }
        }
        if freed {
            let waiting = held.iter().filter(|(_, mine)| !mine.failures.is_empty());
            due.extend(waiting.map(|(key, _)| key.clone()));
            if !due.is_empty() {
                continue;
            }
        }
        tokio::select! {
            key = changes.recv() => match key {
                Some(key) => drop(due.insert(key)),
                None => return,
            },
            () = tokio::time::sleep(RETRY), if !again.is_empty() => due.append(&mut again),
        }
    }
}

fn wanted(catalog: &Catalog, key: &Key) -> Option<Arc<ServiceInfo>> {
    let state = catalog.read();
    state
        .services
        .get(key)
        .filter(|info| info.load_balancer && info.cluster_ip.is_some())
        .cloned()
}

impl Held {
    /// Binds what is missing and lets go of what is not wanted; tells whether anything was let go.
    async fn hold(&mut self, client: &Client, key: &Key, info: &ServiceInfo) -> bool {
        if self.cluster_ip != info.cluster_ip || self.uid != info.uid {
            // Made anew under the same name: its status is, too.
            *self = Self {
                uid: info.uid.clone(),
                cluster_ip: info.cluster_ip,
                ..Self::default()
            };
        }
        let Some(cluster_ip) = info.cluster_ip else {
            return false;
        };
        let wanted: BTreeSet<Port> = info.ports.iter().map(|port| (port.protocol, port.port)).collect();
        let before = self.relays.len();
        self.relays.retain(|port, _| wanted.contains(port));
        let freed = self.relays.len() < before;
        let earlier = std::mem::take(&mut self.failures);
        for (protocol, number) in wanted {
            if self.relays.contains_key(&(protocol, number)) {
                continue;
            }
            let port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), number);
            match Relay::start(protocol, port, SocketAddr::new(IpAddr::V4(cluster_ip), number)).await {
                Ok(relay) => drop(self.relays.insert((protocol, number), relay)),
                Err(error) => {
                    let reason = explain(port, protocol, &error).await;
                    if earlier.get(&(protocol, number)) != Some(&reason) {
                        tracing::warn!(service = %format_args!("{}/{}", key.0, key.1), "{reason}");
                        warn(client, key, info, &reason).await;
                    }
                    self.failures.insert((protocol, number), reason);
                }
            }
        }
        freed
    }

    /// The `status.loadBalancer.ingress` that says this.
    fn ingress(&self) -> Value {
        if self.relays.is_empty() {
            return json!([]);
        }
        // "Proxy": the address is not to be short-cut by anybody's service rules.
        let mut entry = json!({"ip": Ipv4Addr::LOCALHOST.to_string(), "ipMode": "Proxy"});
        if !self.failures.is_empty() {
            let upper = |protocol: Protocol| protocol.name().to_uppercase();
            let good = self
                .relays
                .keys()
                .map(|(protocol, port)| json!({"port": port, "protocol": upper(*protocol)}));
            let bad = self.failures.keys().map(
                |(protocol, port)| json!({"port": port, "protocol": upper(*protocol), "error": "HostPortUnavailable"}),
            );
            entry["ports"] = good.chain(bad).collect();
        }
        json!([entry])
    }
}

async fn explain(port: SocketAddr, protocol: Protocol, error: &io::Error) -> String {
    let name = protocol.name().to_uppercase();
    if error.kind() != io::ErrorKind::AddrInUse {
        return format!("cannot listen on {port}/{name} of the host: {error}");
    }
    let found = tokio::task::spawn_blocking(move || holder::holder(port.port(), protocol)).await;
    let holder = found.ok().flatten().unwrap_or_else(|| "another process".into());
    format!("port {port}/{name} of the host is taken by {holder}")
}

/// Sets the ingress list. A service that is gone needs none.
async fn tell(client: &Client, (namespace, name): &Key, ingress: &Value) -> kube::Result<()> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let patch = json!({"status": {"loadBalancer": {"ingress": ingress}}});
    match api
        .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// An Event as upstream's service controller writes it when a load balancer cannot be had.
async fn warn(client: &Client, (namespace, name): &Key, info: &ServiceInfo, reason: &str) {
    let now = SystemTime::now();
    let stamp = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let time = k8s_openapi::jiff::Timestamp::try_from(now)
        .unwrap_or_default()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let event = json!({
        "metadata": {"name": format!("{name}.{stamp:x}"), "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Service", "namespace": namespace, "name": name, "uid": info.uid},
        "type": "Warning",
        "reason": "SyncLoadBalancerFailed",
        "message": format!("Error syncing load balancer: {reason}"),
        "source": {"component": "service-controller"},
        "reportingComponent": "service-controller",
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    });
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let outcome = match serde_json::from_value(event) {
        Ok(event) => api
            .create(&PostParams::default(), &event)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot write an event");
    }
}
