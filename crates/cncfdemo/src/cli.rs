//! The command line. Structs hold no logic: a command's file does the work.
mod doctor;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use doctor::{Doctor, DoctorProfile, DoctorWhat};

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
        default_value = "/var/lib/cncfdemo"
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
    /// Read, verify, compare, price and publish run documents
    #[command(subcommand)]
    Results(ResultsCommand),
    /// Create objects from files and templates, as kubectl does
    Create(Box<Create>),
    /// Show where things stand
    Status,
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
        matches!(
            self,
            Command::Serve(_) | Command::Benchmark(_) | Command::Doctor(_)
        )
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
    /// Kill one pod of the application when this part of the run is over, such as 10s: SIGKILL to its processes on a local
    /// cluster, deletion with grace period 0 elsewhere
    #[arg(long, value_name = "AFTER", value_parser = parse_duration)]
    pub kill_pod_after: Option<std::time::Duration>,
    /// Repeat the load; comparisons need at least 4, better 10
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

/// How runs are compared.
#[derive(Debug, Args)]
pub struct CompareRules {
    /// Axes that may differ between the runs (kernel,background,…), or all
    #[arg(long, value_name = "AXES", value_delimiter = ',')]
    pub allow_different: Vec<String>,
    /// Exit with 10 when this is found
    #[arg(long, value_enum)]
    pub fail_on: Option<FailOn>,
    /// The smallest change that matters, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = parse_positive)]
    pub matters: f64,
}

/// What makes a comparison fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A figure got worse, beyond chance and by more than --matters
    Regression,
}

/// What the nodes cost.
#[derive(Debug, Args)]
pub struct PriceArgs {
    /// A machine of the price book for each node, such as aws/us-east-1/m7g.large
    #[arg(long, value_name = "MACHINE", conflicts_with_all = ["usd_per_hour", "own"])]
    pub machine: Option<String>,
    /// Price of one node, US dollars per hour
    #[arg(long, value_name = "USD", value_parser = parse_positive, conflicts_with = "own")]
    pub usd_per_hour: Option<f64>,
    /// One's own machine: price in US dollars, years of service, watts at the socket, US dollars per kWh
    #[arg(long, value_name = "N", num_args = 4, value_names = ["USD", "YEARS", "WATTS", "USD_PER_KWH"], value_parser = parse_positive)]
    pub own: Vec<f64>,
}

/// `results`
#[derive(Debug, Subcommand)]
pub enum ResultsCommand {
    /// Print a run as text, and its page on request
    Show {
        /// The run's document
        run: PathBuf,
        /// Write the page
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Compute every headline again from the raw data; exit with 10 when one differs
    Verify {
        /// Run documents
        #[arg(required = true)]
        runs: Vec<PathBuf>,
    },
    /// Compare runs: is it different, by how much, and how sure is that
    Compare {
        /// What is compared with: one document, or several of the same plan
        #[arg(required = true)]
        base: Vec<PathBuf>,
        /// What is compared; give it again for a third run and so on
        #[arg(long = "to", value_name = "RUN", required = true)]
        others: Vec<PathBuf>,
        /// How
        #[command(flatten)]
        rules: CompareRules,
        /// Write a page
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Price runs, also those that were priced before, and write them back
    Price {
        /// Run documents
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// What the nodes cost
        #[command(flatten)]
        price: PriceArgs,
    },
    /// Make a folder of pages from run documents, to be served by any web server
    Site {
        /// Run documents, or folders of them
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// The folder to write
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Serve runs: a list with search, a page per run, comparison, submission by token, demos that are under way
    Serve {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:7080")]
        listen: std::net::SocketAddr,
        /// The file that holds everything
        #[arg(long, value_name = "FILE", default_value = "cncfdemo-results.redb")]
        data: PathBuf,
        /// A file with the token that submissions must show; without it nothing can be submitted
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Largest document in MiB
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
        largest: u32,
        /// Submissions in a minute
        #[arg(long, default_value_t = 600)]
        per_minute: u32,
    },
    /// Print the JSON Schema of run documents
    Schema,
}

fn parse_objective(text: &str) -> Result<results::Objective, String> {
    results::Objective::parse(text).map_err(|e| e.to_string())
}

fn parse_positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err(format!("`{text}` is not a positive number"))
    }
}

/// Durations as people write them: `30s`, `5m`, `1m30s`.
fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let span: jiff::Span = text
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: write 30s, 5m or 1m30s"))?;
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
    // Its own id: `name` is the cluster's.
    #[arg(id = "configmap", value_name = "NAME")]
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
    /// Apps with more than a key, as a JSON list: [{"key":"…","id":"…","name":"…","timezone":"Europe/Berlin","salt":"…"}]
    #[arg(long, env = "TALLY_APPS", hide_env_values = true)]
    pub apps: Option<String>,
    /// What readers of /o have to know; without it anybody may read
    #[arg(long, env = "TALLY_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Requests that may wait for the store; one more is answered 503
    #[arg(long, default_value_t = 16_384)]
    pub queue: usize,
    /// Replicas that must have a write before it is acknowledged, as far as the shard has some alive
    #[arg(long, default_value_t = 1)]
    pub wait_replicas: usize,
}
