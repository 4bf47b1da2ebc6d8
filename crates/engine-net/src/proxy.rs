//! Keeps the service rules of backbone and nodes current.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Catalog, ClusterNet, Error, Namespace, Result,
    catalog::{Key, Protocol},
    cluster::blocking,
    netlink::{Socket, nft::Endpoint, nft::Transaction},
    rules::{ServiceRules, TABLE, View, change, replace},
};

/// How long to wait for more changes before programming some: what one controller does comes in a burst.
const COALESCE: Duration = Duration::from_millis(2);
/// When the kernel refused the rules of a namespace.
const RETRY: Duration = Duration::from_secs(1);

/// Programs services into the backbone and all nodes. Dropped, it stops; the rules stay, as established connections do.
#[derive(Debug)]
pub struct ServiceProxy {
    task: JoinHandle<()>,
    rounds: watch::Receiver<u64>,
}

impl ServiceProxy {
    /// Starts once the catalog is complete: until then the rules of an engine before this one remain.
    pub fn start(net: Arc<ClusterNet>, catalog: Arc<Catalog>) -> Self {
        let (done, rounds) = watch::channel(0);
        Self {
            task: tokio::spawn(run(net, catalog, done)),
            rounds,
        }
    }

    /// Waits until all services that were known to the catalog at the first round are programmed.
    pub async fn ready(&self) {
        // An error would mean that the task is gone, and nothing to wait for.
        let _ = self.rounds.clone().wait_for(|rounds| *rounds > 0).await;
    }

    /// Changes with every time that rules were programmed.
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.clone()
    }
}

impl Drop for ServiceProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One namespace with rules in it.
#[derive(Debug)]
struct Place {
    view: View,
    namespace: Namespace,
    socket: Socket,
    /// What is programmed; nothing before the table is made, and after a failure.
    programmed: Option<HashMap<Key, ServiceRules>>,
}

impl Place {
    fn open(view: View, namespace: &Namespace) -> Result<Self> {
        let socket = namespace.run(Socket::netfilter)??;
        Ok(Self {
            view,
            namespace: namespace.clone(),
            socket,
            programmed: None,
        })
    }

    /// Makes the rules what the catalog says, for the changed services or, if nothing is programmed, for all.
    fn program(&mut self, catalog: &Catalog, changed: &HashSet<Key>) -> Result<()> {
        let compiled: Vec<(Key, ServiceRules)> = {
            let state = catalog.read();
            let compile = |key: &Key| {
                let rules = state
                    .services
                    .get(key)
                    .map(|service| ServiceRules::compile(key, service, &state.slices_of(key), &self.view));
                (key.clone(), rules.unwrap_or_default())
            };
            match &self.programmed {
                Some(_) => changed.iter().map(compile).collect(),
                None => state.services.keys().map(compile).collect(),
            }
        };
        let before = self.programmed.take();
        let none = ServiceRules::default();
        let mut transaction = Transaction::new(TABLE);
        if before.is_none() {
            replace(&mut transaction, &self.view);
        }
        let old = |key| before.as_ref().and_then(|known| known.get(key)).unwrap_or(&none);
        let pairs: Vec<_> = compiled.iter().map(|(key, rules)| (old(key), rules)).collect();
        change(&mut transaction, &pairs);
        let stale = stale_udp(&pairs, before.is_none());
        if !transaction.is_empty() {
            self.socket.transact(&transaction.finish())?;
        }
        self.end_flows(&stale)?;
        let mut programmed = before.unwrap_or_default();
        for (key, rules) in compiled {
            if rules == none {
                programmed.remove(&key);
            } else {
                programmed.insert(key, rules);
            }
        }
        self.programmed = Some(programmed);
        Ok(())
    }

    fn end_flows(&self, stale: &Addresses) -> Result<()> {
        if stale.is_empty() {
            return Ok(());
        }
        let mut flows = self.socket.flows()?;
        flows.retain(|flow| {
            flow.protocol == Protocol::Udp as u8
                && stale
                    .get(&flow.destination)
                    .is_some_and(|living| !living.contains(&flow.responder))
        });
        self.socket.forget_flows(&flows)
    }
}

