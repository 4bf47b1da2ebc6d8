//! `cncfdemo serve`: the roles that this program plays inside a cluster.
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::ServeRole;

/// Runs a role until SIGTERM or SIGINT.
pub async fn run(role: ServeRole) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    match role {
        ServeRole::Tally(args) => {
            let apps = match &args.apps {
                Some(json) => tally::Apps::from_json(json)?,
                None => tally::Apps::from_keys(args.app_keys.iter().map(String::as_str)),
            };
            let config = tally::Config {
                api_key: args.api_key,
                queue: args.queue,
                replicas: args.wait_replicas,
                ..tally::Config::new(args.listen, args.redis, apps)
            };
            Ok(config.run(shutdown).await?)
        }
        ServeRole::WaitStore { redis, patience } => {
            tokio::select! {
                ready = tally::wait_until_ready(&redis, Duration::from_secs(patience)) => Ok(ready?),
                () = shutdown => Err(crate::exit::Interrupted.into()),
            }
        }
        ServeRole::Background { listen, threads } => Ok(background::primes::Config { listen, threads }
            .run(shutdown)
            .await?),
        ServeRole::Docking(args) => {
            let config = background::docking::Config {
                listen: args.listen,
                workers: args.workers,
                receptor: args.receptor,
                site: args.site,
                ligands: args.ligands,
                scratch: args.scratch,
                exhaustiveness: args.exhaustiveness,
            };
            Ok(config.run(shutdown).await?)
        }
        ServeRole::BoincExporter {
            listen,
            client,
            password_file,
        } => {
            let config = background::boinc::Config {
                listen,
                client,
                password_file,
            };
            Ok(config.run(shutdown).await?)
        }
        ServeRole::MetricsAdapter(args) => {
            let origin = args.rules.display().to_string();
            let text =
                std::fs::read_to_string(&args.rules).with_context(|| format!("failed to read {origin}"))?;
            let config = metrics_adapter::Config {
                listen: args.listen,
                prometheus: args.prometheus,
                rules: metrics_adapter::Rules::parse(&origin, &text)?,
                client: kube::Client::try_default().await?,
            };
            Ok(config.run(shutdown).await?)
        }
        ServeRole::LoadWorker(args) => super::load_worker::work(&args, shutdown).await,
        ServeRole::LoadStart { at } => super::load_worker::start(at),
    }
}
