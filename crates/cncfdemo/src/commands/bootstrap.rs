//! `cncfdemo bootstrap`: create a cluster, or find it and mend it.
use std::time::Duration;

use engine::Plan;
use engine::launch::{AskedLifecycle, Launched, Request};
use serde_json::json;

use crate::cli::{Bootstrap, NodeLifecycle, Provider};
use crate::exit::{Hinted, Unsuitable, Usage};
use crate::printer::{Printer, seconds};
use crate::settings::Settings;

/// Runs the command.
pub async fn run(args: &Bootstrap, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    if args.provider != Provider::Local {
        let name = format!("{:?}", args.provider).to_lowercase();
        return Err(Hinted {
            message: format!("provider `{name}` is not built yet"),
            hint: "`cncfdemo bootstrap local` creates a cluster on this machine; any other cluster can be used with --context"
                .to_owned(),
        }
        .into());
    }
    if settings.context.is_some() {
        return Err(Usage("--context names a cluster that exists; bootstrap creates one".to_owned()).into());
    }
    let request = request(args.nodes, args.api_port, args.lifecycle)?;
    let paths = settings.paths()?;
    check_machine(settings, printer)?;
    if args.plan {
        let (plan, created) = engine::launch::plan(&paths, &request)?;
        let addresses = plan.addresses()?;
        let verb = if created { "would create" } else { "exists:" };
        printer.text(format!(
            "{verb} cluster \"{}\": {}, API server on https://127.0.0.1:{}, pods {}, services {}, state in {}",
            plan.name, nodes(plan.nodes), plan.api_port, addresses.pods(), addresses.services(), paths.dir().display()
        ));
        printer.data(&json!({"create": created, "plan": plan, "dir": paths.dir()}));
        return Ok(());
    }
    let launched = launch(settings, &request).await?;
    if args.merge_kubeconfig {
        super::kubeconfig::merge(settings, printer)?;
    }
    let Launched { plan, created, took } = launched;
    printer.text(format!(
        "cluster    local \"{}\"  {}   {}",
        plan.name,
        seconds(took),
        ready(&plan, settings)?
    ));
    printer.data(&json!({
        "name": plan.name, "created": created, "seconds": took.as_secs_f64(), "nodes": plan.nodes,
        "server": format!("https://127.0.0.1:{}", plan.api_port), "kubeconfig": paths.kubeconfig(),
    }));
    Ok(())
}

/// `1 node Ready, kubectl --kubeconfig "$(cncfdemo kubeconfig --path)"`; by the path where that command needs more to find it.
pub fn ready(plan: &Plan, settings: &Settings) -> anyhow::Result<String> {
    let kubeconfig = if settings.are_default() {
        "\"$(cncfdemo kubeconfig --path)\"".to_owned()
    } else {
        settings.paths()?.kubeconfig().display().to_string()
    };
    Ok(format!(
        "{} Ready, kubectl --kubeconfig {kubeconfig}",
        nodes(plan.nodes)
    ))
}

fn nodes(count: u32) -> String {
    if count == 1 {
        "1 node".to_owned()
    } else {
        format!("{count} nodes")
    }
}

/// What a local cluster is asked to be.
pub fn request(
    nodes: Option<u32>,
    api_port: Option<u16>,
    lifecycle: NodeLifecycle,
) -> anyhow::Result<Request> {
    let program = std::env::current_exe()?;
    let whole = |grace: Duration| {
        if grace.as_secs() == 0 || grace.subsec_nanos() != 0 {
            return Err(Usage(
                "--node-monitor-grace-period is a number of whole seconds".to_owned(),
            ));
        }
        Ok(u32::try_from(grace.as_secs()).unwrap_or(u32::MAX))
    };
    let lifecycle = AskedLifecycle {
        node_monitor_grace: lifecycle.node_monitor_grace_period.map(whole).transpose()?,
        not_ready_toleration: lifecycle.default_not_ready_toleration_seconds,
        unreachable_toleration: lifecycle.default_unreachable_toleration_seconds,
    };
    Ok(Request {
        nodes,
        api_port,
        lifecycle,
        program,
        patience: Duration::from_secs(60),
    })
}

/// Launches on a thread of its own: it waits on locks and files.
pub async fn launch(settings: &Settings, request: &Request) -> anyhow::Result<Launched> {
    let (paths, request) = (settings.paths()?, request.clone());
    Ok(tokio::task::spawn_blocking(move || engine::launch::launch(&paths, &request)).await??)
}

/// Lists what this machine lacks before anything is changed.
pub fn check_machine(settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let facts = host::local_engine_facts(&settings.state);
    let failed: Vec<_> = preflight::local_engine(&facts)
        .into_iter()
        .filter(|f| f.level == preflight::Level::Fail)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    for finding in &failed {
        printer.note(format!("FAIL  {:<18} {}", finding.id, finding.seen));
        printer.note(format!("      {:<18} {}", "fix", finding.fix));
    }
    Err(Unsuitable.into())
}
