//! Load from inside the cluster: a Job of workers that begin at one instant and print what they measured into their logs.
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, AttachParams, DeleteParams, ListParams, LogParams, PostParams};
use load::{Recording, Task};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::interrupt::Interrupt;

/// How long pods may take to run.
const PATIENCE: Duration = Duration::from_secs(180);
/// What the workers' clocks may differ from this one's without a word about it.
const CLOCKS: Duration = Duration::from_millis(50);
/// How often the cluster is asked where things stand.
const GLANCE: Duration = Duration::from_millis(200);

/// What the workers measured together.
#[derive(Debug)]
pub struct Outcome {
    /// Everything, merged.
    pub recording: Recording,
    /// Why a worker's part says more about the worker than about the server.
    pub doubts: Vec<String>,
}

/// Workers to be.
pub struct Workers {
    client: Client,
    namespace: String,
    count: u32,
}

impl Workers {
    /// So many of them in this namespace.
    pub fn new(client: Client, namespace: &str, count: u32) -> Workers {
        Workers {
            client,
            namespace: namespace.to_owned(),
            count,
        }
    }

    /// Carries a load out, and removes the Job whatever came of it.
    pub async fn run(&self, task: &Task, interrupt: &Interrupt) -> anyhow::Result<Outcome> {
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let job = self.job(&self.image().await?, &task.part(self.count))?;
        let job = jobs.create(&PostParams::default(), &job).await;
        let name = job
            .context("failed to create the load workers' Job")?
            .metadata
            .name
            .unwrap_or_default();
        let done = self.carry_out(&name, task, interrupt).await;
        let gone = jobs
            .delete(&name, &DeleteParams::background())
            .await
            .with_context(|| format!("failed to remove job/{name}"));
        match (done, gone) {
            (Ok(outcome), Ok(_)) => Ok(outcome),
            (Ok(_), Err(e)) | (Err(e), Ok(_)) => Err(e),
            (Err(e), Err(also)) => Err(e.context(format!("{also:#}"))),
        }
    }

