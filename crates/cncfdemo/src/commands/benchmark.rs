//! `cncfdemo benchmark`: load the demo and write a report.
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use results::Run;

use super::results::{judge, price, read, rules};
use crate::activity::{self, Journal};
use crate::bench::plans::{self, Plan, Setting, WITH, WITHOUT};
use crate::bench::publish::{Publication, Server};
use crate::bench::{self, Faults, Order, Planned, Subject};
use crate::cli::{BackgroundSetting, Benchmark};
use crate::cluster;
use crate::exit::Usage;
use crate::faults::{self, Spec};
use crate::printer::{Printer, seconds};
use crate::settings::Settings;

/// Runs the command.
pub async fn run(args: &Benchmark, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    // What cannot be read later shows before minutes of load.
    let base = args.compare_to.as_deref().map(read).transpose()?;
    let node = price(&args.price)?;
    let mut plan = plan(args)?;
    let published = publication(args).await?;
    plan.order.live = published.as_ref().map(Publication::live);
    let journal = Arc::new(Journal::new(settings, "benchmark")?);
    plan.order.faults = faults(args, &plan.order, settings, printer, &journal).await?;
    let subject = match &args.url {
        Some(url) => Subject::Url(url.clone()),
        None => Subject::Demo {
            client: cluster::client(settings).await?,
            namespace: args.namespace.clone(),
            app_key: "demo".to_owned(),
            local: if settings.context.is_none() {
                Some(settings.paths()?)
            } else {
                None
            },
        },
    };
    let what = match &plan.find_max {
        Some(objective) => format!(
            "the highest rate that keeps {objective}, from {}",
            what(&plan.order)
        ),
        None => what(&plan.order),
    };
    let step = printer.step("load", &what);
    let begun = std::time::Instant::now();
    journal.begun("load", &what);
    let say = |what: &str| {
        journal.progress("load", what, &[]);
        step.waiting(what);
    };
    let done = plans::run(&plan, &subject, std::env::args().collect(), &say).await;
    let done = done.inspect_err(|e| journal.failed("load", &format!("{e:#}")));
    plan.order.live = None;
    let mut run = match (done, published.is_some()) {
        (Ok(run), _) => run,
        (Err(e), false) => return Err(e),
        (Err(e), true) => return Err(given_up(published, e).await),
    };
    step.done(begun.elapsed(), "");
    journal.done("load", &what, &activity::figures(&run.load));
    if let Some(node) = node {
        let nodes = run.target.cluster.as_ref().map_or(1, |c| c.nodes.len() as u32);
        run.cost = Some(results::Cost::of(&run, node, nodes));
    }
    printer.text(report::text(&run).trim_end());
    if let Some(published) = published {
        let (page, lost) = published
            .finish(&run)
            .await
            .context("failed to hand the run in to the results server")?;
        printer.text(format!("{:<12} {page}", "published"));
        if lost > 0 {
            printer.note(format!(
                "the results server could not be told of {lost} seconds meanwhile"
            ));
        }
    }
    if plan.background == Setting::Both {
        let dividend = results::compare_arms(&run, WITHOUT, WITH, rules(&args.rules));
        printer.text(report::comparison_text(&dividend, &[]).trim_end());
    }
    if let Some(file) = &args.save_html {
        let html = file.clone().unwrap_or_else(bench::default_name);
        let json = bench::save(&run, &html)?;
        printer.text(format!(
            "{:<12} {} and {}",
            "report",
            html.display(),
            json.display()
        ));
    }
    printer.data(&serde_json::to_value(&run)?);
    against(base.as_ref(), &run, args, printer)
}

/// Tells the results server that a run begins, if one is to be told.
async fn publication(args: &Benchmark) -> anyhow::Result<Option<Publication>> {
    let (Some(url), Some(token_file)) = (&args.publish, &args.token_file) else {
        return Ok(None);
    };
    let id = format!(
        "{}-{:x}",
        jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"),
        std::process::id()
    );
    let command: Vec<String> = std::env::args().skip(1).collect();
    let server = Server::new(url, token_file)?;
    let begun = server.begin(&id, &command.join(" ")).await;
    Ok(Some(
        begun.context("the results server cannot be told of this run")?,
    ))
}

