//! `cncfdemo start`: the whole demo, from nothing to a first report.
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use deploy::{Bundle, Event, Values};
use kube::Client;
use results::{Phase, Run};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::addresses;
use crate::activity::Journal;
use crate::bench::{self, Order, Subject};
use crate::cli::{NodeLifecycle, Start};
use crate::exit::Hinted;
use crate::names::{Localhost, Names as _, Zone};
use crate::printer::{Printer, StepLine, seconds};
use crate::settings::Settings;
use crate::{apps, cluster, images, profile};

/// Runs the command.
pub async fn run(args: &Start, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let bundle = apps::bundle(args.apps.as_deref())?;
    let mut values = apps::values(&bundle, args.values.as_deref(), &args.set)?;
    values.insert("namespace", args.namespace.as_str().into());
    profile::choose(args, &mut values);
    images::stand_in(&mut values);
    if settings.context.is_some() {
        // A context that there is none of is told of first.
        cluster::config(settings).await?;
    }
    // A mistake in a template or a value shows before anything is changed.
    let rendered = render(&bundle, &args.namespace, &values)?;
    if settings.context.is_some() {
        images::check(&rendered)?;
    }
    if args.dry_run {
        printer.text(format!("{} objects render; nothing was changed", rendered.len()));
        printer.data(&json!({"objects": rendered.len(), "manifests": rendered}));
        return Ok(());
    }
    if let Some(name) = &args.dns_name {
        match settings.context {
            None => Localhost.check(name)?,
            Some(_) => Zone.check(name)?,
        }
    }
    profile::check(&values, settings, printer).await?;
    let journal = Journal::new(settings, "start")?;
    let done = everything(args, settings, printer, &bundle, values, &journal).await;
    match &done {
        Ok(()) => journal.done("start", "the demo is up", &[]),
        Err(e) => journal.failed("start", &format!("{e:#}")),
    }
    done
}

async fn everything(
    args: &Start,
    settings: &Settings,
    printer: &Printer,
    bundle: &Bundle,
    mut values: Values,
    journal: &Journal,
) -> anyhow::Result<()> {
    let mut timeline = Timeline::new();
    let local = settings.context.is_none();
    journal.begun("start", &format!("the demo in namespace {}", args.namespace));
    if local {
        journal.begun("cluster", &format!("local \"{}\"", settings.name));
        bring_up(args, settings, printer, &mut timeline).await?;
        tell(journal, &timeline);
        let begun = timeline.now();
        journal.begun("images", "from signed Debian packages");
        let took = images::build_all(settings, printer, bundle, &mut values).await?;
        timeline.add("images", "images from Debian packages", begun, took);
        tell(journal, &timeline);
    }
    let client = cluster::client(settings).await?;
    profile::keep_key(&client, &args.namespace, &mut values).await?;
    profile::keep_shards(&client, args, &mut values, printer).await?;
    let url = deploy_all(&client, bundle, args, &values, printer, &mut timeline, journal).await?;
    tell(journal, &timeline);
    let app_key = values
        .get("tally.app_key")
        .and_then(|v| v.as_str())
        .unwrap_or("demo")
        .to_owned();
    let paths = if local { Some(settings.paths()?) } else { None };
    let run = first_load(args, &client, app_key, paths, printer, &timeline, journal).await?;
    let report = match &run {
        Some(run) => {
            let html = args.report.clone().unwrap_or_else(bench::default_name);
            bench::save(run, &html)?;
            Some(html)
        }
        None => None,
    };
    printer.text("");
    let app = profile::app(&values);
    let mut services = vec![(app.as_str(), "the application"), ("prometheus", "Prometheus")];
    if values.get("grafana.enabled") == Some(&true.into()) {
        services.push(("grafana", "Grafana"));
    }
    let mut open = Vec::new();
    for (index, (service, what)) in services.into_iter().enumerate() {
        let mut address = addresses::human(&client, &args.namespace, service)
            .await?
            .unwrap_or_else(|| url.clone());
        if let (0, Some(name)) = (index, &args.dns_name) {
            address = named(&client, args, settings, service, name).await?;
        }
        open.push((service, what, address));
    }
    addresses::print(&open, args.dashboard, printer);
    let open: HashMap<_, _> = open
        .into_iter()
        .map(|(service, _, address)| (service, address))
        .collect();
    if let Some(report) = &report {
        printer.text(format!("{:<10} {}", "Report", report.display()));
    }
    printer.text(format!(
        "{:<10} cncfdemo benchmark --time 30s --chaos pod --save-html",
        "Next"
    ));
    printer.data(&json!({"open": open, "report": report, "phases": timeline.phases, "run": run}));
    Ok(())
}

