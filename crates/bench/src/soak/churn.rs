//! What comes and goes: pods with volumes, services in front of them, and watches that are dropped and resumed.
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{
    Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::json;
use tokio::time::timeout;

use crate::engine::{Workbench, is_ready};

const NAMESPACE: &str = "soak";
/// Pods that live at a time: the oldest goes when one more has come.
const ALIVE: usize = 5;
/// Watches that are open at a time.
const WATCHES: usize = 20;
/// A probe has a second, which a machine that others keep busy may not grant for a while.
const PATIENCE: Duration = Duration::from_mins(5);

/// What was done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Pods that were created, became Ready and were deleted.
    pub pods: usize,
    /// Watches that were dropped and resumed where they had been.
    pub watches: usize,
    /// Services that were created or deleted.
    pub services: usize,
}

/// The things that come and go.
pub struct Churn<'a> {
    bench: &'a Workbench<'a>,
    image: String,
    pause: Duration,
    pods: Api<Pod>,
    services: Api<Service>,
    maps: Api<ConfigMap>,
    alive: VecDeque<String>,
    watches: VecDeque<Watch>,
    number: usize,
    done: Done,
}

/// An open watch and how far it has come.
struct Watch {
    events: futures::stream::BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>,
    revision: String,
}

impl<'a> Churn<'a> {
    /// Begins with nothing but the watches; `rate` is pods a second.
    pub async fn new(bench: &'a Workbench<'a>, image: &str, rate: f64) -> anyhow::Result<Self> {
        ensure!(rate > 0.0, "the rate is above 0");
        bench.namespace(NAMESPACE).await?;
        let client = || bench.client.clone();
        let mut churn = Self {
            bench,
            image: image.to_owned(),
            pause: Duration::from_secs_f64(1.0 / rate),
            pods: Api::namespaced(client(), NAMESPACE),
            services: Api::namespaced(client(), NAMESPACE),
            maps: Api::namespaced(client(), NAMESPACE),
            alive: VecDeque::new(),
            watches: VecDeque::new(),
            number: 0,
            done: Done::default(),
        };
        let map = serde_json::from_value(json!({"metadata": {"name": "shared"}, "data": {"n": "0"}}))?;
        churn.maps.create(&PostParams::default(), &map).await?;
        let list = churn.maps.list(&ListParams::default()).await?;
        let revision = list.metadata.resource_version.unwrap_or_default();
        for _ in 0..WATCHES {
            let watch = churn.watch(revision.clone()).await?;
            churn.watches.push_back(watch);
        }
        Ok(churn)
    }

    /// What was done so far.
    pub fn done(&self) -> Done {
        self.done
    }

    /// Goes on for a time; calls `report` now and then. At the end all pods are gone.
    pub async fn run(
        &mut self,
        time: Duration,
        every: Duration,
        report: impl Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (begun, mut reported) = (Instant::now(), Instant::now());
        let mut ticks = tokio::time::interval(self.pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while begun.elapsed() < time {
            ticks.tick().await;
            self.step().await?;
            if reported.elapsed() >= every {
                reported = Instant::now();
                report()?;
            }
        }
        while let Some(name) = self.alive.pop_front() {
            self.delete(&name).await?;
        }
        Ok(())
    }

    /// Removes everything.
    pub async fn end(self) -> anyhow::Result<()> {
        drop(self.watches);
        self.bench.delete_namespace(NAMESPACE).await
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        self.number += 1;
        let name = format!("pod-{}", self.number);
        self.create(&name).await?;
        self.alive.push_back(name);
        if self.alive.len() > ALIVE
            && let Some(oldest) = self.alive.pop_front()
        {
            self.delete(&oldest).await?;
        }
        self.resume().await?;
        if self.number.is_multiple_of(10) {
            self.change_service().await?;
        }
        Ok(())
    }

    async fn create(&mut self, name: &str) -> anyhow::Result<()> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": "soak"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "shared", "configMap": {"name": "shared"}}],
                "containers": [{"name": "main", "image": self.image,
                    "command": ["sh", "-c", "echo hello; cp /shared/n /scratch/n; exec sleep 3600"],
                    "readinessProbe": {"exec": {"command": ["cat", "/scratch/n"]}, "periodSeconds": 5},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}, {"name": "shared", "mountPath": "/shared"}]}],
            },
        }))?;
        self.pods.create(&PostParams::default(), &pod).await?;
        let ready = await_condition(self.pods.clone(), name, |pod: Option<&Pod>| {
            pod.is_some_and(is_ready)
        });
        if let Ok(seen) = timeout(PATIENCE, ready).await {
            seen?;
        } else {
            let now = self.pods.get(name).await?.status;
            bail!("{name} does not become Ready: {}", serde_json::to_string(&now)?);
        }
        let said = self.pods.logs(name, &LogParams::default()).await?;
        ensure!(said == "hello\n", "{name} said {said:?}");
        Ok(())
    }

    async fn delete(&mut self, name: &str) -> anyhow::Result<()> {
        let deleted = self.pods.delete(name, &DeleteParams::default()).await?;
        let uid = deleted.left().and_then(|p| p.metadata.uid).unwrap_or_default();
        let gone = await_condition(self.pods.clone(), name, conditions::is_deleted(&uid));
        timeout(PATIENCE, gone)
            .await
            .with_context(|| format!("{name} does not go"))??;
        self.done.pods += 1;
        Ok(())
    }

    /// Changes the shared map; the oldest watch hears of it, is dropped, and another goes on where it was.
    async fn resume(&mut self) -> anyhow::Result<()> {
        let patch = json!({"data": {"n": self.number.to_string()}});
        self.maps
            .patch("shared", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let Some(mut watch) = self.watches.pop_front() else {
            return Ok(());
        };
        let wanted = self.number.to_string();
        let hears = async {
            while let Some(event) = watch.events.try_next().await? {
                if let WatchEvent::Added(map) | WatchEvent::Modified(map) = event {
                    watch.revision = map.metadata.resource_version.clone().unwrap_or_default();
                    if map.data.is_some_and(|data| data.get("n") == Some(&wanted)) {
                        return Ok(());
                    }
                }
            }
            bail!("a watch ended")
        };
        timeout(PATIENCE, hears)
            .await
            .context("a watch hears nothing")??;
        let revision = watch.revision.clone();
        drop(watch);
        let next = self.watch(revision).await?;
        self.watches.push_back(next);
        self.done.watches += 1;
        Ok(())
    }

    async fn watch(&self, revision: String) -> anyhow::Result<Watch> {
        let parameters = WatchParams::default().timeout(294);
        let maps = self.maps.clone();
        let events = maps.watch(&parameters, &revision).await?.boxed();
        Ok(Watch { events, revision })
    }

    /// A service in front of the pods, every other time taken away again.
    async fn change_service(&mut self) -> anyhow::Result<()> {
        if self.services.get_opt("soak").await?.is_some() {
            self.services.delete("soak", &DeleteParams::default()).await?;
        } else {
            let service = serde_json::from_value(json!({
                "metadata": {"name": "soak"},
                "spec": {"selector": {"app": "soak"}, "ports": [{"port": 80}]},
            }))?;
            self.services.create(&PostParams::default(), &service).await?;
        }
        self.done.services += 1;
        Ok(())
    }
}
