//! Real containers under the real daemon. Needs root and a busybox (`apt-get download busybox-static`); says so and skips otherwise.

// It is a test harness: it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod cases;
mod death;
mod filters;
mod inside;
mod namespaces;
mod speed;
mod streams;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        // Before any thread exists.
        Some("__runtime") => return world::daemon(&PathBuf::from(&args[2]), &args[3]),
        Some("__engine") => return world::engine(),
        _ => {}
    }
    let listing = args.iter().any(|a| a == "--list");
    let filter = args
        .iter()
        .skip(1)
        .find(|a| !a.starts_with('-'))
        .cloned()
        .unwrap_or_default();
    let wanted = cases::ALL.iter().filter(|(name, _)| name.contains(&filter));
    if listing {
        wanted.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if let Err(reason) = world::possible() {
        println!("skipped all container tests: {reason}");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in wanted {
        let started = std::time::Instant::now();
        let result = std::panic::catch_unwind(|| world::World::run(name, *case));
        let verdict = match result {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(reason)) => format!("FAILED: {reason}"),
            Err(_) => "FAILED (panic above)".to_owned(),
        };
        failed += usize::from(verdict != "ok");
        println!(
            "test {name} ... {verdict} ({:.2} s)",
            started.elapsed().as_secs_f64()
        );
    }
    if failed > 0 {
        println!("{failed} failed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
