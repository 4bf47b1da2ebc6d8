//! The cluster a command talks to: a context of a kubeconfig, or the local cluster of that name.
use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::exit::{Hinted, NotFound};
use crate::settings::Settings;

/// A client for the cluster that the settings mean.
///
/// # Errors
/// When there is no such context or local cluster, or its kubeconfig cannot be read.
pub async fn client(settings: &Settings) -> anyhow::Result<Client> {
    Client::try_from(config(settings).await?).context("failed to set up the connection to the cluster")
}

/// How to reach the cluster that the settings mean.
///
/// # Errors
/// When there is no such context or local cluster, or its kubeconfig cannot be read.
pub async fn config(settings: &Settings) -> anyhow::Result<Config> {
    let (path, context) = match &settings.context {
        Some(context) => (settings.kubeconfig.clone(), Some(context.clone())),
        None => (settings.paths()?.kubeconfig(), None),
    };
    if !path.exists() {
        return Err(match &context {
            Some(context) => NotFound(format!(
                "there is no {} to look up context `{context}` in",
                path.display()
            ))
            .into(),
            None => Hinted {
                message: format!("there is no local cluster `{}`", settings.name),
                hint: "create it with `cncfdemo bootstrap local`, or name another cluster with --context"
                    .to_owned(),
            }
            .into(),
        });
    }
    let kubeconfig = Kubeconfig::read_from(&path)
        .with_context(|| format!("failed to read kubeconfig {}", path.display()))?;
    if let Some(context) = &context
        && !kubeconfig.contexts.iter().any(|c| c.name == *context)
    {
        let known: Vec<_> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
        return Err(NotFound(format!(
            "{} has no context `{context}`: it has {}",
            path.display(),
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        ))
        .into());
    }
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .with_context(|| format!("failed to use kubeconfig {}", path.display()))
}
