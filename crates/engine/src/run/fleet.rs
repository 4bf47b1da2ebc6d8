//! The nodes of the cluster: started with the engine, and on request taken out for a while and brought back.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine_api::ApiServer;
use engine_net::ClusterNet;
use engine_node::{Capacity, NodeAgent, Nodes};
use jiff::Timestamp;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use super::line::Line;
use crate::chaos::{NodeState, State};
use crate::outages::{Kind, Outage, Outages};
use crate::{Error, Paths, Plan, cgroup, process};

/// Pods that a node takes.
const PODS_PER_NODE: i64 = 250;
/// Tasks that a pod may have: enough for any program, and a fork bomb leaves the machine its numbers (OpenShift's `podPidsLimit`).
const POD_PIDS: i64 = 4096;
/// How long the containers of a node that is stopped may take to die.
const DEATH: Duration = Duration::from_secs(30);
/// What could not be brought back at its time is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What every node is made of.
pub(super) struct Parts {
    pub(super) paths: Paths,
    pub(super) plan: Plan,
    pub(super) api: ApiServer,
    pub(super) net: Arc<ClusterNet>,
    pub(super) runtime: engine_runtime::Client,
    pub(super) tls: Arc<rustls::ServerConfig>,
}

/// Why a request about a node is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// No such node.
    #[error("there is no node `{0}`")]
    Unknown(String),
    /// It is out already, in another way.
    #[error("node `{node}` is {kind} until {until}: restore it first", kind = State::from(outage.kind), until = outage.until)]
    Otherwise { node: String, outage: Outage },
    /// It should have worked.
    #[error("{0}")]
    Failed(#[from] Error),
}

/// All nodes.
pub(super) struct Fleet {
    parts: Parts,
    members: BTreeMap<String, Member>,
    /// Who can be reached: for logs, exec, metrics.
    reachable: Nodes,
    outages: Mutex<Outages>,
    changed: Notify,
}

/// One node.
struct Member {
    index: u8,
    line: Line,
    /// `None` while it is stopped, and while it is cut off and the engine was restarted since.
    agent: Mutex<Option<NodeAgent>>,
}

impl Fleet {
    /// Starts every node that is not out.
    pub(super) async fn start(parts: Parts) -> Result<Arc<Self>, Error> {
        let outages = Outages::read(&parts.paths)?;
        let members = (1u8..).zip(parts.plan.node_names()).map(|(index, name)| {
            let agent = Mutex::default();
            let line = Line::new();
            (name, Member { index, line, agent })
        });
        let fleet = Self {
            members: members.collect(),
            reachable: Nodes::default(),
            changed: Notify::new(),
            outages: Mutex::new(outages.clone()),
            parts,
        };
        for (name, member) in &fleet.members {
            match outages.get(name) {
                None => fleet.bring_up(name, member).await?,
                // Its containers may have outlived an engine that died on the way.
                Some(outage) => {
                    tracing::info!(node = name, kind = ?outage.kind, until = %outage.until, "node is out");
                    fleet.sever(name, member).await?;
                    if outage.kind == Kind::Stopped {
                        fleet.kill_containers(name).await?;
                    }
                }
            }
        }
        Ok(Arc::new(fleet))
    }

    /// The nodes that can be reached now.
    pub(super) fn reachable(&self) -> &Nodes {
        &self.reachable
    }

