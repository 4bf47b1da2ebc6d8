//! `cncfdemo chaos`: break something, watch what the cluster does about it, and mend it.
use std::time::{Duration, Instant};

use chaos::{Chaos, Fault, Injected, Observer};
use results::{Happening, What};
use serde_json::json;

use crate::activity::Journal;
use crate::bench::Interrupt;
use crate::cli::{ChaosArgs, ChaosCommand, KillBy, NodeBy};
use crate::cluster;
use crate::exit::{InterruptedAndMended, Judged};
use crate::faults::{self, Spec};
use crate::printer::{Printer, seconds};
use crate::settings::Settings;

/// Runs the command.
pub async fn run(command: &ChaosCommand, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let (kind, settings_of_kind, common) = match command {
        ChaosCommand::Undo { dry_run } => return undo(*dry_run, settings, printer).await,
        ChaosCommand::Pod {
            by,
            redis_masters,
            common,
        } => {
            let kind = if *redis_masters { "redis-master" } else { "pod" };
            let by = match by {
                KillBy::Signal => "signal",
                KillBy::Delete => "delete",
            };
            (kind, vec![("by", by.to_owned())], common)
        }
        ChaosCommand::Node { by, common } => {
            let by = match by {
                NodeBy::Stop => "stop",
                NodeBy::Cut => "cut",
            };
            ("node", vec![("by", by.to_owned())], common)
        }
        ChaosCommand::Network {
            loss,
            latency,
            common,
        } => {
            let loss = loss.iter().map(|v| ("loss", v.clone()));
            let latency = latency.iter().map(|v| ("latency", v.clone()));
            ("network", loss.chain(latency).collect(), common)
        }
        ChaosCommand::Disk {
            fill,
            claim,
            at_most,
            common,
        } => {
            let claim = claim.iter().map(|v| ("claim", v.clone()));
            let always = [("fill", fill.clone()), ("at-most", at_most.clone())];
            ("disk", always.into_iter().chain(claim).collect(), common)
        }
        ChaosCommand::Stress { cpus, memory, common } => {
            let both = vec![("cpus", cpus.clone()), ("memory", memory.clone())];
            ("stress", both, common)
        }
    };
    let spec = spec(kind, settings_of_kind, common)?;
    let client = cluster::client(settings).await?;
    // Without the demo nothing is of its application.
    let app = crate::bench::application(&client, &common.namespace).await;
    let app = app.map_or("tally", |a| a.pods);
    let fault = spec.fault(&common.namespace, common.lasts, app);
    let kinds = (!common.dry_run).then_some(&fault.kind);
    let tool = faults::tool(settings, printer, client.clone(), common.image.as_deref(), kinds).await?;
    if common.dry_run {
        let victims = tool.victims(&fault).await?;
        printer.text(format!("would hit {}", victims.join(", ")));
        printer.data(&json!({"kind": fault.kind.name(), "victims": victims, "dryRun": true}));
        return Ok(());
    }
    let journal = Journal::new(settings, "chaos")?;
    let observer = Observer::start(&client, &common.namespace, Instant::now());
    // What is the state and what is news of the fault is told apart by time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let done = carry_out(&tool, &fault, common.detach, &observer, &journal, printer).await;
    if let Err(e) = &done {
        journal.failed(fault.kind.name(), &format!("{e:#}"));
    }
    done
}

fn spec(kind: &str, of_kind: Vec<(&str, String)>, common: &ChaosArgs) -> anyhow::Result<Spec> {
    let option = |key, value: &Option<String>| value.clone().map(|v| (key, v));
    let common = [
        option("app", &common.app),
        option("label", &common.label),
        option("only", &common.only),
        option("percent", &common.percent),
        common.count.map(|n| ("count", n.to_string())),
        Some(("seed", common.seed.to_string())),
    ];
    let settings = of_kind.into_iter().chain(common.into_iter().flatten());
    Spec::of(kind, settings).map_err(|e| crate::exit::Usage(e).into())
}