    async fn carry_out(&self, job: &str, task: &Task, interrupt: &Interrupt) -> anyhow::Result<Outcome> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = format!("batch.kubernetes.io/job-name={job}");
        let names = self.all(&pods, &selector, "Running", PATIENCE, interrupt).await?;
        let lead = Duration::from_millis(1_000 + 200 * u64::from(self.count));
        let at = jiff::Timestamp::now() + lead;
        let clocks = try_join_all(names.iter().map(|name| begin(&pods, name, at))).await?;
        let length = match &task.pace {
            load::Pace::Open(steps) => steps.iter().map(|s| s.1).sum(),
            load::Pace::Closed(time) => *time,
        };
        let length = Duration::try_from_secs_f64(length + task.warm_up_s + task.timeout_s)?;
        self.all(&pods, &selector, "Succeeded", lead + length + PATIENCE, interrupt)
            .await?;
        let mut outcome = Outcome {
            recording: Recording::empty(),
            doubts: Vec::new(),
        };
        for (name, clock) in names.iter().zip(clocks) {
            let log = pods
                .logs(name, &LogParams::default())
                .await
                .with_context(|| format!("failed to read the log of pod/{name}"))?;
            let part = Recording::from_lines(&log)
                .with_context(|| format!("pod/{name} printed no whole recording"))?;
            let doubts = part.doubts().into_iter();
            outcome
                .doubts
                .extend(doubts.map(|d| format!("worker {name}: {d}")));
            if clock.abs() > CLOCKS.as_secs_f64() {
                outcome.doubts.push(format!(
                    "worker {name}: its clock differs from this one's by {:.0} ms, so it did not begin with the others",
                    clock * 1e3
                ));
            }
            outcome.recording.merge(&part);
        }
        Ok(outcome)
    }

    /// Waits until all workers are in a phase; gives their names.
    async fn all(
        &self,
        pods: &Api<Pod>,
        selector: &str,
        phase: &str,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Vec<String>> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let found = pods.list(&ListParams::default().labels(selector)).await?;
            let state = |pod: &Pod| {
                let status = pod.status.as_ref();
                let phase = status.and_then(|s| s.phase.clone()).unwrap_or_default();
                (pod.metadata.name.clone().unwrap_or_default(), phase)
            };
            let states: Vec<(String, String)> = found.iter().map(state).collect();
            if let Some((name, _)) = states.iter().find(|(_, p)| p == "Failed") {
                let log = pods.logs(name, &LogParams::default()).await.unwrap_or_default();
                anyhow::bail!("load worker pod/{name} failed: {}", log.trim());
            }
            if states.len() == self.count as usize && states.iter().all(|(_, p)| p == phase) {
                return Ok(states.into_iter().map(|(name, _)| name).collect());
            }
            if interrupt.came() {
                return Err(crate::exit::Interrupted.into());
            }
            if tokio::time::Instant::now() >= deadline {
                let states: Vec<String> = states.iter().map(|(n, p)| format!("{n} is {p}")).collect();
                anyhow::bail!(
                    "the {} load workers were not {phase} within {} s: {}",
                    self.count,
                    patience.as_secs(),
                    states.join(", ")
                );
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The demo's own image, as its application runs it.
    async fn image(&self) -> anyhow::Result<String> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let tally = deployments
            .get("tally")
            .await
            .context("load workers run from the image of the demo's application")?;
        let pod = tally.spec.and_then(|s| s.template.spec);
        let container = pod.and_then(|p| p.containers.into_iter().next());
        container
            .and_then(|c| c.image)
            .context("deployment/tally has no image")
    }

    fn job(&self, image: &str, task: &Task) -> anyhow::Result<Job> {
        let labels = json!({"app.kubernetes.io/name": "load", "app.kubernetes.io/part-of": "cncfdemo"});
        Ok(serde_json::from_value(json!({
            "metadata": {"generateName": "load-", "labels": labels},
            "spec": {
                "completions": self.count, "parallelism": self.count, "completionMode": "Indexed",
                "backoffLimit": 0, "ttlSecondsAfterFinished": 600,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "restartPolicy": "Never", "automountServiceAccountToken": false,
                        "terminationGracePeriodSeconds": 1,
                        "securityContext": {"runAsUser": 65534, "runAsGroup": 65534, "runAsNonRoot": true},
                        // Workers on one node would be each other's neighbours.
                        "topologySpreadConstraints": [{
                            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "load"}}}],
                        "containers": [{
                            "name": "load", "image": image, "args": ["serve", "load-worker"],
                            "env": [
                                {"name": "LOAD_TASK", "value": serde_json::to_string(task)?},
                                {"name": "LOAD_WORKERS", "value": self.count.to_string()},
                            ],
                            "resources": {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
                        }],
                    },
                },
            },
        }))?)
    }
}

/// Tells a worker when to begin; gives by how many seconds its clock is ahead of this one's, as far as that can be told: what
/// it says lies between question and answer.
async fn begin(pods: &Api<Pod>, name: &str, at: jiff::Timestamp) -> anyhow::Result<f64> {
    let command = [
        "/cncfdemo",
        "serve",
        "load-start",
        "--at",
        &at.as_millisecond().to_string(),
    ];
    let asked = jiff::Timestamp::now();
    let mut process = pods
        .exec(
            name,
            command,
            &AttachParams::default()
                .stdout(true)
                .stderr(false)
                .container("load"),
        )
        .await
        .with_context(|| format!("failed to tell pod/{name} to begin"))?;
    let mut said = String::new();
    if let Some(mut stdout) = process.stdout() {
        stdout.read_to_string(&mut said).await?;
    }
    process.join().await?;
    let answered = jiff::Timestamp::now();
    let theirs: i64 = said
        .trim()
        .parse()
        .with_context(|| format!("pod/{name} did not say that it will begin: {said:?}"))?;
    let early = (asked.as_millisecond() - theirs).max(0) as f64;
    let late = (theirs - answered.as_millisecond()).max(0) as f64;
    Ok((late - early) / 1e3)
}
