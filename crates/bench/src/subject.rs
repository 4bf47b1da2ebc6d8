//! The program under measurement, on a state folder and with a cluster name of its own.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use crate::cli::Settings;

/// The program with its folder. Dropping it destroys its cluster and removes the folder.
#[derive(Debug)]
pub struct Subject {
    binary: PathBuf,
    state: tempfile::TempDir,
    name: String,
}

impl Subject {
    /// Makes an empty state folder.
    pub fn new(settings: &Settings) -> anyhow::Result<Subject> {
        let state = tempfile::Builder::new()
            .prefix("cncfdemo-bench-")
            .tempdir_in(&settings.scratch)
            .with_context(|| format!("failed to make a folder in {}", settings.scratch.display()))?;
        Ok(Subject {
            binary: settings.binary.clone(),
            state,
            name: format!("bench-{}", std::process::id()),
        })
    }

    /// The state folder.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The cluster's folder.
    pub fn cluster_dir(&self) -> PathBuf {
        self.state().join("clusters").join(&self.name)
    }

    /// The cluster's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster_dir().join("kubeconfig")
    }

    /// A command line of the program on this state and cluster.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--state-dir")
            .arg(self.state())
            .arg("--name")
            .arg(&self.name)
            .args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs it and gives how long it took and the JSON that it printed.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<(Duration, Value)> {
        let mut command = self.command(arguments);
        command.args(["--output", "json"]);
        let begun = Instant::now();
        let output = succeed(&mut command)?;
        let took = begun.elapsed();
        let value = if output.stdout.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&output.stdout)?
        };
        Ok((took, value))
    }

    /// Creates the cluster or finds it; gives the wall-clock time of the command.
    pub fn bootstrap(&self) -> anyhow::Result<Duration> {
        Ok(self.run(&["bootstrap", "local"])?.0)
    }

    /// Takes the cluster down.
    pub fn destroy(&self) -> anyhow::Result<Duration> {
        Ok(self.run(&["destroy"])?.0)
    }

    /// Builds an image of the demo and gives its reference.
    pub fn build(&self, recipe: &str) -> anyhow::Result<(Duration, Value)> {
        let (took, built) = self.run(&["image", "build", recipe])?;
        Ok((took, built[0].clone()))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // A loaded engine may take a while to be gone even after SIGKILL; nothing may stay behind, so try more than once.
        for attempt in 1..=10 {
            if !self.cluster_dir().exists() {
                return;
            }
            match self.destroy() {
                Ok(_) => return,
                Err(failure) => eprintln!(
                    "attempt {attempt} to take the cluster `{}` down failed: {failure:#}",
                    self.name
                ),
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// A client of a cluster, as any other program would have it.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

/// Runs a command to its end; an exit status other than 0 is an error with what it said.
pub fn succeed(command: &mut Command) -> anyhow::Result<Output> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .with_context(|| format!("failed to run {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = said.lines().rev().take(4).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{shown} ended with {}: {}", output.status, tail.join(" | "));
    }
    Ok(output)
}

/// The path of a program on PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
