//! `doctor`'s part of the command line.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `doctor`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Doctor {
    /// Something else than judging
    #[command(subcommand)]
    pub what: Option<DoctorWhat>,
    /// What this machine is to become
    #[arg(long, value_enum, default_value = "node")]
    pub profile: DoctorProfile,
    /// Kubernetes version that it is to run, such as 1.36
    #[arg(long, value_name = "VERSION")]
    pub kubernetes: Option<String>,
    /// Write the facts of this machine (or cluster) to a file, and judge them
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Leave names, addresses and secrets out of the recording
    #[arg(long, requires = "record")]
    pub redact: bool,
    /// Judge recordings instead of this machine; several are judged together
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["record", "fix"])]
    pub facts: Vec<PathBuf>,
    /// Judge recorded answers of a cloud's API
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "fix", "facts"])]
    pub cloud: Option<PathBuf>,
    /// Judge the local cluster that --name means (a context of a kubeconfig: --context)
    #[arg(long)]
    pub cluster: bool,
    /// Image for a short-lived pod that tries names and the API from inside; it needs a shell and nslookup or getent
    #[arg(long, value_name = "IMAGE")]
    pub probe_image: Option<String>,
    /// Mend what was found: all that can be, or these checks
    #[arg(long, value_name = "CHECK", num_args = 0..=1, value_delimiter = ',', default_missing_value = "all")]
    pub fix: Vec<String>,
    /// Mend without asking
    #[arg(long, short, requires = "fix")]
    pub yes: bool,
    /// Show what --fix would change, and change nothing
    #[arg(long, requires = "fix")]
    pub dry_run: bool,
    /// Exit with 11 when there are warnings and no failure
    #[arg(long)]
    pub strict: bool,
    /// Also write the findings as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// What else the doctor does.
#[derive(Debug, Subcommand)]
pub enum DoctorWhat {
    /// Take the last --fix back
    Undo,
    /// Say what a check looks at, why, and what to do; without a name, list all
    Explain {
        /// The check
        check: Option<String>,
        /// Write the reference pages into a folder
        #[arg(long, value_name = "DIR")]
        write: Option<PathBuf>,
    },
    /// Print the JSON schema of the findings
    Schema,
}

/// What a machine is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DoctorProfile {
    /// A node of a Kubernetes cluster
    Node,
    /// A node that also runs the control plane
    ControlPlane,
    /// The host of the embedded cluster
    LocalEngine,
    /// A node on which MongoDB will run
    Mongodb,
}