/// Tells the results server that a run came to nothing; gives why it did, and if that could not be told, that too.
async fn given_up(published: Option<Publication>, why: anyhow::Error) -> anyhow::Error {
    match published {
        Some(published) => match published.stop().await {
            Ok(()) => why,
            Err(also) => why.context(format!("the results server was not told: {also:#}")),
        },
        None => why,
    }
}

/// What is to break, and when.
async fn faults(
    args: &Benchmark,
    order: &Order,
    settings: &Settings,
    printer: &Printer,
    journal: &Arc<Journal>,
) -> anyhow::Result<Option<Faults>> {
    let mut specs = args.chaos.clone();
    let first = match args.kill_pod_after {
        Some(after) => {
            specs.push(Spec::parse("pod").map_err(Usage)?);
            after
        }
        None => args.chaos_after.unwrap_or(order.time / 3),
    };
    if specs.is_empty() {
        return Ok(None);
    }
    if args.url.is_some() {
        return Err(Usage(
            "--chaos and --kill-pod-after need the demo; they cannot be used with --url".to_owned(),
        )
        .into());
    }
    let gap = order.time.saturating_sub(first) / specs.len() as u32;
    let client = cluster::client(settings).await?;
    let app = bench::application(&client, &args.namespace).await?.pods;
    let mut planned: Vec<Planned> = specs
        .iter()
        .enumerate()
        .map(|(index, spec)| Planned {
            fault: spec.fault(&args.namespace, args.chaos_for, app),
            after: spec.after.unwrap_or(first + gap * index as u32),
        })
        .collect();
    planned.sort_by_key(|p| p.after);
    let kinds = planned.iter().map(|p| &p.fault.kind);
    let tool = faults::tool(settings, printer, client, args.chaos_image.as_deref(), kinds).await?;
    Ok(Some(Faults {
        tool,
        planned,
        journal: Arc::clone(journal),
    }))
}

fn plan(args: &Benchmark) -> anyhow::Result<Plan> {
    let mix = match &args.mix {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("failed to read {}", file.display()))?;
            Some(toml::from_str(&text).with_context(|| format!("{} is no mix of requests", file.display()))?)
        }
        None => None,
    };
    let base = args.rate as f64;
    let steps: Vec<(f64, Duration)> = args
        .steps
        .iter()
        .map(|s| (if s.times { s.rate * base } else { s.rate }, s.time))
        .collect();
    let time = steps.iter().map(|s| s.1).sum::<Duration>();
    let mean = steps
        .iter()
        .map(|(rate, time)| rate * time.as_secs_f64())
        .sum::<f64>()
        / time.as_secs_f64().max(1e-9);
    Ok(Plan {
        order: Order {
            time: if steps.is_empty() { args.time } else { time },
            rate: (!args.closed).then_some(if steps.is_empty() { base } else { mean }),
            connections: args.connections,
            threads: args.threads,
            warm_up: args.warm_up,
            mix,
            workers: args.workers,
            live: None,
            steps,
            faults: None,
        },
        repeat: args.repeat,
        background: match args.background {
            None => Setting::AsIs,
            Some(BackgroundSetting::On) => Setting::On,
            Some(BackgroundSetting::Off) => Setting::Off,
            Some(BackgroundSetting::Both) => Setting::Both,
        },
        find_max: args.slo.clone().filter(|_| args.find_max),
    })
}

fn against(base: Option<&Run>, run: &Run, args: &Benchmark, printer: &Printer) -> anyhow::Result<()> {
    let Some(base) = base else { return Ok(()) };
    let comparison = results::compare(&[base], &[run], rules(&args.rules));
    judge(&[comparison], &args.rules, printer)
}

/// The load in words: `30 s at 1000/s`.
pub fn what(order: &Order) -> String {
    let rates: Vec<String> = order
        .steps
        .iter()
        .map(|(rate, time)| format!("{rate:.0}/s for {}", seconds(*time)))
        .collect();
    match order.rate {
        Some(_) if !rates.is_empty() => format!("{}, {} connections", rates.join(", "), order.connections),
        Some(rate) => format!(
            "{} at {rate:.0}/s, {} connections",
            seconds(order.time),
            order.connections
        ),
        None => format!(
            "{} as fast as it goes, {} connections",
            seconds(order.time),
            order.connections
        ),
    }
}
