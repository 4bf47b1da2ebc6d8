use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::Client;
use load::{Mode, Plan, Recording, Target, http_request};
use results::{Latency, Load, Phase, Program, Run, SCHEMA, Second, TargetInfo};

use super::environment::{self, Ticks};
use super::fault::{self, Kill, Means};
use super::interrupt::Interrupt;
use super::{cluster_info, endpoint, prometheus};

/// What the load is to be.
#[derive(Debug, Clone)]
pub struct Order {
    /// Length.
    pub time: Duration,
    /// Requests per second in open loop; `None` for a closed loop.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: u32,
    /// Generator threads.
    pub threads: u32,
    /// Kill a pod of the application after this time.
    pub kill_pod_after: Option<Duration>,
}

/// What is loaded.
#[derive(Clone)]
pub enum Subject {
    /// The demo in this namespace, with the app key that it accepts.
    Demo {
        /// The cluster.
        client: Client,
        /// The demo's namespace.
        namespace: String,
        /// App key.
        app_key: String,
        /// The local cluster that it is, if it is one.
        local: Option<engine::Paths>,
    },
    /// An address of somebody's own.
    Url(String),
}

/// Devices that the generated requests pretend to come from.
const DEVICES: usize = 5000;

/// Where the subject answers.
pub async fn url(subject: &Subject) -> anyhow::Result<String> {
    match subject {
        Subject::Url(url) => Ok(url.clone()),
        Subject::Demo {
            client, namespace, ..
        } => endpoint(client, namespace, "tally").await,
    }
}

/// One load, with nothing observed but at the client.
pub async fn one_load(
    order: &Order,
    url: &str,
    subject: &Subject,
    interrupt: &Interrupt,
) -> anyhow::Result<Load> {
    let target = Target::parse(url)?;
    let plan = Plan {
        address: target.resolve()?,
        requests: requests(&target, subject).into(),
        mode: order.rate.map_or(Mode::Closed, |rate| Mode::Open { rate }),
        duration: order.time,
        connections: order.connections,
        threads: order.threads,
        timeout: Duration::from_secs(10),
    };
    let stop = interrupt.flag();
    let recording = tokio::task::spawn_blocking(move || load::run(&plan, &stop)).await??;
    describe(order, &recording)
}

/// Loads, observes, and gives the run document. Ctrl-C ends the load early and keeps what was measured.
pub async fn run(
    order: &Order,
    subject: &Subject,
    phases: Vec<Phase>,
    command: Vec<String>,
) -> anyhow::Result<Run> {
    run_until(order, subject, phases, command, &Interrupt::listen()).await
}

