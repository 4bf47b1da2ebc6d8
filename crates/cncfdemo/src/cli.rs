//! The command line. Structs hold no logic: a command's file does the work.
mod benchmark;
mod bootstrap;
mod chaos;
mod create;
mod dashboard;
mod doctor;
mod image;
mod results;
mod serve;
mod start;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::benchmark::{BackgroundSetting, Benchmark};
pub use self::bootstrap::{Bootstrap, NodeLifecycle, Provider};
pub use self::chaos::{ChaosArgs, ChaosCommand, KillBy, NodeBy};
pub use self::create::{Create, CreateConfigMap, CreateFiles, CreateWhat};
pub use self::dashboard::{Dashboard, PORT as DASHBOARD_PORT};
pub use self::doctor::{Doctor, DoctorProfile, DoctorWhat};
pub use self::image::ImageCommand;
pub use self::results::{CompareRules, FailOn, PriceArgs, ResultsCommand};
pub use self::serve::{ServeLoadWorker, ServeRole};
pub use self::start::Start;

/// Stand up a Kubernetes cluster, run a real demo on it, load it, break it, and report.
#[derive(Debug, Parser)]
#[command(name = "cncfdemo", version, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Name of the local cluster [default: cncfdemo]
    #[arg(long, global = true, value_name = "NAME")]
    pub name: Option<String>,
    /// Use this context of a kubeconfig instead of a local cluster
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Kubeconfig for --context and for merging [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What stdout carries
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub output: Output,
    /// Where clusters, images and caches are kept
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CNCFDEMO_STATE",
        default_value = crate::settings::DEFAULT_STATE
    )]
    pub state_dir: PathBuf,
    /// Log what happens to stderr
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// Form of the data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a cluster; running it again finds it and mends it
    Bootstrap(Bootstrap),
    /// Deploy the whole demo; bootstraps a local cluster first if there is none
    Start(Start),
    /// Load the demo and write a report
    Benchmark(Box<Benchmark>),
    /// Break something on purpose, watch, and mend it
    #[command(subcommand)]
    Chaos(Box<ChaosCommand>),
    /// Read, verify, compare, price and publish run documents
    #[command(subcommand)]
    Results(ResultsCommand),
    /// Create objects from files and templates, as kubectl does
    Create(Box<Create>),
    /// Show where things stand
    Status,
    /// Watch the demo live: nodes, pods, load, latency, scaling and faults, as a page or in the terminal
    Dashboard(Dashboard),
    /// Find what will break this machine or cluster later, say why, and mend it
    Doctor(Box<Doctor>),
    /// Take the demo down and keep the cluster
    Stop(Stop),
    /// Take the local cluster down and leave nothing behind
    Destroy(Destroy),
    /// Container images from signed Debian packages, archives and registries
    #[command(subcommand)]
    Image(ImageCommand),
    /// Print the local cluster's kubeconfig
    Kubeconfig(Kubeconfig),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
    /// The roles that this program plays inside a cluster
    #[command(subcommand)]
    Serve(ServeRole),
}

impl Command {
    /// Servers end in an orderly way by themselves.
    pub fn handles_interrupts(&self) -> bool {
        match self {
            Command::Serve(_)
            | Command::Benchmark(_)
            | Command::Doctor(_)
            | Command::Dashboard(_)
            | Command::Chaos(_) => true,
            Command::Start(start) => start.dashboard.is_some(),
            _ => false,
        }
    }
}

/// A positive number.
pub fn parse_positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err(format!("`{text}` is not a positive number"))
    }
}

/// Durations as people write them: `30s`, `5m`, `1m30s`.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let span: jiff::Span = text
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: write 30s, 5m or 1m30s"))?;
    let duration = jiff::SignedDuration::try_from(span).map_err(|e| e.to_string())?;
    std::time::Duration::try_from(duration).map_err(|_| format!("`{text}` is negative"))
}

/// `stop`
#[derive(Debug, Args)]
pub struct Stop {
    /// Namespace of the demo
    #[arg(long, default_value = "cncfdemo")]
    pub namespace: String,
}

/// `destroy`
#[derive(Debug, Args)]
pub struct Destroy {
    /// Every local cluster
    #[arg(long)]
    pub all: bool,
    /// Also images and download caches: everything below the state root
    #[arg(long, requires = "all")]
    pub images: bool,
    /// Show what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// `kubeconfig`
#[derive(Debug, Args)]
pub struct Kubeconfig {
    /// Print the file's path instead of its content
    #[arg(long)]
    pub path: bool,
    /// Add it to your kubeconfig instead of printing it
    #[arg(long, conflicts_with = "path")]
    pub merge: bool,
}
