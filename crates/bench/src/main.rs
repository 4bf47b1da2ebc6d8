//! The benchmark table: drives the real `cncfdemo` binary on a state folder of its own, measures what the design set
//! goals for, and prints one table of what was measured, how often, and whether the goal was met.
//!
//! Nothing here asserts; a figure that misses its goal says so and the exit status stays 0. What could not be measured
//! is named, never filled in, and then the exit status is 1.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose purpose is to print a table"
)]
mod cli;
mod engine;
mod generator;
mod images;
mod machine;
mod process;
mod results;
mod row;
mod soak;
mod startup;
mod stats;
mod subject;
mod table;
mod tally;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Internal, Suite};
use crate::table::Table;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.suite {
        Suite::Internal(Internal::NullServer(args)) => {
            let milliseconds = std::time::Duration::from_millis;
            let stall = args.stall.zip(args.period).map(|(time, period)| load::Stall {
                time: milliseconds(time),
                period: milliseconds(period),
            });
            return generator::serve(stall).map(|()| ExitCode::SUCCESS);
        }
        Suite::Internal(Internal::Generate(args)) => {
            return generator::own::generate(args).map(|()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let table = runtime.block_on(async {
        tokio::select! {
            table = measure(cli) => table,
            () = asked_to_end() => Err(anyhow::anyhow!("interrupted; what was made is being removed")),
        }
    });
    // Watches that are still open are of no use any more.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    let table = table?;
    match cli.output {
        cli::Output::Text => print!("{}", table.text()),
        cli::Output::Json => println!("{}", serde_json::to_string_pretty(&table)?),
    }
    Ok(if table.complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Waits for SIGINT or SIGTERM: either must leave no cluster behind.
async fn asked_to_end() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Thousands of watchers need thousands of descriptors.
fn raised() -> rustix::process::Rlimit {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    limit
}

async fn measure(cli: &Cli) -> anyhow::Result<Table> {
    let settings = cli.settings()?;
    let mut table = Table::new(&settings);
    if matches!(cli.suite, Suite::Load | Suite::All) {
        generator::measure(&settings, &mut table).await;
    }
    if matches!(cli.suite, Suite::Tally | Suite::All) {
        tally::measure(&settings, &mut table).await;
    }
    if matches!(cli.suite, Suite::Results | Suite::All) {
        results::measure(&settings, &mut table).await;
    }
    if matches!(cli.suite, Suite::Images | Suite::All) {
        images::measure(&settings, &mut table).await;
    }
    if matches!(cli.suite, Suite::Engine | Suite::All) {
        Box::pin(engine::measure(&settings, &mut table)).await;
    }
    if let Suite::Soak(args) = &cli.suite {
        table
            .group(&settings, "soak", async || {
                Box::pin(soak::measure(&settings, args)).await
            })
            .await;
    }
    Ok(table)
}
