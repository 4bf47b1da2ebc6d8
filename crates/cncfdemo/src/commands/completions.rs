//! `cncfdemo completions`: a completion script for a shell.
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::printer::Printer;

/// Prints the script.
pub fn run(shell: clap_complete::Shell, printer: &Printer) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cncfdemo", &mut script);
    printer.raw(&script);
}
