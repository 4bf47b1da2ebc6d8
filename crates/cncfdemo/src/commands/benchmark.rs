//! `cncfdemo benchmark`: load the demo and write a report.
use results::Run;

use super::results::{judge, price, read, rules};
use crate::bench::plans::{self, Plan, Setting, WITH, WITHOUT};
use crate::bench::{self, Order, Subject};
use crate::cli::{BackgroundSetting, Benchmark};
use crate::cluster;
use crate::printer::{Printer, seconds};
use crate::settings::Settings;

/// Runs the command.
pub async fn run(args: &Benchmark, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    // What cannot be read later shows before minutes of load.
    let base = args.compare_to.as_deref().map(read).transpose()?;
    let node = price(&args.price)?;
    let plan = plan(args);
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
    let step = printer.step("load", &what(&plan.order));
    let begun = std::time::Instant::now();
    let say = |what: &str| step.waiting(what);
    let mut run = plans::run(&plan, &subject, std::env::args().collect(), &say).await?;
    step.done(begun.elapsed(), "");
    if let Some(node) = node {
        let nodes = run.target.cluster.as_ref().map_or(1, |c| c.nodes.len() as u32);
        run.cost = Some(results::Cost::of(&run, node, nodes));
    }
    printer.text(report::text(&run).trim_end());
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

fn plan(args: &Benchmark) -> Plan {
    Plan {
        order: Order {
            time: args.time,
            rate: (!args.closed).then_some(args.rate as f64),
            connections: args.connections,
            threads: args.threads,
            kill_pod_after: args.kill_pod_after,
        },
        repeat: args.repeat,
        background: match args.background {
            None => Setting::AsIs,
            Some(BackgroundSetting::On) => Setting::On,
            Some(BackgroundSetting::Off) => Setting::Off,
            Some(BackgroundSetting::Both) => Setting::Both,
        },
        find_max: args.slo.clone().filter(|_| args.find_max),
    }
}

fn against(base: Option<&Run>, run: &Run, args: &Benchmark, printer: &Printer) -> anyhow::Result<()> {
    let Some(base) = base else { return Ok(()) };
    let comparison = results::compare(&[base], &[run], rules(&args.rules));
    judge(&[comparison], &args.rules, printer)
}

/// The load in words: `30 s at 1000/s`.
pub fn what(order: &Order) -> String {
    match order.rate {
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
