//! `start`.
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `start`
#[derive(Debug, Args)]
pub struct Start {
    /// Namespace of the demo
    #[arg(long, default_value = "cncfdemo")]
    pub namespace: String,
    /// Virtual nodes, if a cluster has to be created
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub nodes: Option<u32>,
    /// Values file (TOML) over the demo's own
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// Set one value
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Which application to deploy [default: tally]
    #[arg(long, value_enum)]
    pub app: Option<Application>,
    /// Which low-priority work to run [default: vina]
    #[arg(long, value_enum)]
    pub background: Option<BackgroundWork>,
    /// Name under which the application is found [default on a local cluster: tally.localhost]
    #[arg(long, value_name = "NAME")]
    pub dns_name: Option<String>,
    /// The demo's app folders, instead of those in this program
    #[arg(long, value_name = "DIR")]
    pub apps: Option<PathBuf>,
    /// Seconds of the first load; 0 for none
    #[arg(long, default_value_t = 10)]
    pub load_seconds: u64,
    /// Requests per second of the first load
    #[arg(long, default_value_t = 500)]
    pub load_rate: u64,
    /// Where to write the first report [default: ./cncfdemo-report-TIME.html]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Serve the live dashboard meanwhile, and afterwards until Ctrl-C; with a port [default: 7002]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "7002", conflicts_with = "dry_run")]
    pub dashboard: Option<u16>,
    /// Render and check everything, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The demo's application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Application {
    /// The demo's own analytics server on a Redis Cluster; needs no registry
    Tally,
    /// Countly on a sharded MongoDB, and Grafana; for clusters that can pull images
    Countly,
}

impl Application {
    /// Its name in values.
    pub fn name(self) -> &'static str {
        match self {
            Application::Tally => "tally",
            Application::Countly => "countly",
        }
    }
}

/// The demo's low-priority work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackgroundWork {
    /// Molecules docked to a protein with AutoDock Vina; needs no network
    Vina,
    /// A BOINC client, attached to a project when a Secret says to which
    Boinc,
    /// None
    None,
}

impl BackgroundWork {
    /// Its name in values.
    pub fn name(self) -> &'static str {
        match self {
            BackgroundWork::Vina => "vina",
            BackgroundWork::Boinc => "boinc",
            BackgroundWork::None => "none",
        }
    }
}
