//! What Services and EndpointSlices say, kept current by watches, for the service proxy, DNS and host ports alike.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv4Addr,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::sync::{mpsc, watch};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// A service, reduced to what traffic and names need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ServiceInfo {
    pub uid: String,
    /// `None` for headless services and those of type ExternalName.
    pub cluster_ip: Option<Ipv4Addr>,
    pub external_name: Option<String>,
    pub external_ips: Vec<Ipv4Addr>,
    pub ports: Vec<PortInfo>,
    /// Seconds for which a client keeps its endpoint.
    pub affinity: Option<u32>,
    pub internal_local: bool,
    pub external_local: bool,
    pub load_balancer: bool,
    pub publish_not_ready: bool,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortInfo {
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
    pub node_port: Option<u16>,
}

/// A transport protocol, by its number in IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

impl Protocol {
    fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SliceInfo {
    pub ports: Vec<(String, Protocol, u16)>,
    pub endpoints: Vec<EndpointInfo>,
}

/// One of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointInfo {
    pub ip: Ipv4Addr,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub node: Option<String>,
    pub hostname: Option<String>,
}

/// Services and slices, current up to the last event.
#[derive(Debug)]
pub struct Catalog {
    state: RwLock<State>,
    synced: watch::Sender<(bool, bool)>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub services: HashMap<Key, Arc<ServiceInfo>>,
    /// By service, then by the slice's name.
    pub slices: HashMap<Key, BTreeMap<String, Arc<SliceInfo>>>,
    /// Number of services in a namespace, for names that exist without having records.
    pub namespaces: HashMap<String, usize>,
    /// Which service a slice belongs to: the label may change.
    owners: HashMap<Key, Key>,
    listeners: Vec<mpsc::UnboundedSender<Key>>,
}

impl State {
    pub(crate) fn slices_of(&self, key: &Key) -> Vec<Arc<SliceInfo>> {
        self.slices
            .get(key)
            .map(|slices| slices.values().cloned().collect())
            .unwrap_or_default()
    }

    fn tell(&mut self, key: &Key) {
        self.listeners
            .retain(|listener| listener.send(key.clone()).is_ok());
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            state: RwLock::default(),
            synced: watch::Sender::new((false, false)),
        }
    }
}

impl Catalog {
    /// Follows the services and slices that a client sees, until the handle is dropped.
    pub fn watch(client: &Client) -> (Arc<Self>, tokio::task::JoinHandle<()>) {
        let catalog = Arc::new(Self::default());
        let task = tokio::spawn(follow(Arc::clone(&catalog), client.clone()));
        (catalog, task)
    }

    /// Waits until the first lists of both kinds have arrived.
    pub async fn synced(&self) {
        // The sender is part of self, so this cannot fail.
        let _ = self
            .synced
            .subscribe()
            .wait_for(|(services, slices)| *services && *slices)
            .await;
    }

    pub(crate) fn is_synced(&self) -> bool {
        *self.synced.borrow() == (true, true)
    }

    /// Says that everything that exists has been applied.
    pub fn set_synced(&self) {
        self.synced.send_replace((true, true));
    }

    /// Adds or replaces a service.
    pub fn apply_service(&self, service: &Service) {
        let key = key_of(service.namespace(), service.name_any());
        let info = Arc::new(ServiceInfo::read(service));
        let mut state = self.write();
        match state.services.insert(key.clone(), Arc::clone(&info)) {
            Some(before) if before == info => return,
            Some(_) => {}
            None => *state.namespaces.entry(key.0.clone()).or_default() += 1,
        }
        state.tell(&key);
    }

    /// Removes a service.
    pub fn delete_service(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut state = self.write();
        if state.services.remove(&key).is_none() {
            return;
        }
        if let Some(count) = state.namespaces.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                state.namespaces.remove(namespace);
            }
        }
        state.tell(&key);
    }

    /// Adds or replaces an EndpointSlice.
    pub fn apply_slice(&self, slice: &EndpointSlice) {
        let key = key_of(slice.namespace(), slice.name_any());
        let owner = slice
            .labels()
            .get("kubernetes.io/service-name")
            .filter(|_| slice.address_type == "IPv4");
        let mut state = self.write();
        let owner = owner.map(|name| (key.0.clone(), name.clone()));
        if state.owners.get(&key) != owner.as_ref() {
            Self::forget_slice(&mut state, &key);
        }
        let Some(owner) = owner else { return };
        let info = Arc::new(SliceInfo::read(slice));
        state.owners.insert(key.clone(), owner.clone());
        let before = state
            .slices
            .entry(owner.clone())
            .or_default()
            .insert(key.1, Arc::clone(&info));
        if before.as_ref() != Some(&info) {
            state.tell(&owner);
        }
    }

    /// Removes an EndpointSlice.
    pub fn delete_slice(&self, namespace: &str, name: &str) {
        Self::forget_slice(&mut self.write(), &(namespace.to_owned(), name.to_owned()));
    }

    fn forget_slice(state: &mut State, key: &Key) {
        let Some(owner) = state.owners.remove(key) else {
            return;
        };
        if let Some(slices) = state.slices.get_mut(&owner) {
            slices.remove(&key.1);
            if slices.is_empty() {
                state.slices.remove(&owner);
            }
        }
        state.tell(&owner);
    }

    /// Tells of every service whose data changed from now on, and first of all that there are.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Key> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.write();
        for key in state.services.keys() {
            // The receiver is right here.
            let _ = sender.send(key.clone());
        }
        state.listeners.push(sender);
        receiver
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a new list: what was not in it is gone.
    fn retain_services(&self, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = self
            .read()
            .services
            .keys()
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        for (namespace, name) in &gone {
            self.delete_service(namespace, name);
        }
        self.synced.send_modify(|synced| synced.0 = true);
    }

    fn retain_slices(&self, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = self
            .read()
            .owners
            .keys()
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        for (namespace, name) in &gone {
            self.delete_slice(namespace, name);
        }
        self.synced.send_modify(|synced| synced.1 = true);
    }
}

