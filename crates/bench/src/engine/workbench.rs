use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;

use crate::process;
use crate::subject::Subject;
use crate::wire::Door;

/// A running cluster and the ways into it.
pub struct Workbench<'a> {
    /// The program.
    pub subject: &'a Subject,
    /// A client with watches.
    pub client: kube::Client,
    /// For many clients with a connection each.
    pub door: Door,
}

impl<'a> Workbench<'a> {
    /// Finds the cluster or creates it.
    pub async fn open(subject: &'a Subject) -> anyhow::Result<Workbench<'a>> {
        tokio::task::block_in_place(|| subject.bootstrap())?;
        let door = Door::open(&subject.kubeconfig())?;
        Ok(Workbench {
            subject,
            client: subject.client().await?,
            door,
        })
    }

    /// Makes a namespace and waits until pods can be made in it.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), name);
        let there = await_condition(accounts, "default", |account: Option<&ServiceAccount>| {
            account.is_some()
        });
        tokio::time::timeout(Duration::from_secs(20), there)
            .await
            .context("no default ServiceAccount came")??;
        Ok(())
    }

    /// Deletes a namespace and waits until nothing of it is left.
    pub async fn delete_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let found = namespaces.delete(name, &DeleteParams::default()).await?;
        let uid = found.left().and_then(|n| n.metadata.uid).unwrap_or_default();
        let gone = await_condition(namespaces, name, conditions::is_deleted(&uid));
        tokio::time::timeout(Duration::from_mins(2), gone)
            .await
            .with_context(|| format!("namespace {name} does not go"))??;
        Ok(())
    }

    /// The engine's CPU time so far, without the runtime daemon.
    pub fn engine_cpu(&self) -> anyhow::Result<Duration> {
        process::of_cluster(&self.subject.cluster_dir(), "__engine")
            .into_iter()
            .map(process::cpu)
            .sum()
    }
}