/// Breaks it, tells what happens until it is over, and mends it; also when interrupted.
async fn carry_out(
    tool: &Chaos,
    fault: &Fault,
    detach: bool,
    observer: &Observer,
    journal: &Journal,
    printer: &Printer,
) -> anyhow::Result<()> {
    let interrupt = Interrupt::listen();
    let kind = fault.kind.name();
    let injected = tool.inject(fault).await?;
    journal.begun(kind, &injected.what);
    printer.text(format!("{kind:<12} {}", injected.what));
    if detach {
        printer
            .data(&json!({"kind": kind, "what": injected.what, "victims": injected.victims, "timeline": []}));
        return Ok(());
    }
    let begun = observer.at(injected.at);
    let told = watch(&injected, fault, observer, begun, &interrupt, journal, printer).await;
    tool.undo(&injected).await?;
    if injected.lasts.is_some() {
        printer.text(format!(
            "{:<12} after {}",
            "mended",
            seconds(injected.at.elapsed())
        ));
    }
    let took = injected.at.elapsed().as_secs_f64();
    journal.done(kind, "mended", &[("seconds", took)]);
    printer.data(&json!({"kind": kind, "what": injected.what, "victims": injected.victims, "seconds": took, "timeline": told}));
    if interrupt.came() {
        return Err(InterruptedAndMended.into());
    }
    Ok(())
}

/// Tells what happens; times are from the fault on.
async fn watch(
    injected: &Injected,
    fault: &Fault,
    observer: &Observer,
    begun: f64,
    interrupt: &Interrupt,
    journal: &Journal,
    printer: &Printer,
) -> Vec<Happening> {
    let mut told: Vec<Happening> = Vec::new();
    let until = injected.at + injected.lasts.unwrap_or(fault.lasts);
    loop {
        let over = Instant::now() >= until || interrupt.came();
        let news = observer.so_far();
        let fresh = news.into_iter().filter(|h| h.t >= begun);
        for mut happening in fresh.skip(told.len()) {
            happening.t -= begun;
            let line = words(&happening);
            journal.progress(injected.kind, &line, &[("seconds", happening.t)]);
            printer.text(format!("{:>10.2} s {line}", happening.t));
            told.push(happening);
        }
        let back = told.iter().filter(|h| h.what == What::PodReady).count();
        // Killed pods are over when as many are Ready again.
        if over || (injected.lasts.is_none() && back >= injected.victims.len()) {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn words(happening: &Happening) -> String {
    let detail = if happening.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", happening.detail)
    };
    let value = happening.value.map(|v| format!(" {v}")).unwrap_or_default();
    format!("{} {}{value}{detail}", happening.what.words(), happening.object)
}

async fn undo(dry_run: bool, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let client = cluster::client(settings).await?;
    let tool = faults::tool(settings, printer, client, None, []).await?;
    let left = tool.left().await?;
    if left.is_empty() {
        printer.text("nothing is broken");
    }
    let mut failed = 0;
    for one in &left {
        let remaining = one
            .remaining_s
            .map(|s| format!(", {s:.0} s to go at most"))
            .unwrap_or_default();
        printer.text(format!(
            "{:<12} {} ({}{remaining})",
            one.kind, one.what, one.holder
        ));
        if dry_run {
            continue;
        }
        // The others are mended all the same.
        match tool.undo_left(one).await {
            Ok(()) => printer.text(format!("{:<12} {}", "mended", one.holder)),
            Err(e) => {
                failed += 1;
                printer.text(format!("{:<12} {}: {e}", "not mended", one.holder));
            }
        }
    }
    let list: Vec<_> = left
        .iter()
        .map(|l| json!({"kind": l.kind, "what": l.what, "holder": l.holder, "remainingSeconds": l.remaining_s}))
        .collect();
    printer.data(&json!({"left": list, "mended": !dry_run && failed == 0}));
    if failed > 0 {
        let text = format!(
            "{failed} of {} could not be mended; what a pod does ends by itself in time",
            left.len()
        );
        return Err(Judged(text).into());
    }
    Ok(())
}