type Addresses = BTreeMap<(Ipv4Addr, u16), BTreeSet<Endpoint>>;

/// UDP addresses whose flows may go to endpoints that are none any more, with those that are.
fn stale_udp(pairs: &[(&ServiceRules, &ServiceRules)], all: bool) -> Addresses {
    let mut stale = Addresses::new();
    for (old, new) in pairs {
        for (address, living) in &new.udp {
            // A new service can have flows from before: to a node port that nobody answered.
            let lost = old
                .udp
                .get(address)
                .is_none_or(|before| !before.is_subset(living));
            if all || lost {
                stale.insert(*address, living.clone());
            }
        }
        for address in old.udp.keys().filter(|address| !new.udp.contains_key(*address)) {
            stale.entry(*address).or_default();
        }
    }
    stale
}

async fn run(net: Arc<ClusterNet>, catalog: Arc<Catalog>, done: watch::Sender<u64>) {
    let mut nodes = net.subscribe();
    catalog.synced().await;
    let mut changes = catalog.subscribe();
    let mut places: BTreeMap<u8, Place> = BTreeMap::new();
    let mut changed = HashSet::new();
    let mut failed = false;
    loop {
        while let Ok(key) = changes.try_recv() {
            changed.insert(key);
        }
        nodes.borrow_and_update();
        let (net, known) = (Arc::clone(&net), Arc::clone(&catalog));
        let now = std::mem::take(&mut changed);
        let round = blocking(move || Ok(program_all(&net, &known, places, &now))).await;
        // A panic in there lost the places: they are found again.
        (places, failed) = round.unwrap_or_else(|_| (BTreeMap::new(), !failed));
        if !failed {
            done.send_modify(|rounds| *rounds += 1);
        }
        tokio::select! {
            key = changes.recv() => {
                let Some(key) = key else { return };
                changed.insert(key);
                tokio::time::sleep(COALESCE).await;
            }
            outcome = nodes.changed() => if outcome.is_err() { return },
            () = tokio::time::sleep(RETRY), if failed => {}
        }
    }
}

/// Programs every place; tells whether one of them failed.
fn program_all(
    net: &ClusterNet,
    catalog: &Catalog,
    mut places: BTreeMap<u8, Place>,
    changed: &HashSet<Key>,
) -> (BTreeMap<u8, Place>, bool) {
    let mut failed = false;
    let wanted = wanted(net);
    places.retain(|index, place| {
        wanted.get(index).is_some_and(|(view, namespace)| {
            *view == place.view && std::ptr::eq(namespace.file(), place.namespace.file())
        })
    });
    for (index, (view, namespace)) in wanted {
        let place = match places.remove(&index) {
            Some(place) => Ok(place),
            None => Place::open(view, &namespace),
        };
        let outcome = place.and_then(|mut place| {
            if let Err(error) = place.program(catalog, changed) {
                // What is programmed is now unknown: make it all anew, at once.
                tracing::warn!(place = index, %error, "service rules were refused, replacing the table");
                place.programmed = None;
                place.program(catalog, changed)?;
            }
            Ok::<_, Error>(place)
        });
        match outcome {
            Ok(place) => drop(places.insert(index, place)),
            Err(error) => {
                tracing::error!(place = index, %error, "cannot program the service rules");
                failed = true;
            }
        }
    }
    (places, failed)
}

/// Where rules have to be: the backbone as 0, nodes by their number.
fn wanted(net: &ClusterNet) -> BTreeMap<u8, (View, Namespace)> {
    let plan = net.plan().addresses;
    let view = |address, node: Option<String>, pods| View {
        address,
        node,
        pods,
        cluster: plan.pods(),
        services: plan.services(),
    };
    let mut all = BTreeMap::new();
    all.insert(0, (view(plan.backbone(), None, None), net.backbone().clone()));
    for node in net.all_nodes() {
        let view = view(
            node.address(),
            Some(node.name().to_owned()),
            Some(node.pod_range()),
        );
        all.insert(node.index(), (view, node.namespace().clone()));
    }
    all
}
