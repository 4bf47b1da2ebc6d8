//! `cncfdemo start`: the whole demo, from nothing to a first report.
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use deploy::{Bundle, Event, Values};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::Api;
use results::{Phase, Run};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::bench::{self, Order, Subject};
use crate::cli::Start;
use crate::exit::Hinted;
use crate::printer::{Printer, StepLine, seconds};
use crate::settings::Settings;
use crate::{apps, cluster, images};

/// Runs the command.
pub async fn run(args: &Start, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let bundle = apps::bundle(args.apps.as_deref())?;
    let mut values = apps::values(&bundle, args.values.as_deref(), &args.set)?;
    fill(&mut values, &args.namespace, settings);
    // A mistake in a template or a value shows before anything is changed.
    let rendered = render(&bundle, &args.namespace, &values)?;
    if args.dry_run {
        printer.text(format!("{rendered} objects render; nothing was changed"));
        printer.data(&json!({"objects": rendered}));
        return Ok(());
    }
    let mut timeline = Timeline::new();
    let local = settings.context.is_none();
    if local {
        bring_up(args, settings, printer, &mut timeline).await?;
        let begun = timeline.now();
        let took = images::build_all(settings, printer, &bundle, &mut values).await?;
        timeline.add("images", "images from Debian packages", begun, took);
    }
    let client = cluster::client(settings).await?;
    let url = deploy_all(&client, &bundle, args, &values, printer, &mut timeline).await?;
    let app_key = values
        .get("tally.app_key")
        .and_then(|v| v.as_str())
        .unwrap_or("demo")
        .to_owned();
    let paths = if local { Some(settings.paths()?) } else { None };
    let run = first_load(args, &client, app_key, paths, printer, &timeline).await?;
    let report = match &run {
        Some(run) => {
            let html = args.report.clone().unwrap_or_else(bench::default_name);
            bench::save(run, &html)?;
            Some(html)
        }
        None => None,
    };
    printer.text("");
    let addresses = [("tally", "the application"), ("prometheus", "Prometheus")];
    let mut open = HashMap::new();
    for (index, (service, what)) in addresses.into_iter().enumerate() {
        let address = human_address(&client, &args.namespace, service, &url).await?;
        printer.text(format!(
            "{:<10} {address:<34} {what}",
            if index == 0 { "Open" } else { "" }
        ));
        open.insert(service, address);
    }
    if let Some(report) = &report {
        printer.text(format!("{:<10} {}", "Report", report.display()));
    }
    printer.text(format!(
        "{:<10} cncfdemo benchmark --time 30s --kill-pod-after 10s --save-html",
        "Next"
    ));
    printer.data(&json!({"open": open, "report": report, "phases": timeline.phases, "run": run}));
    Ok(())
}

/// Values that only the program knows. Where no images are built, those of a values file are used.
pub fn fill(values: &mut Values, namespace: &str, settings: &Settings) {
    values.insert("namespace", namespace.into());
    if settings.context.is_none() {
        for name in images::OF_THE_DEMO {
            if values.get(&format!("images.{name}")).is_none() {
                values.insert(
                    &format!("images.{name}"),
                    format!("cncfdemo.local/{name}:to-be-built").into(),
                );
            }
        }
    }
}

fn render(bundle: &Bundle, namespace: &str, values: &Values) -> anyhow::Result<usize> {
    let mut count = 0;
    for step in deploy::Steps::read(bundle)?.steps {
        for app in step.apps {
            count += deploy::render_app(bundle, &app, namespace, values)?.len();
        }
    }
    Ok(count)
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
    let launched = super::bootstrap::launch(settings, &super::bootstrap::request(args.nodes, None)?).await?;
    let kubeconfig = settings.paths()?.kubeconfig();
    step.done(
        launched.took,
        &format!(
            "{} node(s) Ready, kubectl --kubeconfig {}",
            launched.plan.nodes,
            kubeconfig.display()
        ),
    );
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
) -> anyhow::Result<String> {
    let begun = timeline.now();
    let line: Mutex<Option<StepLine>> = Mutex::new(None);
    // The first 200 is asked for as soon as the application is up, while further steps go on.
    let answer: Mutex<Option<JoinHandle<anyhow::Result<Answer>>>> = Mutex::new(None);
    let on_event = |event: Event| {
        let Ok(mut line) = line.lock() else { return };
        match event {
            Event::Started { step, title } => *line = Some(printer.step(&step, &title)),
            Event::Waiting { reason, seconds, .. } => {
                if let Some(line) = line.as_ref() {
                    line.waiting(&format!("waiting {seconds:.0} s: {reason}"));
                }
            }
            Event::Done(timing) => {
                if let Some(line) = line.take() {
                    line.done(
                        Duration::from_secs_f64(timing.ready_s),
                        &format!("{} objects", timing.objects),
                    );
                }
                if timing.name == "app"
                    && let Ok(mut answer) = answer.lock()
                {
                    *answer = Some(tokio::spawn(first_answer(client.clone(), args.namespace.clone())));
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

/// Asks the application once; it is Ready, so it has to answer.
async fn first_answer(client: Client, namespace: String) -> anyhow::Result<Answer> {
    let asked = Instant::now();
    let url = bench::endpoint(&client, &namespace, "tally").await?;
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
    Ok(Answer {
        url,
        asked,
        answered: Instant::now(),
    })
}

async fn first_load(
    args: &Start,
    client: &Client,
    app_key: String,
    local: Option<engine::Paths>,
    printer: &Printer,
    timeline: &Timeline,
) -> anyhow::Result<Option<Run>> {
    if args.load_seconds == 0 {
        return Ok(None);
    }
    let order = Order {
        time: Duration::from_secs(args.load_seconds),
        rate: Some(args.load_rate as f64),
        connections: 16,
        threads: 1,
        kill_pod_after: None,
    };
    let subject = Subject::Demo {
        client: client.clone(),
        namespace: args.namespace.clone(),
        app_key,
        local,
    };
    let step = printer.step("first load", &super::benchmark::what(&order));
    let run = bench::run(
        &order,
        &subject,
        timeline.phases.clone(),
        std::env::args().collect(),
    )
    .await?;
    step.done(order.time, "");
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

/// What a person opens: the load balancer's address, on this machine by a name of its own; else what answered.
async fn human_address(
    client: &Client,
    namespace: &str,
    service: &str,
    fallback: &str,
) -> anyhow::Result<String> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = services.get(service).await?;
    let port = found
        .spec
        .and_then(|s| s.ports)
        .and_then(|p| p.first().map(|p| p.port))
        .unwrap_or(80);
    let ingress = found
        .status
        .and_then(|s| s.load_balancer)
        .and_then(|b| b.ingress)
        .unwrap_or_default();
    Ok(
        match ingress.into_iter().next().and_then(|i| i.ip.or(i.hostname)) {
            Some(host) if host == "127.0.0.1" => format!("http://{service}.localhost:{port}"),
            Some(host) => format!("http://{host}:{port}"),
            None => bench::endpoint(client, namespace, service)
                .await
                .unwrap_or_else(|_| fallback.to_owned()),
        },
    )
}
