//! What the arguments and the environment come to. The only place that reads environment variables:
//!
//! | variable | meaning |
//! |---|---|
//! | `CNCFDEMO_STATE` | state root, default `/var/lib/cncfdemo` |
//! | `CNCFDEMO_LOG` | log filter (`info`, `engine=debug`, …), default `warn` |
//! | `KUBECONFIG`, `HOME` | where kubectl's configuration is, for `--context` and `kubeconfig --merge` |
//! | `NO_COLOR` | no colours |
//! | `http_proxy`, `https_proxy`, `no_proxy` | used for package mirrors and registries |
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use crate::cli::{Command, Global, Output};

/// Name of the local cluster, unless somebody says otherwise.
const DEFAULT_NAME: &str = "cncfdemo";
/// Where clusters, images and caches are kept, unless somebody says otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/cncfdemo";

/// What kube's client logs as errors is told by whoever asked, or expected: a cluster that is not there yet.
const QUIET: &str = "warn,kube_client=off";

/// Resolved settings of one invocation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// State root.
    pub state: PathBuf,
    /// Local cluster's name.
    pub name: String,
    /// Context of a kubeconfig instead of a local cluster.
    pub context: Option<String>,
    /// That kubeconfig.
    pub kubeconfig: PathBuf,
    /// Text or JSON on stdout.
    pub output: Output,
    /// Whether stderr is a terminal that shows moving bars.
    pub bars: bool,
    /// Whether to colour.
    pub colour: bool,
    /// Whether to show what is usually left out.
    pub verbose: bool,
    /// Log filter.
    pub log: String,
}

impl Settings {
    /// Arguments win over the environment, the environment over defaults.
    pub fn resolve(global: &Global) -> Settings {
        let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let home = variable("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        let kubeconfig = global
            .kubeconfig
            .clone()
            .or_else(|| variable("KUBECONFIG").and_then(|v| v.split(':').next().map(PathBuf::from)))
            .unwrap_or_else(|| home.join(".kube/config"));
        let terminal = std::io::stderr().is_terminal();
        Settings {
            // The engine's processes run in `/`.
            state: std::path::absolute(&global.state_dir).unwrap_or_else(|_| global.state_dir.clone()),
            name: global.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            context: global.context.clone(),
            kubeconfig,
            output: global.output,
            bars: terminal && variable("TERM").is_none_or(|t| t != "dumb"),
            colour: terminal && variable("NO_COLOR").is_none(),
            verbose: global.verbose,
            log: variable("CNCFDEMO_LOG")
                .unwrap_or_else(|| if global.verbose { "info" } else { QUIET }.to_owned()),
        }
    }

    /// Whether the local cluster is the one that commands mean without `--name` and `--state-dir`.
    pub fn are_default(&self) -> bool {
        self.name == DEFAULT_NAME && self.state == Path::new(DEFAULT_STATE)
    }

    /// The paths of the local cluster that `--name` means.
    pub fn paths(&self) -> Result<engine::Paths, engine::Error> {
        engine::Paths::new(&self.state, &self.name)
    }
}

/// Logs go to stderr. The servers of the demo write JSON lines, as programs in containers do. The terminal view has the screen
/// for itself.
pub fn start_logging(settings: &Settings, command: &Command) {
    if matches!(command, Command::Dashboard(dashboard) if dashboard.terminal) {
        return;
    }
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log).unwrap_or_default();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // A subscriber may be there already when tests run commands in one process.
    let _ = if matches!(command, Command::Serve(_)) {
        builder.json().try_init()
    } else {
        builder.with_ansi(settings.colour).without_time().try_init()
    };
}