/// The last phase of a timeline is done.
fn tell(journal: &Journal, timeline: &Timeline) {
    if let Some(phase) = timeline.phases.last() {
        journal.done(&phase.name, &phase.title, &[("seconds", phase.seconds)]);
    }
}

fn render(bundle: &Bundle, namespace: &str, values: &Values) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for step in deploy::Steps::read(bundle, values)?.steps {
        for app in step.apps {
            let manifests = deploy::render_app(bundle, &app, namespace, values)?;
            objects.extend(manifests.into_iter().map(|m| m.object));
        }
    }
    Ok(objects)
}

/// How long what took, from the very beginning.
struct Timeline {
    begun: Instant,
    phases: Vec<Phase>,
}

impl Timeline {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            phases: Vec::new(),
        }
    }
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }
    fn since(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.begun)
    }
    fn add(&mut self, name: &str, title: &str, begun: Duration, took: Duration) {
        self.phases.push(Phase {
            name: name.to_owned(),
            title: title.to_owned(),
            begun_s: begun.as_secs_f64(),
            seconds: took.as_secs_f64(),
        });
    }
}

async fn bring_up(
    args: &Start,
    settings: &Settings,
    printer: &Printer,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    super::bootstrap::check_machine(settings, printer)?;
    let begun = timeline.now();
    let step = printer.step("cluster", &format!("local \"{}\"", settings.name));
    let launched = super::bootstrap::launch(
        settings,
        &super::bootstrap::request(args.nodes, None, NodeLifecycle::default())?,
    )
    .await?;
    step.done(launched.took, &super::bootstrap::ready(&launched.plan, settings)?);
    timeline.add("cluster", "cluster to every node Ready", begun, launched.took);
    Ok(())
}

async fn deploy_all(
    client: &Client,
    bundle: &Bundle,
    args: &Start,
    values: &Values,
    printer: &Printer,
    timeline: &mut Timeline,
    journal: &Journal,
) -> anyhow::Result<String> {
    let begun = timeline.now();
    let line: Mutex<Option<StepLine>> = Mutex::new(None);
    // The first 200 is asked for as soon as the application is up, while further steps go on.
    let answer: Mutex<Option<JoinHandle<anyhow::Result<Answer>>>> = Mutex::new(None);
    let on_event = |event: Event| {
        let Ok(mut line) = line.lock() else { return };
        match event {
            Event::Started { step, title } => {
                journal.begun(&step, &title);
                *line = Some(printer.step(&step, &title));
            }
            Event::Waiting {
                step,
                reason,
                seconds,
            } => {
                journal.progress(&step, &reason, &[("seconds", seconds)]);
                if let Some(line) = line.as_ref() {
                    line.waiting(&format!("waiting {seconds:.0} s: {reason}"));
                }
            }
            Event::Done(timing) => {
                let figures = [("seconds", timing.ready_s), ("objects", timing.objects as f64)];
                journal.done(&timing.name, &timing.title, &figures);
                if let Some(line) = line.take() {
                    line.done(
                        Duration::from_secs_f64(timing.ready_s),
                        &match timing.objects {
                            _ if !timing.reached.is_empty() => timing.reached.join(", "),
                            1 => "1 object".to_owned(),
                            n => format!("{n} objects"),
                        },
                    );
                }
                if timing.name == "app"
                    && let Ok(mut answer) = answer.lock()
                {
                    *answer = Some(tokio::spawn(first_answer(
                        client.clone(),
                        args.namespace.clone(),
                        profile::app(values),
                    )));
                }
            }
        }
    };
    let timings = deploy::run(client, bundle, &args.namespace, values, &on_event).await?;
    for timing in timings {
        let begun = begun + Duration::from_secs_f64(timing.begun_s);
        timeline.add(
            &timing.name,
            &timing.title,
            begun,
            Duration::from_secs_f64(timing.ready_s),
        );
    }
    let asked = answer
        .into_inner()
        .ok()
        .flatten()
        .context("the steps have no step `app`")?;
    let Answer { url, asked, answered } = asked.await??;
    let (asked, answered) = (timeline.since(asked), timeline.since(answered));
    timeline.add(
        "answer",
        "first 200 of the application",
        asked,
        answered.saturating_sub(asked),
    );
    let took = seconds(answered.saturating_sub(asked));
    printer.note(format!(
        "{:<10} {:<44} {took:>8}   first 200 after {} in all",
        "answer",
        url,
        seconds(answered)
    ));
    Ok(url)
}

