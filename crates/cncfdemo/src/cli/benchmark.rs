//! `benchmark`.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CompareRules, PriceArgs, parse_duration, parse_positive};

/// `benchmark`
#[derive(Debug, Args)]
pub struct Benchmark {
    /// How long to load, such as 30s or 5m
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub time: std::time::Duration,
    /// Requests per second, open loop
    #[arg(long, default_value_t = 1000)]
    pub rate: u64,
    /// Connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Threads of the generator
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// As fast as the server answers instead of at a rate (closed loop)
    #[arg(long)]
    pub closed: bool,
    /// Write a self-contained HTML page, and a JSON document beside it
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[allow(clippy::option_option, reason = "absent, without a name, with a name")]
    pub save_html: Option<Option<PathBuf>>,
    /// Load this URL instead of the demo's application
    #[arg(long)]
    pub url: Option<String>,
    /// Namespace of the demo
    #[arg(long, default_value = "cncfdemo")]
    pub namespace: String,
    /// Kill one pod of the application when this part of the run is over, such as 10s: SIGKILL to its processes on a local
    /// cluster, deletion with grace period 0 elsewhere
    #[arg(long, value_name = "AFTER", value_parser = parse_duration, conflicts_with = "chaos")]
    pub kill_pod_after: Option<std::time::Duration>,
    /// Break something while it is loaded: KIND[:KEY=VALUE,…], several in turn. Kinds: pod, redis-master, node, network, disk, stress.
    /// Keys: those of `cncfdemo chaos KIND --help` (`label` with ; for ,), and `after`, `for`
    #[arg(long, value_name = "FAULT", value_parser = crate::faults::Spec::parse)]
    pub chaos: Vec<crate::faults::Spec>,
    /// When the first fault comes; the others follow evenly over the rest [default: after a third of the time]
    #[arg(long, value_name = "AFTER", value_parser = parse_duration, requires = "chaos")]
    pub chaos_after: Option<std::time::Duration>,
    /// How long faults last
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    pub chaos_for: std::time::Duration,
    /// Image of the pods that carry faults out [default on a local cluster: built here]
    #[arg(long, value_name = "REFERENCE")]
    pub chaos_image: Option<String>,
    /// Load in steps, RATE:TIME,…: a rate per second, or a multiple of --rate such as 4x (1x:20s,4x:40s,1x:30s)
    #[arg(long, value_name = "STEPS", value_delimiter = ',', value_parser = parse_step, conflicts_with_all = ["time", "closed", "find_max"])]
    pub steps: Vec<RateStep>,
    /// Load for so long, such as 5s, before anything counts
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0s")]
    pub warm_up: std::time::Duration,
    /// Send this mix of requests (TOML: a table `parameters`, tables `request` with url, weight, method, headers, body)
    #[arg(long, value_name = "FILE")]
    pub mix: Option<PathBuf>,
    /// Load from so many workers inside the cluster instead of from here
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "url", value_parser = clap::value_parser!(u32).range(0..=256))]
    pub workers: u32,
    /// Tell this results server of every second, and hand the document in at the end
    #[arg(long, value_name = "URL", requires = "token_file")]
    pub publish: Option<String>,
    /// A file with the results server's token
    #[arg(long, value_name = "FILE", requires = "publish")]
    pub token_file: Option<PathBuf>,
    /// Repeat the load; comparisons need at least 5, better 10
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Search for the highest rate that keeps --slo, then load at that rate; every probe takes --time
    #[arg(long, requires = "slo", conflicts_with = "closed")]
    pub find_max: bool,
    /// The objective, such as 'p99<50ms'
    #[arg(long, value_name = "OBJECTIVE", value_parser = parse_objective, requires = "find_max")]
    pub slo: Option<results::Objective>,
    /// Switch the low-priority background work; both takes turns and gives the difference
    #[arg(long, value_enum)]
    pub background: Option<BackgroundSetting>,
    /// Compare with an earlier run's document
    #[arg(long, value_name = "RUN")]
    pub compare_to: Option<PathBuf>,
    /// How to compare
    #[command(flatten)]
    pub rules: CompareRules,
    /// What the nodes cost
    #[command(flatten)]
    pub price: PriceArgs,
}

/// A part of a stepped load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateStep {
    /// Requests per second, or times the plan's rate.
    pub rate: f64,
    /// Whether it is times the plan's rate.
    pub times: bool,
    /// For how long.
    pub time: std::time::Duration,
}

/// What to do with the background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackgroundSetting {
    /// Let it run
    On,
    /// Switch it off, and on again afterwards
    Off,
    /// Both in turn
    Both,
}

fn parse_objective(text: &str) -> Result<results::Objective, String> {
    results::Objective::parse(text).map_err(|e| e.to_string())
}

/// `4x:40s`, `2000:30s`.
fn parse_step(text: &str) -> Result<RateStep, String> {
    let (rate, time) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is no step: write RATE:TIME, such as 4x:40s or 2000:30s"))?;
    let times = rate.ends_with('x');
    let time = parse_duration(time)?;
    if time.is_zero() {
        return Err(format!("`{text}` takes no time"));
    }
    Ok(RateStep {
        rate: parse_positive(rate.trim_end_matches('x'))?,
        times,
        time,
    })
}
