//! `create`.
use std::path::PathBuf;

use clap::{Args, Subcommand};

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
