//! One command, one file.
mod addresses;
mod benchmark;
mod bootstrap;
mod chaos;
mod completions;
mod create;
mod dashboard;
mod destroy;
mod doctor;
mod image;
pub mod internal;
mod kubeconfig;
mod load_worker;
mod results;
mod serve;
mod start;
mod status;
mod stop;

use crate::cli::Command;
use crate::printer::Printer;
use crate::settings::Settings;

/// Runs a command.
pub async fn dispatch(command: Command, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    match command {
        Command::Bootstrap(args) => bootstrap::run(&args, settings, printer).await,
        Command::Start(args) => match args.dashboard {
            Some(port) => dashboard::around_start(port, &args, settings, printer).await,
            None => start::run(&args, settings, printer).await,
        },
        Command::Dashboard(args) => dashboard::run(&args, settings, printer).await,
        Command::Benchmark(args) => Box::pin(benchmark::run(&args, settings, printer)).await,
        Command::Chaos(command) => Box::pin(chaos::run(&command, settings, printer)).await,
        Command::Results(command) => results::run(command, printer).await,
        Command::Create(args) => create::run(*args, settings, printer).await,
        Command::Status => status::run(settings, printer).await,
        Command::Doctor(args) => doctor::run(&args, settings, printer).await,
        Command::Stop(args) => stop::run(&args, settings, printer).await,
        Command::Destroy(args) => destroy::run(&args, settings, printer).await,
        Command::Image(args) => image::run(args, settings, printer).await,
        Command::Kubeconfig(args) => kubeconfig::run(&args, settings, printer),
        Command::Completions { shell } => {
            completions::run(shell, printer);
            Ok(())
        }
        Command::Version => {
            printer.text(format!("cncfdemo {}", env!("CARGO_PKG_VERSION")));
            printer.data(&serde_json::json!({"version": env!("CARGO_PKG_VERSION")}));
            Ok(())
        }
        Command::Serve(role) => serve::run(role).await,
    }
}
