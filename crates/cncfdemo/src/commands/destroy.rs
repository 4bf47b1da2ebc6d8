//! `cncfdemo destroy`: take local clusters down and leave nothing behind.
use engine::Paths;
use serde_json::json;

use crate::cli::Destroy;
use crate::exit::Usage;
use crate::printer::Printer;
use crate::settings::Settings;

/// Runs the command.
pub async fn run(args: &Destroy, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    if settings.context.is_some() {
        return Err(Usage(
            "destroy takes local clusters down; it does not touch the cluster of a --context".to_owned(),
        )
        .into());
    }
    let names = if args.all {
        Paths::existing(&settings.state)
    } else {
        vec![settings.name.clone()]
    };
    for name in &names {
        let paths = Paths::new(&settings.state, name)?;
        if args.dry_run {
            printer.text(format!(
                "would destroy cluster \"{name}\" and remove {}",
                paths.dir().display()
            ));
            continue;
        }
        tokio::task::spawn_blocking(move || engine::destroy::destroy(&paths)).await??;
        printer.text(format!("cluster \"{name}\" destroyed"));
    }
    if args.all && !args.dry_run {
        // Empty by now, unless somebody put something there.
        let _ = std::fs::remove_dir(settings.state.join("clusters"));
    }
    if args.images && !args.dry_run && settings.state.join("images").exists() {
        std::fs::remove_dir_all(settings.state.join("images"))?;
        let _ = std::fs::remove_dir_all(settings.state.join("cache"));
        let _ = std::fs::remove_dir(&settings.state);
        printer.text("images and caches removed");
    }
    printer.data(&json!({"destroyed": names, "dryRun": args.dry_run}));
    Ok(())
}
