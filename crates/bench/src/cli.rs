use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measure cncfdemo against its goals and print one table.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 110)]
pub struct Cli {
    /// The program to measure [default: `cncfdemo` beside this program]
    #[arg(long, global = true, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Folder in which a temporary state folder is made; take one on the disk that matters
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/tmp")]
    scratch: PathBuf,
    /// Form of the table
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub output: Output,
    /// Only rows whose group contains this, such as `pods` or `writes`
    #[arg(long, global = true, value_name = "TEXT")]
    only: Option<String>,
    /// Fewer runs
    #[arg(long, global = true)]
    quick: bool,
    /// Wait at most this many seconds before each group for other programs to leave the processors alone
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    settle: u64,
    #[command(flatten)]
    peer: PeerArgs,
    /// What to measure
    #[command(subcommand)]
    pub suite: Suite,
}

/// Another cluster, measured in the same run for a column beside ours.
#[derive(Debug, Args)]
#[allow(clippy::struct_field_names, reason = "they are the flags' names")]
struct PeerArgs {
    /// Kubeconfig of another cluster, such as upstream Kubernetes on this machine, to fill a second column [data inline]
    #[arg(long, global = true, value_name = "FILE")]
    peer_kubeconfig: Option<PathBuf>,
    /// Image that the other cluster has, with a `sleep` in it
    #[arg(
        long,
        global = true,
        value_name = "IMAGE",
        default_value = "demo.local/busybox:1"
    )]
    peer_image: String,
    /// Processes that the other cluster consists of, for its memory and CPU time
    #[arg(
        long,
        global = true,
        value_name = "PID",
        value_delimiter = ',',
        requires = "peer_kubeconfig"
    )]
    peer_pids: Vec<i32>,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Suite {
    /// The embedded engine: start, memory, CPU, pods, writes, watches, lists, commands
    Engine,
    /// Image builds: cold, warm, unchanged
    Images,
    /// The load generator against wrk, and against a server that stalls
    Load,
    /// The demo's analytics server beside nginx, and its memory by devices
    Tally,
    /// The results server with 100,000 runs
    Results,
    /// Everything but the soak
    All,
    /// Endurance: pods and watches come and go; what the engine holds must not grow
    Soak(Soak),
    /// This program's own helpers
    #[command(subcommand, hide = true)]
    Internal(Internal),
}

/// How long and how hard.
#[derive(Debug, Clone, Args)]
pub struct Soak {
    /// For how long, such as 10m
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub time: Duration,
    /// Pods a second
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// How often figures go to stderr
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub every: Duration,
}

/// `90s`, `10m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration: write 90s, 10m or 1h");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(bad()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    Ok(Duration::from_secs(number * unit))
}

/// Helpers that run as processes of their own, so that their CPU time can be told apart.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Answers every request with two bytes, until its input ends
    NullServer(NullServer),
    /// Load by the crate `load`
    Generate(Generate),
}

/// The null server.
#[derive(Debug, Args)]
pub struct NullServer {
    /// Milliseconds at the end of every period in which nothing is answered
    pub stall: Option<u64>,
    /// The period in milliseconds
    #[arg(requires = "stall")]
    pub period: Option<u64>,
}

/// One run of the generator.
#[derive(Debug, Args)]
pub struct Generate {
    /// URL
    pub url: String,
    /// Connections
    pub connections: u32,
    /// Seconds
    pub seconds: u64,
    /// Requests per second; closed loop without it
    pub rate: Option<f64>,
}

/// Form of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// Resolved settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that is measured.
    pub binary: PathBuf,
    /// Where temporary folders are made.
    pub scratch: PathBuf,
    /// Part of the names of the groups to run.
    pub only: Option<String>,
    /// Fewer runs.
    pub quick: bool,
    /// How long to wait for a quiet machine.
    pub settle: Duration,
    /// The cluster of the second column.
    pub peer: Option<Peer>,
}

/// A cluster that somebody else brought up.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its admin's kubeconfig.
    pub kubeconfig: PathBuf,
    /// An image that it has.
    pub image: String,
    /// Its processes; may be none, then their memory and CPU time stay unknown.
    pub pids: Vec<i32>,
}

impl Cli {
    /// Finds the program and checks that it is one.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => std::env::current_exe()?.with_file_name("cncfdemo"),
        };
        let binary = binary.canonicalize().with_context(|| {
            format!(
                "there is no program to measure at {}: build it or name it with --binary",
                binary.display()
            )
        })?;
        Ok(Settings {
            binary,
            scratch: self.scratch.clone(),
            only: self.only.clone(),
            quick: self.quick,
            settle: Duration::from_secs(self.settle),
            peer: self.peer.peer_kubeconfig.as_ref().map(|kubeconfig| Peer {
                kubeconfig: kubeconfig.clone(),
                image: self.peer.peer_image.clone(),
                pids: self.peer.peer_pids.clone(),
            }),
        })
    }
}

impl Settings {
    /// `many` runs, or `few` of them with `--quick`.
    pub fn runs(&self, many: usize, few: usize) -> usize {
        if self.quick { few } else { many }
    }

    /// Whether `--only` lets this group run.
    pub fn wants(&self, group: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| group.contains(only.as_str()))
    }
}