/// An event passes through here one at a time; boxing it would cost more than its size.
#[allow(clippy::large_enum_variant)]
enum Seen {
    Service(watcher::Result<watcher::Event<Service>>),
    Slice(watcher::Result<watcher::Event<EndpointSlice>>),
}

async fn follow(catalog: Arc<Catalog>, client: Client) {
    let config = watcher::Config::default();
    let services = watcher(Api::<Service>::all(client.clone()), config.clone())
        .default_backoff()
        .map(Seen::Service);
    let slices = watcher(Api::<EndpointSlice>::all(client), config)
        .default_backoff()
        .map(Seen::Slice);
    let mut events = stream::select(services.boxed(), slices.boxed());
    let (mut listed_services, mut listed_slices) = (BTreeSet::new(), BTreeSet::new());
    while let Some(event) = events.next().await {
        match event {
            Seen::Service(Ok(event)) => match event {
                watcher::Event::Init => listed_services.clear(),
                watcher::Event::InitApply(service) => {
                    listed_services.insert(key_of(service.namespace(), service.name_any()));
                    catalog.apply_service(&service);
                }
                watcher::Event::InitDone => catalog.retain_services(&std::mem::take(&mut listed_services)),
                watcher::Event::Apply(service) => catalog.apply_service(&service),
                watcher::Event::Delete(service) => {
                    let (namespace, name) = key_of(service.namespace(), service.name_any());
                    catalog.delete_service(&namespace, &name);
                }
            },
            Seen::Slice(Ok(event)) => match event {
                watcher::Event::Init => listed_slices.clear(),
                watcher::Event::InitApply(slice) => {
                    listed_slices.insert(key_of(slice.namespace(), slice.name_any()));
                    catalog.apply_slice(&slice);
                }
                watcher::Event::InitDone => catalog.retain_slices(&std::mem::take(&mut listed_slices)),
                watcher::Event::Apply(slice) => catalog.apply_slice(&slice),
                watcher::Event::Delete(slice) => {
                    let (namespace, name) = key_of(slice.namespace(), slice.name_any());
                    catalog.delete_slice(&namespace, &name);
                }
            },
            // The watcher starts over by itself, after its back-off.
            Seen::Service(Err(error)) => tracing::warn!(%error, "watching services failed"),
            Seen::Slice(Err(error)) => tracing::warn!(%error, "watching endpoint slices failed"),
        }
    }
}

fn key_of(namespace: Option<String>, name: String) -> Key {
    (namespace.unwrap_or_default(), name)
}

impl ServiceInfo {
    fn read(service: &Service) -> Self {
        let Some(spec) = &service.spec else {
            return Self::default();
        };
        let kind = spec.type_.as_deref().unwrap_or("ClusterIP");
        let address = |text: &String| text.parse().ok();
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some(PortInfo {
                name: port.name.clone().unwrap_or_default(),
                protocol: Protocol::parse(port.protocol.as_deref())?,
                port: u16::try_from(port.port).ok()?,
                node_port: port
                    .node_port
                    .and_then(|port| u16::try_from(port).ok())
                    .filter(|port| *port != 0),
            })
        });
        let seconds = || {
            let client_ip = spec.session_affinity_config.as_ref()?.client_ip.as_ref()?;
            u32::try_from(client_ip.timeout_seconds?).ok()
        };
        // The API's default.
        let affinity =
            (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| seconds().unwrap_or(10800));
        Self {
            uid: service.uid().unwrap_or_default(),
            cluster_ip: spec
                .cluster_ip
                .as_ref()
                .and_then(address)
                .filter(|_| kind != "ExternalName"),
            external_name: spec.external_name.clone().filter(|_| kind == "ExternalName"),
            external_ips: spec.external_ips.iter().flatten().filter_map(address).collect(),
            ports: ports.collect(),
            affinity,
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            load_balancer: kind == "LoadBalancer" && spec.load_balancer_class.is_none(),
            publish_not_ready: spec.publish_not_ready_addresses == Some(true),
        }
    }
}

impl SliceInfo {
    fn read(slice: &EndpointSlice) -> Self {
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.port?).ok()?;
            Some((
                port.name.clone().unwrap_or_default(),
                Protocol::parse(port.protocol.as_deref())?,
                number,
            ))
        });
        let endpoints = slice.endpoints.iter().flatten().filter_map(|endpoint| {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // Absent means ready, and serving as ready: EndpointConditions in the API's documentation.
            let ready = conditions.ready.unwrap_or(true);
            Some(EndpointInfo {
                ip: endpoint.addresses.first()?.parse().ok()?,
                ready,
                serving: conditions.serving.unwrap_or(ready),
                terminating: conditions.terminating.unwrap_or(false),
                node: endpoint.node_name.clone(),
                hostname: endpoint.hostname.clone(),
            })
        });
        Self {
            ports: ports.collect(),
            endpoints: endpoints.collect(),
        }
    }
}
