use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;
use tokio::sync::Mutex;

use crate::cli::Peer;
use crate::process;
use crate::subject::{self, Subject};
use crate::wire::Door;

/// A running cluster and the ways into it.
pub struct Workbench<'a> {
    /// Whose it is.
    pub place: Place<'a>,
    /// A client with watches.
    pub client: kube::Client,
    /// For many clients with a connection each.
    pub door: Door,
    made: Mutex<Vec<String>>,
}

/// Whose cluster it is.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// The program's, which goes as a whole.
    Own(&'a Subject),
    /// Somebody else's, in which nothing of ours may stay.
    Peer(&'a Peer),
}

impl Place<'_> {
    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        match self {
            Place::Own(subject) => subject.kubeconfig(),
            Place::Peer(peer) => peer.kubeconfig.clone(),
        }
    }

    /// An image with a `sleep` in it.
    pub fn image(&self) -> anyhow::Result<String> {
        match self {
            Place::Own(subject) => {
                let (_, built) = tokio::task::block_in_place(|| subject.build("busybox"))?;
                let name = built["name"].as_str().context("the image has no name")?;
                Ok(name.to_owned())
            }
            Place::Peer(peer) => Ok(peer.image.clone()),
        }
    }

    /// The processes that answer requests; the runtime daemon of ours is not among them.
    fn processes(&self) -> Vec<i32> {
        match self {
            Place::Own(subject) => process::of_cluster(&subject.cluster_dir(), "__engine"),
            Place::Peer(peer) => peer.pids.clone(),
        }
    }
}

impl<'a> Workbench<'a> {
    /// Finds the cluster; our own is created where there is none.
    pub async fn open(place: Place<'a>) -> anyhow::Result<Workbench<'a>> {
        if let Place::Own(subject) = place {
            tokio::task::block_in_place(|| subject.bootstrap())?;
        }
        let kubeconfig = place.kubeconfig();
        Ok(Workbench {
            place,
            door: Door::open(&kubeconfig)?,
            client: subject::client(&kubeconfig).await?,
            made: Mutex::default(),
        })
    }

    /// Makes a namespace and waits until pods can be made in it.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        self.made.lock().await.push(name.to_owned());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let there = await_condition(accounts, "default", |account: Option<&ServiceAccount>| {
            account.is_some()
        });
        tokio::time::timeout(Duration::from_secs(20), there)
            .await
            .context("no default ServiceAccount came")??;
        Ok(())
    }

    /// Takes away what is left of the namespaces that were made, where the cluster stays.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        let made = std::mem::take(&mut *self.made.lock().await);
        if let Place::Peer(_) = self.place {
            for name in made {
                self.delete_namespace(&name).await?;
            }
        }
        Ok(())
    }

    /// Deletes a namespace and waits until nothing of it is left.
    pub async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        if namespaces.get_opt(name).await?.is_none() {
            return Ok(());
        }
        let found = namespaces.delete(name, &DeleteParams::default()).await?;
        let uid = found.left().and_then(|n| n.metadata.uid).unwrap_or_default();
        let gone = await_condition(namespaces, name, conditions::is_deleted(&uid));
        tokio::time::timeout(Duration::from_mins(2), gone)
            .await
            .with_context(|| format!("namespace {name} does not go"))??;
        Ok(())
    }

    /// CPU time so far of the processes that answer; `None` where they are not known.
    pub fn cpu(&self) -> anyhow::Result<Option<Duration>> {
        let processes = self.place.processes();
        if processes.is_empty() {
            return Ok(None);
        }
        processes
            .into_iter()
            .map(process::cpu)
            .sum::<anyhow::Result<_>>()
            .map(Some)
    }

    /// Resident memory of the processes that answer; `None` where they are not known.
    pub fn resident(&self) -> anyhow::Result<Option<u64>> {
        let processes = self.place.processes();
        if processes.is_empty() {
            return Ok(None);
        }
        let each = processes
            .into_iter()
            .map(|pid| process::memory(pid).map(|m| m.rss));
        each.sum::<anyhow::Result<_>>().map(Some)
    }
}
