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
    /// What to measure
    #[command(subcommand)]
    pub suite: Suite,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Suite {
    /// The embedded engine: start, memory, CPU, pods, writes, watches, lists, commands
    Engine,
    /// Image builds: cold, warm, unchanged
    Images,
    /// The load generator against wrk
    Load,
    /// Everything
    All,
    /// This program's own helpers
    #[command(subcommand, hide = true)]
    Internal(Internal),
}

/// Helpers that run as processes of their own, so that their CPU time can be told apart.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Answers every request with two bytes, until its input ends
    NullServer,
    /// Closed-loop load by the crate `load`
    Generate(Generate),
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
