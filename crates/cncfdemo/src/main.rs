//! cncfdemo: stands up a Kubernetes cluster, runs a real demo on it, loads it, breaks it and reports.
//!
//! `main` parses, wires, waits and maps exit codes. One command, one file, below `commands`.
mod activity;
mod apps;
mod bench;
mod cli;
mod cluster;
mod commands;
mod exit;
mod faults;
mod images;
mod names;
mod printer;
mod profile;
mod settings;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::printer::Printer;
use crate::settings::Settings;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The engine's own processes come first: the runtime daemon must be single-threaded, so nothing may start a thread
    // before it.
    if let Some(code) = commands::internal::dispatch(&arguments) {
        return code;
    }
    let cli = Cli::parse_from(arguments);
    let settings = Settings::resolve(&cli.global);
    let printer = Printer::new(&settings);
    match run(cli.command, &settings, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer.failure(&failure);
            ExitCode::from(exit::code(&failure))
        }
    }
}

fn run(command: Command, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    // The engine and the demo's servers choose ring too; a second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    settings::start_logging(settings, &command);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let interrupted = async {
        tokio::signal::ctrl_c().await?;
        Err(exit::Interrupted.into())
    };
    runtime.block_on(async {
        if command.handles_interrupts() {
            return commands::dispatch(command, settings, printer).await;
        }
        tokio::select! {
            done = commands::dispatch(command, settings, printer) => done,
            stopped = interrupted => stopped,
        }
    })
}
