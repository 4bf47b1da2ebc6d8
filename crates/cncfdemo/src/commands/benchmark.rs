//! `cncfdemo benchmark`: load the demo and write a report.
use crate::bench::{self, Order, Subject};
use crate::cli::Benchmark;
use crate::cluster;
use crate::printer::{Printer, seconds};
use crate::settings::Settings;

/// Runs the command.
pub async fn run(args: &Benchmark, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let order = Order {
        time: args.time,
        rate: (!args.closed).then_some(args.rate as f64),
        connections: args.connections,
        threads: args.threads,
        kill_pod_after: args.kill_pod_after,
    };
    let subject = match &args.url {
        Some(url) => Subject::Url(url.clone()),
        None => Subject::Demo {
            client: cluster::client(settings).await?,
            namespace: args.namespace.clone(),
            app_key: "demo".to_owned(),
        },
    };
    let step = printer.step("load", &what(&order));
    let run = bench::run(&order, &subject, Vec::new(), std::env::args().collect()).await?;
    step.done(order.time, "");
    printer.text(report::text(&run).trim_end());
    if let Some(file) = &args.save_html {
        let html = file.clone().unwrap_or_else(bench::default_name);
        let json = bench::save(&run, &html)?;
        printer.text(format!("{:<12} {} and {}", "report", html.display(), json.display()));
    }
    printer.data(&serde_json::to_value(&run)?);
    Ok(())
}

/// The load in words: `30 s at 1000/s`.
pub fn what(order: &Order) -> String {
    match order.rate {
        Some(rate) => format!("{} at {rate:.0}/s, {} connections", seconds(order.time), order.connections),
        None => format!("{} as fast as it goes, {} connections", seconds(order.time), order.connections),
    }
}
