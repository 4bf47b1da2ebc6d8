//! `results`, and what `benchmark` shares with it.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::parse_positive;

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
    /// One's own machine: price in US dollars, years of service, watts at the socket, US dollars per kWh (or a region of the
    /// price book, such as us/commercial)
    #[arg(long, value_name = "N", num_args = 4, value_names = ["USD", "YEARS", "WATTS", "USD_PER_KWH"])]
    pub own: Vec<String>,
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
    /// Hand run documents in to a results server
    Publish {
        /// Run documents
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// The server
        #[arg(long, value_name = "URL")]
        to: String,
        /// A file with its token
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Price runs, also those that were priced before, and write them back
    #[command(visible_alias = "reprice")]
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
        #[arg(long, value_name = "FILE", default_value = "cncfdemo-results.db")]
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
