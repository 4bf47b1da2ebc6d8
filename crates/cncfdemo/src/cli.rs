//! The command line. Structs hold no logic: a command's file does the work.
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    #[arg(long, global = true, value_name = "DIR", env = "CNCFDEMO_STATE", default_value = "/var/lib/cncfdemo")]
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
    Benchmark(Benchmark),
    /// Create objects from files and templates, as kubectl does
    Create(Box<Create>),
    /// Show where things stand
    Status,
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
        matches!(self, Command::Serve(_) | Command::Benchmark(_))
    }
}

/// `bootstrap`
#[derive(Debug, Args)]
pub struct Bootstrap {
    /// Where
    #[arg(value_enum)]
    pub provider: Provider,
    /// Number of virtual nodes of a local cluster, 1 to 50 [default: 1, or what the cluster has]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub nodes: Option<u32>,
    /// Port of the API server on 127.0.0.1 [default: a free one from 7443]
    #[arg(long)]
    pub api_port: Option<u16>,
    /// Show what would be done and change nothing
    #[arg(long, visible_alias = "dry-run")]
    pub plan: bool,
    /// Also add the cluster to your kubeconfig; an entry of the same name that is not ours is left alone
    #[arg(long)]
    pub merge_kubeconfig: bool,
}

/// Where a cluster can be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// On this machine, by the embedded engine
    Local,
    /// On machines reached by ssh
    Metal,
    /// Amazon Web Services
    Aws,
    /// Microsoft Azure
    Azure,
    /// Google Cloud
    Gcp,
    /// Equinix Metal, formerly Packet
    Packet,
}

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
    /// Render and check everything, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

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
    /// Kill one pod of the application with SIGKILL when this part of the run is over, such as 10s
    #[arg(long, value_name = "AFTER", value_parser = parse_duration)]
    pub kill_pod_after: Option<std::time::Duration>,
}

/// Durations as people write them: `30s`, `5m`, `1m30s`.
fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let span: jiff::Span = text.parse().map_err(|_| format!("`{text}` is not a duration: write 30s, 5m or 1m30s"))?;
    let duration = jiff::SignedDuration::try_from(span).map_err(|e| e.to_string())?;
    std::time::Duration::try_from(duration).map_err(|_| format!("`{text}` is negative"))
}

/// `create -f`
#[derive(Debug, Args)]
pub struct CreateFiles {
    /// Files or folders; Jinja templates end in .j2
    #[arg(short, long = "filename", value_name = "FILE|DIR", required = true)]
    pub filename: Vec<PathBuf>,
    /// Also what lies in folders below
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Namespace for objects that name none
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Values for the templates (TOML)
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,
    /// Set one value
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Have the server check everything and keep nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the rendered manifests instead of sending them
    #[arg(long)]
    pub debug: bool,
}

/// `create configmap`
#[derive(Debug, Args)]
pub struct CreateConfigMap {
    /// Name of the ConfigMap
    pub name: String,
    /// A file or a folder: [KEY=]PATH
    #[arg(long, value_name = "[KEY=]PATH")]
    pub from_file: Vec<String>,
    /// KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// A file of KEY=VALUE lines
    #[arg(long, value_name = "PATH")]
    pub from_env_file: Vec<String>,
    /// Namespace
    #[arg(short, long, default_value = "default")]
    pub namespace: String,
    /// Have the server check it and keep nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print the object instead of sending it
    #[arg(long)]
    pub debug: bool,
}

/// `create`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Create {
    /// A kind made from arguments
    #[command(subcommand)]
    pub what: Option<CreateWhat>,
    /// Objects from files
    #[command(flatten)]
    pub files: CreateFiles,
}

/// Kinds that `create` makes from arguments.
#[derive(Debug, Subcommand)]
pub enum CreateWhat {
    /// A ConfigMap from files, folders, literals and env files
    #[command(visible_alias = "cm")]
    Configmap(CreateConfigMap),
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

/// `image`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build images from recipes; without a name, all of the demo's
    Build {
        /// Names of the demo's recipes, or paths of recipe files
        recipes: Vec<String>,
        /// Show the packages and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List images
    List,
    /// Import an archive (OCI layout or docker-save)
    Import {
        /// The archive
        file: PathBuf,
    },
    /// Export an image as an OCI archive
    Export {
        /// The image
        reference: String,
        /// The archive to write
        file: PathBuf,
    },
    /// Pull an image from a registry
    Pull {
        /// The image
        reference: String,
    },
    /// Remove images
    Rm {
        /// The images
        #[arg(required = true)]
        references: Vec<String>,
    },
    /// Remove blobs and layers that no image uses
    Prune,
}

/// `serve`
#[derive(Debug, Subcommand)]
pub enum ServeRole {
    /// The analytics server
    Tally(ServeTally),
    /// Wait until the store answers, for init containers
    WaitStore {
        /// Redis Cluster nodes, HOST:PORT
        #[arg(long, env = "TALLY_REDIS", value_delimiter = ',', required = true)]
        redis: Vec<String>,
        /// Seconds before giving up
        #[arg(long, default_value_t = 120)]
        patience: u64,
    },
    /// Low-priority background work: Lucas-Lehmer tests of Mersenne numbers
    Background {
        /// Address for /metrics and /healthz
        #[arg(long, default_value = "0.0.0.0:9102")]
        listen: std::net::SocketAddr,
        /// Threads
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
}

/// `serve tally`
#[derive(Debug, Args)]
pub struct ServeTally {
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:3001")]
    pub listen: std::net::SocketAddr,
    /// Redis Cluster nodes, HOST:PORT
    #[arg(long, env = "TALLY_REDIS", value_delimiter = ',', required = true)]
    pub redis: Vec<String>,
    /// App keys that are accepted
    #[arg(long, env = "TALLY_APP_KEYS", value_delimiter = ',', default_value = "demo")]
    pub app_keys: Vec<String>,
}
