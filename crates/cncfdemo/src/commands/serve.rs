//! `cncfdemo serve`: the roles that this program plays inside a cluster.
use std::time::Duration;

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
            let config = tally::Config { listen: args.listen, redis: args.redis, app_keys: args.app_keys };
            Ok(config.run(shutdown).await?)
        }
        ServeRole::WaitStore { redis, patience } => {
            tokio::select! {
                ready = tally::wait_until_ready(&redis, Duration::from_secs(patience)) => Ok(ready?),
                () = shutdown => Err(crate::exit::Interrupted.into()),
            }
        }
        ServeRole::Background { listen, threads } => Ok(background::Config { listen, threads }.run(shutdown).await?),
    }
}
