//! `serve`: the roles of the program inside a cluster.
use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// One of the generators of a load from inside the cluster (`benchmark --workers`)
    LoadWorker(ServeLoadWorker),
    /// Tell the worker in this container when to begin
    LoadStart {
        /// Milliseconds since 1970
        #[arg(long, value_name = "TIME")]
        at: i64,
    },
    /// Work that needs nothing but this program: Lucas-Lehmer tests of Mersenne numbers
    Background {
        /// Address for /metrics and /healthz
        #[arg(long, default_value = "0.0.0.0:9102")]
        listen: std::net::SocketAddr,
        /// Threads
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Low-priority background work: molecules docked to a protein with AutoDock Vina
    Docking(ServeDocking),
    /// What a BOINC client does, for Prometheus
    BoincExporter {
        /// Address for /metrics and /healthz
        #[arg(long, default_value = "0.0.0.0:9102")]
        listen: std::net::SocketAddr,
        /// The client's GUI RPC, HOST:PORT
        #[arg(long, default_value = "127.0.0.1:31416")]
        client: String,
        /// The client's password file
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/var/lib/boinc-client/gui_rpc_auth.cfg"
        )]
        password_file: PathBuf,
    },
    /// Kubernetes' metrics APIs from Prometheus queries, behind the API server's aggregator
    MetricsAdapter(ServeMetricsAdapter),
}

/// `serve metrics-adapter`
#[derive(Debug, Args)]
pub struct ServeMetricsAdapter {
    /// Address to listen on, HTTPS
    #[arg(long, default_value = "0.0.0.0:6443")]
    pub listen: std::net::SocketAddr,
    /// Prometheus
    #[arg(long, env = "PROMETHEUS_URL", default_value = "http://prometheus:9090")]
    pub prometheus: String,
    /// Which metrics there are, and their queries (TOML)
    #[arg(long)]
    pub rules: PathBuf,
}

/// `serve docking`; the defaults are where the demo's image has things.
#[derive(Debug, Args)]
pub struct ServeDocking {
    /// Address for /metrics and /healthz
    #[arg(long, default_value = "0.0.0.0:9102")]
    pub listen: std::net::SocketAddr,
    /// Dockings at once
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// The protein, PDBQT, may be compressed
    #[arg(
        long,
        default_value = "/usr/share/doc/autodock-vina/test-data/protein.pdbqt.gz"
    )]
    pub receptor: PathBuf,
    /// Vina's configuration that says where in the protein to search
    #[arg(long, default_value = "/usr/share/doc/autodock-vina/test-data/conf.txt")]
    pub site: PathBuf,
    /// The molecules: lines of SMILES and name
    #[arg(long, default_value = "/usr/share/docking/ligands.smi")]
    pub ligands: PathBuf,
    /// Folder for what is made meanwhile
    #[arg(long, default_value = "/tmp")]
    pub scratch: PathBuf,
    /// How hard Vina searches
    #[arg(long, default_value_t = 1)]
    pub exhaustiveness: u32,
}

/// `serve load-worker`
#[derive(Debug, Args)]
pub struct ServeLoadWorker {
    /// This worker's part of the load, as JSON
    #[arg(long, env = "LOAD_TASK")]
    pub task: String,
    /// Its number
    #[arg(long, env = "JOB_COMPLETION_INDEX", default_value_t = 0)]
    pub index: u32,
    /// How many there are
    #[arg(long, env = "LOAD_WORKERS", default_value_t = 1)]
    pub workers: u32,
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