/// As [`run`], for a plan of several loads that ends at one interrupt.
pub async fn run_until(
    order: &Order,
    subject: &Subject,
    phases: Vec<Phase>,
    command: Vec<String>,
    interrupt: &Interrupt,
) -> anyhow::Result<Run> {
    let url = url(subject).await?;
    let ticks = Ticks::now();
    let (started, begun) = (jiff::Timestamp::now(), Instant::now());
    let fault = match (order.kill_pod_after, subject) {
        (
            Some(after),
            Subject::Demo {
                client,
                namespace,
                local,
                ..
            },
        ) => {
            let kill = Kill {
                namespace: namespace.clone(),
                app: "tally".to_owned(),
                means: local.clone().map_or(Means::Delete, Means::Signal),
                after,
                patience: order.time + Duration::from_secs(30),
            };
            Some(tokio::spawn(fault::kill_pod(client.clone(), kill, begun)))
        }
        (Some(_), Subject::Url(_)) => {
            anyhow::bail!("--kill-pod-after needs the demo; it cannot be used with --url")
        }
        (None, _) => None,
    };
    let load = one_load(order, &url, subject, interrupt).await?;
    let stolen = ticks
        .zip(Ticks::now())
        .map(|(before, after)| after.stolen_since(before));
    let mut run = Run {
        schema: SCHEMA.to_owned(),
        id: format!(
            "{}-{:04x}",
            started.strftime("%Y%m%dT%H%M%SZ"),
            std::process::id() & 0xffff
        ),
        program: Program {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        started: started.to_string(),
        command,
        target: TargetInfo { url, cluster: None },
        phases,
        load,
        pods: Vec::new(),
        events: Vec::new(),
        faults: Vec::new(),
        missing: Vec::new(),
        environment: None,
        repeats: Vec::new(),
        search: None,
        cost: None,
    };
    if let Some(fault) = fault {
        let mut fault = fault.await?.context("failed to kill a pod")?;
        fault.measure(run.load.full_seconds());
        run.faults.push(fault);
    }
    match subject {
        Subject::Demo {
            client,
            namespace,
            local,
            ..
        } => {
            observe(&mut run, client, namespace, started).await;
            match environment::environment(client, namespace, local.is_some()).await {
                Ok(found) => run.environment = Some(found),
                Err(e) => run.missing.push(format!("images and background work: {e}")),
            }
        }
        Subject::Url(_) => run
            .missing
            .push("pods and events: the address belongs to no cluster that was named".to_owned()),
    }
    let own = || results::Environment {
        generator: environment::machine(),
        ..results::Environment::default()
    };
    run.environment.get_or_insert_with(own).generator.steal_percent = stolen;
    Ok(run)
}

/// Adds what the cluster and Prometheus say; what cannot be had is named in the document.
async fn observe(run: &mut Run, client: &Client, namespace: &str, started: jiff::Timestamp) {
    match cluster_info::cluster(client).await {
        Ok(cluster) => run.target.cluster = Some(cluster),
        Err(e) => run.missing.push(format!("the cluster's nodes: {e}")),
    }
    match cluster_info::events(client, namespace, started).await {
        Ok(events) => run.events = events,
        Err(e) => run.missing.push(format!("the cluster's events: {e}")),
    }
    let pods = async {
        let base = endpoint(client, namespace, "prometheus").await?;
        let (up, all) = prometheus::targets(&base).await?;
        if up < all {
            run.missing
                .push(format!("Prometheus reaches only {up} of its {all} targets"));
        }
        prometheus::pods(&base, namespace, started, jiff::Timestamp::now()).await
    };
    match pods.await {
        Ok(pods) if pods.is_empty() => run
            .missing
            .push("CPU and memory by pod: Prometheus has none of it yet".to_owned()),
        Ok(pods) => run.pods = pods,
        Err(e) => run.missing.push(format!("CPU and memory by pod: {e:#}")),
    }
}

/// For the demo: what devices send in a session, a begin, an event, an end. Else the URL itself.
fn requests(target: &Target, subject: &Subject) -> Vec<Vec<u8>> {
    let Subject::Demo { app_key, .. } = subject else {
        return vec![http_request(&target.host, &target.path, None)];
    };
    let parts = [
        "begin_session=1",
        "events=%5B%7B%22key%22%3A%22look%22%2C%22count%22%3A1%7D%5D",
        "session_duration=30",
        "end_session=1&session_duration=12",
    ];
    (0..DEVICES)
        .flat_map(|device| {
            parts.map(|part| {
                http_request(
                    &target.host,
                    &format!("/i?app_key={app_key}&device_id=load-{device}&{part}"),
                    None,
                )
            })
        })
        .collect()
}

fn describe(order: &Order, recording: &Recording) -> anyhow::Result<Load> {
    let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let series = recording.series.iter().enumerate().map(|(t, second)| {
        let at = |quantile: f64| {
            (!second.latency.is_empty()).then(|| ms(second.latency.value_at_quantile(quantile)))
        };
        Second {
            t: t as u64,
            completed: second.completed,
            failed: second.failed,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    });
    Ok(Load {
        mode: if order.rate.is_some() { "open" } else { "closed" }.to_owned(),
        rate: order.rate,
        connections: order.connections,
        threads: recording.threads,
        seconds: recording.wall.as_secs_f64(),
        scheduled: recording.scheduled,
        sent: recording.sent,
        completed: recording.completed,
        failed: recording.failed(),
        errors: recording.errors.clone(),
        throughput: recording.throughput(),
        latency: Latency::from_histogram(&recording.latency)?,
        lag_p99_ms: ms(recording.lag.value_at_quantile(0.99)),
        generator_cpu_us: recording.cpu.as_secs_f64() * 1e6 / (recording.completed.max(1)) as f64,
        doubts: recording.doubts(),
        series: series.collect(),
        planned_s: Some(order.time.as_secs_f64()),
        arm: None,
    })
}
