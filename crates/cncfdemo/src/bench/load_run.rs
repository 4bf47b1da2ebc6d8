use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::Client;
use load::{Mix, Pace, Parameter, Recording, Task, Template};
use results::{Generator, Latency, Load, Phase, Program, RateStep, Run, SCHEMA, Second, Steady, TargetInfo};

use super::environment::{self, Ticks};
use super::faults::{Faults, Siege};
use super::interrupt::Interrupt;
use super::neighbours::{Neighbours, Server};
use super::publish::Live;
use super::workers::Workers;
use super::{application, background, cluster_info, endpoint, inside, prometheus};

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
    /// Rates, each for a time, instead of one; `rate` is their mean then.
    pub steps: Vec<(f64, Duration)>,
    /// What breaks meanwhile.
    pub faults: Option<Faults>,
    /// Load for so long before anything counts.
    pub warm_up: Duration,
    /// What to send instead of what the subject's devices would.
    pub mix: Option<Mix>,
    /// From so many workers inside the cluster; from here when it is 0.
    pub workers: u32,
    /// Who hears of every second.
    pub live: Option<Live>,
}

impl Order {
    /// A load of this length at a rate, or in closed loop, and nothing else.
    pub fn plain(time: Duration, rate: Option<f64>) -> Order {
        Order {
            time,
            rate,
            connections: 16,
            threads: 1,
            steps: Vec::new(),
            faults: None,
            warm_up: Duration::ZERO,
            mix: None,
            workers: 0,
            live: None,
        }
    }
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
const DEVICES: u64 = 5000;

/// Where the subject answers.
pub async fn url(subject: &Subject) -> anyhow::Result<String> {
    match subject {
        Subject::Url(url) => Ok(url.clone()),
        Subject::Demo {
            client, namespace, ..
        } => {
            let application = application(client, namespace).await?;
            endpoint(client, namespace, application.service).await
        }
    }
}

/// One load, with nothing observed but at the client. `begins` hears, before it does, when the part that counts begins.
pub async fn one_load(
    order: &Order,
    url: &str,
    subject: &Subject,
    interrupt: &Interrupt,
    begins: &dyn Fn(Instant),
) -> anyhow::Result<Load> {
    let task = Task {
        mix: order.mix.clone().unwrap_or_else(|| mix(url, subject)),
        base: url.to_owned(),
        pace: match order.rate {
            Some(_) if !order.steps.is_empty() => Pace::Open(
                order
                    .steps
                    .iter()
                    .map(|(rate, time)| (*rate, time.as_secs_f64()))
                    .collect(),
            ),
            Some(rate) => Pace::Open(vec![(rate, order.time.as_secs_f64())]),
            None => Pace::Closed(order.time.as_secs_f64()),
        },
        warm_up_s: order.warm_up.as_secs_f64(),
        connections: order.connections,
        threads: order.threads,
        timeout_s: 10.0,
    };
    let started = jiff::Timestamp::now();
    let mut load = if order.workers > 0 {
        begins(Instant::now() + order.warm_up);
        from_inside(order, task, subject, interrupt).await?
    } else {
        from_here(order, task, subject, interrupt, begins).await?
    };
    if let Subject::Demo {
        client, namespace, ..
    } = subject
    {
        // Without Prometheus nobody knows, and the document says nothing.
        load.background_cpu_s = background::cpu_seconds(client, namespace, started).await.ok();
    }
    Ok(load)
}

/// One load by a generator in this process.
async fn from_here(
    order: &Order,
    task: Task,
    subject: &Subject,
    interrupt: &Interrupt,
    begins: &dyn Fn(Instant),
) -> anyhow::Result<Load> {
    let probe = task.plan(None)?;
    let ceiling = tokio::task::spawn_blocking(move || load::ceiling(&probe)).await??;
    // A moment from now, so that every thread is there.
    let start = Instant::now() + Duration::from_millis(20);
    let plan = task.plan(Some(start))?;
    begins(start + order.warm_up);
    let neighbours = Neighbours::watch(server(subject));
    let (stop, live) = (interrupt.flag(), order.live.clone());
    let recording = tokio::task::spawn_blocking(move || {
        load::run_told(&plan, &stop, &|at, second| {
            if let Some(live) = &live {
                // Who hears nothing any more does not hold up the load.
                let _ = live.send((at, second.clone()));
            }
        })
    })
    .await??;
    let mut doubts = recording.doubts();
    let neighbours = neighbours.cores();
    if let Some(cores) = neighbours.filter(|cores| *cores > MOST_NEIGHBOURS) {
        doubts.push(format!(
            "neighbours used {cores:.2} cores of this machine meanwhile"
        ));
    }
    if let Some(rate) = order.rate.filter(|rate| *rate > MOST_OF_CEILING * ceiling) {
        doubts.push(format!(
            "{rate:.0} requests/s were asked for, and the generator could make {ceiling:.0}/s here if the server cost nothing"
        ));
    }
    let generator = Generator {
        ceiling: Some(ceiling),
        neighbours_cores: neighbours,
        ..generator(&task, &recording)?
    };
    describe(order, &recording, generator, doubts)
}

/// Others may use so many cores of the generator's machine.
const MOST_NEIGHBOURS: f64 = 0.1;
/// A rate above this share of what the generator can make is too near to it.
const MOST_OF_CEILING: f64 = 0.85;

/// One load by workers inside the subject's cluster.
async fn from_inside(
    order: &Order,
    task: Task,
    subject: &Subject,
    interrupt: &Interrupt,
) -> anyhow::Result<Load> {
    let Subject::Demo {
        client, namespace, ..
    } = subject
    else {
        anyhow::bail!("--workers needs the demo's cluster; it cannot be used with --url")
    };
    let task = Task {
        base: inside(client, namespace, application(client, namespace).await?.service).await?,
        ..task
    };
    let workers = Workers::new(client.clone(), namespace, order.workers);
    let outcome = workers.run(&task, interrupt).await?;
    let generator = Generator {
        workers: Some(order.workers),
        ..generator(&task, &outcome.recording)?
    };
    describe(order, &outcome.recording, generator, outcome.doubts)
}

fn generator(task: &Task, recording: &Recording) -> anyhow::Result<Generator> {
    Ok(Generator {
        warm_up_s: task.warm_up_s,
        starved_share: recording.starved(),
        mix: serde_json::to_value(&task.mix)?,
        ..Generator::default()
    })
}

/// Where the server runs, seen from this machine.
fn server(subject: &Subject) -> Server {
    match subject {
        Subject::Demo {
            local: Some(paths), ..
        } => Server::Local(paths.name().to_owned()),
        Subject::Demo { local: None, .. } => Server::Elsewhere,
        Subject::Url(_) => Server::Unknown,
    }
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
    let siege = siege(order, subject).await?;
    // The generator first finds out what it could do; what the cluster tells is counted from the first request that counts.
    let begun = Cell::new(jiff::Timestamp::now());
    let begins = |instant: Instant| {
        let ahead = instant.saturating_duration_since(Instant::now());
        begun.set(jiff::SignedDuration::try_from(ahead).map_or(begun.get(), |d| jiff::Timestamp::now() + d));
        if let Some(siege) = &siege {
            siege.load_begins(instant);
        }
    };
    let load = one_load(order, &url, subject, interrupt, &begins).await;
    let started = begun.get();
    // What lasts is mended whatever became of the load.
    let besieged = match siege {
        Some(siege) => Some(siege.end().await),
        None => None,
    };
    let load = load?;
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
        timeline: Vec::new(),
        scaling: Vec::new(),
        counted: None,
    };
    if let Some(besieged) = besieged {
        let besieged = besieged?;
        (run.faults, run.timeline) = (besieged.faults, besieged.timeline);
        run.missing.extend(besieged.missing);
        run.measure_faults();
        run.measure_scaling();
        for fault in &mut run.faults {
            fault.ready_s = fault.recovery.as_ref().and_then(|r| r.ready_s);
        }
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

/// Watches the cluster where something is to break or the load changes.
async fn siege(order: &Order, subject: &Subject) -> anyhow::Result<Option<Siege>> {
    match subject {
        Subject::Demo {
            client, namespace, ..
        } if order.faults.is_some() || order.steps.len() > 1 => Ok(Some(
            Siege::begin(client, namespace, order.faults.as_ref()).await?,
        )),
        Subject::Url(_) if order.faults.is_some() => {
            anyhow::bail!("--chaos and --kill-pod-after need the demo; they cannot be used with --url")
        }
        _ => Ok(None),
    }
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
        let ended = jiff::Timestamp::now();
        // What a fault has replaced is not scraped yet.
        let patience = Duration::from_secs(if run.faults.is_empty() { 0 } else { 60 });
        let (up, all) = prometheus::targets(&base, patience).await?;
        if up < all {
            run.missing
                .push(format!("Prometheus reaches only {up} of its {all} targets"));
        }
        prometheus::pods(&base, namespace, started, ended).await
    };
    match pods.await {
        Ok(pods) if pods.is_empty() => run
            .missing
            .push("CPU and memory by pod: Prometheus has none of it yet".to_owned()),
        Ok(pods) => {
            if pods.iter().flat_map(|p| &p.samples).all(|s| s.cpu.is_none()) {
                run.missing
                    .push("CPU by pod: Prometheus has none of it".to_owned());
            }
            run.pods = pods;
        }
        Err(e) => run.missing.push(format!("CPU and memory by pod: {e:#}")),
    }
}

/// For the demo: what devices send in a session, a begin, an event, an end. Else the URL itself.
fn mix(url: &str, subject: &Subject) -> Mix {
    let Subject::Demo { app_key, .. } = subject else {
        return Mix::single(url);
    };
    let parts = [
        "begin_session=1",
        "events=%5B%7B%22key%22%3A%22look%22%2C%22count%22%3A1%7D%5D",
        "session_duration=30",
        "end_session=1&session_duration=12",
    ];
    let request = |part| Template {
        url: format!("/i?app_key={app_key}&device_id={{device}}&{part}"),
        method: None,
        weight: 1,
        headers: BTreeMap::new(),
        body: None,
    };
    let devices = Parameter::Range {
        prefix: "load-".to_owned(),
        from: 0,
        to: DEVICES - 1,
    };
    Mix {
        parameters: BTreeMap::from([("device".to_owned(), devices)]),
        requests: parts.map(request).into(),
    }
}

fn describe(
    order: &Order,
    recording: &Recording,
    generator: Generator,
    doubts: Vec<String>,
) -> anyhow::Result<Load> {
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
    let mut load = Load {
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
        doubts,
        series: series.collect(),
        planned_s: Some(order.time.as_secs_f64()),
        arm: None,
        steps: steps(order),
        background_cpu_s: None,
        generator: Some(generator),
        steady: None,
    };
    load.steady = Steady::of(&load);
    Ok(load)
}

/// Where the rate changes, where it does.
fn steps(order: &Order) -> Vec<RateStep> {
    let mut from_s = 0.0;
    let steps = order.steps.iter().map(|(rate, time)| {
        let step = RateStep { from_s, rate: *rate };
        from_s += time.as_secs_f64();
        step
    });
    steps.collect()
}