    /// Ends outages at their time, until dropped.
    pub(super) fn keep_deadlines(self: &Arc<Self>) -> JoinHandle<()> {
        let fleet = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let next = fleet
                    .outages
                    .lock()
                    .await
                    .next()
                    .map(|(node, until)| (node.to_owned(), until));
                let Some((node, until)) = next else {
                    fleet.changed.notified().await;
                    continue;
                };
                let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
                tokio::select! {
                    () = fleet.changed.notified() => continue,
                    () = tokio::time::sleep(left) => {}
                }
                if let Err(e) = fleet.restore(&node).await {
                    tracing::error!("node {node} does not come back: {e}");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        })
    }

    /// Every node and how it is.
    pub(super) async fn states(&self) -> Vec<NodeState> {
        let outages = self.outages.lock().await;
        let names = self.members.keys();
        names.map(|name| state(name, outages.get(name))).collect()
    }

    /// Takes a node out until a time; one that is out in the same way already gets the new time.
    pub(super) async fn take_out(
        &self,
        name: &str,
        kind: Kind,
        until: Timestamp,
    ) -> Result<NodeState, Refused> {
        let member = self.member(name)?;
        let mut outages = self.outages.lock().await;
        if let Some(outage) = outages.get(name).filter(|outage| outage.kind != kind) {
            let node = name.to_owned();
            return Err(Refused::Otherwise { node, outage });
        }
        let outage = Outage { kind, until };
        // Recorded first: whatever happens from here on, the node comes back.
        outages.set(name, outage);
        outages.write(&self.parts.paths)?;
        self.changed.notify_one();
        tracing::info!(node = name, ?kind, %until, "taking the node out");
        drop(self.reachable.remove(name));
        self.sever(name, member).await?;
        if kind == Kind::Stopped {
            if let Some(agent) = member.agent.lock().await.take() {
                agent.stop().await;
            }
            self.kill_containers(name).await?;
        }
        Ok(state(name, Some(outage)))
    }

    /// Brings a node back; one that is not out stays as it is.
    pub(super) async fn restore(&self, name: &str) -> Result<NodeState, Refused> {
        let member = self.member(name)?;
        let mut outages = self.outages.lock().await;
        if outages.get(name).is_some() {
            self.bring_up(name, member).await?;
            outages.remove(name);
            outages.write(&self.parts.paths)?;
            self.changed.notify_one();
            tracing::info!(node = name, "the node is back");
        }
        Ok(state(name, None))
    }

    fn member(&self, name: &str) -> Result<&Member, Refused> {
        self.members
            .get(name)
            .ok_or_else(|| Refused::Unknown(name.to_owned()))
    }

    /// Link and line up, agent running.
    async fn bring_up(&self, name: &str, member: &Member) -> Result<(), Error> {
        let Parts { net, .. } = &self.parts;
        let failed = |e| Error::part("node network")(Box::new(e));
        let node_net = net.ensure_node(member.index, name).await.map_err(failed)?;
        net.heal(member.index).await.map_err(failed)?;
        member.line.set(true);
        let mut slot = member.agent.lock().await;
        let agent = match &*slot {
            Some(agent) => agent.clone(),
            None => self.agent(name, member, node_net).await?,
        };
        self.reachable.insert(agent.clone());
        *slot = Some(agent);
        Ok(())
    }

    /// Link and line down.
    async fn sever(&self, name: &str, member: &Member) -> Result<(), Error> {
        let Parts { net, .. } = &self.parts;
        let failed = |e| Error::part("node network")(Box::new(e));
        member.line.set(false);
        net.cut(member.index).await.map_err(failed)?;
        // Also after a restart of the engine the service proxy has to know it.
        net.ensure_node(member.index, name).await.map_err(failed)?;
        Ok(())
    }

    /// Kills whatever runs in the node's cgroups.
    async fn kill_containers(&self, name: &str) -> Result<(), Error> {
        let below = format!("{}/{name}", self.parts.plan.name);
        let killed =
            tokio::task::spawn_blocking(move || process::kill_all(|| cgroup::processes(&below), DEATH));
        let left: BTreeSet<i32> = killed.await.map_err(|e| Error::part("node")(Box::new(e)))?;
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::Part {
            part: "node",
            reason: format!("processes {left:?} of {name} do not die"),
        })
    }

    async fn agent(
        &self,
        name: &str,
        member: &Member,
        net: Arc<engine_net::NodeNet>,
    ) -> Result<NodeAgent, Error> {
        let Parts {
            paths,
            plan,
            api,
            runtime,
            tls,
            ..
        } = &self.parts;
        let images =
            image::Store::open(paths.images()).map_err(|e| Error::part("image store")(Box::new(e)))?;
        let groups = ["system:nodes", "system:masters", "system:authenticated"];
        let client = api.client(&format!("system:node:{name}"), &groups, "kubelet/v1.36.2");
        let config = engine_node::Config {
            client: member.line.client(client),
            runtime: runtime.clone(),
            net,
            images,
            cluster_name: plan.name.clone(),
            cluster_dir: paths.dir(),
            cluster_dns: plan.addresses()?.dns_service().into(),
            cluster_domain: "cluster.local".to_owned(),
            capacity: Capacity::of_this_machine(&paths.dir(), PODS_PER_NODE),
            labels: BTreeMap::new(),
            control_plane: member.index == 1,
            pod_pids: Some(POD_PIDS),
            tls: Some(tls.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease_seconds: plan.lifecycle.lease(),
        };
        config
            .build()
            .await
            .map_err(|e| Error::part("node agent")(Box::new(e)))
    }
}

fn state(name: &str, outage: Option<Outage>) -> NodeState {
    NodeState {
        name: name.to_owned(),
        state: outage.map_or(State::Up, |outage| outage.kind.into()),
        until: outage.map(|outage| outage.until),
    }
}