/// The application's first 200.
struct Answer {
    url: String,
    asked: Instant,
    answered: Instant,
}

/// Asks the application until it answers: it is Ready, but a cluster may need a moment to lead its Service there.
async fn first_answer(client: Client, namespace: String, app: String) -> anyhow::Result<Answer> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let asked = Instant::now();
    loop {
        let failure = match answering(&client, &namespace, &app).await {
            Ok(url) => {
                return Ok(Answer {
                    url,
                    asked,
                    answered: Instant::now(),
                });
            }
            Err(failure) => failure,
        };
        if asked.elapsed() > PATIENCE {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where the application is, if it answers there.
async fn answering(client: &Client, namespace: &str, app: &str) -> anyhow::Result<String> {
    let url = bench::endpoint(client, namespace, app).await?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()?;
    let answer = http
        .get(format!("{url}/o/ping"))
        .send()
        .await
        .with_context(|| format!("failed to ask {url}/o/ping"))?;
    anyhow::ensure!(
        answer.status().is_success(),
        "{url}/o/ping answered {}",
        answer.status()
    );
    Ok(url)
}

async fn first_load(
    args: &Start,
    client: &Client,
    app_key: String,
    local: Option<engine::Paths>,
    printer: &Printer,
    timeline: &Timeline,
    journal: &Journal,
) -> anyhow::Result<Option<Run>> {
    if args.load_seconds == 0 {
        return Ok(None);
    }
    let order = Order::plain(
        Duration::from_secs(args.load_seconds),
        Some(args.load_rate as f64),
    );
    let subject = Subject::Demo {
        client: client.clone(),
        namespace: args.namespace.clone(),
        app_key,
        local,
    };
    let step = printer.step("first load", &super::benchmark::what(&order));
    journal.begun("load", &super::benchmark::what(&order));
    let run = bench::run(
        &order,
        &subject,
        timeline.phases.clone(),
        std::env::args().collect(),
    )
    .await?;
    step.done(order.time, "");
    journal.done("load", "first load", &crate::activity::figures(&run.load));
    printer.note(report::text(&run).trim_end());
    if run.load.completed == 0 {
        return Err(Hinted {
            message: "the application answered none of the first load's requests".to_owned(),
            hint: "cncfdemo status shows its pods".to_owned(),
        }
        .into());
    }
    Ok(Some(run))
}

/// A name made to point at the application's load balancer, and what a person opens then.
async fn named(
    client: &Client,
    args: &Start,
    settings: &Settings,
    service: &str,
    name: &str,
) -> anyhow::Result<String> {
    let (host, port) = addresses::balancer(client, &args.namespace, service).await?;
    let host =
        host.with_context(|| format!("service {service} has no load balancer that {name} could point at"))?;
    match settings.context {
        None => Localhost.point(name, &host).await?,
        Some(_) => Zone.point(name, &host).await?,
    }
    Ok(format!("http://{name}:{port}"))
}
