//! `cncfdemo image`: container images from signed Debian packages, archives and registries.
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use image::{Built, Image, PullOptions};
use serde_json::{Value, json};

use crate::cli::ImageCommand;
use crate::exit::Usage;
use crate::images;
use crate::printer::Printer;
use crate::settings::Settings;

/// Runs the command.
pub async fn run(command: ImageCommand, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    match command {
        ImageCommand::Build { recipes, dry_run } => build(recipes, dry_run, settings, printer).await,
        ImageCommand::List => list(settings, printer),
        ImageCommand::Import { file } => {
            let store = images::store(settings)?;
            let found = tokio::task::spawn_blocking(move || store.import(file)).await??;
            show(&found, "imported", printer);
            Ok(())
        }
        ImageCommand::Export {
            demo: Some(folder), ..
        } => export_demo(&folder, settings, printer).await,
        ImageCommand::Export { reference, file, .. } => {
            // clap lets nothing else through.
            let (reference, file) = reference
                .zip(file)
                .ok_or_else(|| Usage("an image and a file, or --demo DIR".to_owned()))?;
            let image = export(settings, reference, file.clone()).await?;
            printer.text(format!("exported {} to {}", image.name, file.display()));
            printer.data(&json!({"image": describe(&image), "file": file}));
            Ok(())
        }
        ImageCommand::Pull { reference } => {
            let image = images::store(settings)?
                .pull(&reference, &PullOptions::default())
                .await?;
            show(&[image], "pulled", printer);
            Ok(())
        }
        ImageCommand::Rm { references } => {
            let store = images::store(settings)?;
            let removed = references
                .iter()
                .map(|r| store.remove(r))
                .collect::<Result<Vec<_>, _>>()?;
            show(&removed, "removed", printer);
            Ok(())
        }
        ImageCommand::Prune => {
            let pruned = images::store(settings)?.prune()?;
            printer.text(format!(
                "{} blobs ({}) and {} unpacked layers removed, {} unpacked layers are in use",
                pruned.blobs,
                size(pruned.bytes),
                pruned.layers,
                pruned.in_use
            ));
            printer.data(&json!({"blobs": pruned.blobs, "bytes": pruned.bytes, "layers": pruned.layers, "inUse": pruned.in_use}));
            Ok(())
        }
    }
}

async fn export(settings: &Settings, reference: String, file: PathBuf) -> anyhow::Result<Image> {
    let store = images::store(settings)?;
    Ok(tokio::task::spawn_blocking(move || store.export(&reference, file)).await??)
}

/// Archives of everything that the demo needs, whatever the background work is to be, and the values that name them.
async fn export_demo(folder: &Path, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let recipes = images::recipes(&crate::apps::bundle(None)?)?;
    let builder = images::builder(settings, recipes, false, |_| {})?;
    let mut rows = Vec::new();
    let mut names = toml::Table::new();
    for name in images::OF_THE_DEMO.into_iter().chain(["chaos"]) {
        let step = printer.step("export", name);
        let begun = Instant::now();
        let built = builder
            .build(name)
            .await
            .with_context(|| format!("failed to build image `{name}`"))?;
        let file = folder.join(format!("{name}.tar"));
        let image = export(settings, built.reference.to_string(), file.clone()).await?;
        step.done(begun.elapsed(), &image.name);
        names.insert(name.to_owned(), image.name.clone().into());
        rows.push(json!({"image": describe(&image), "file": file}));
    }
    let values = folder.join("values.toml");
    let text = toml::to_string(&toml::Table::from_iter([("images".to_owned(), names.into())]))?;
    std::fs::write(&values, text).with_context(|| format!("failed to write {}", values.display()))?;
    printer.text(format!(
        "Next       the archives to every node (ctr -n k8s.io images import FILE, kind load image-archive FILE, …), then\n           \
         cncfdemo start --context NAME --values {}",
        values.display()
    ));
    printer.data(&json!({"images": rows, "values": values}));
    Ok(())
}

async fn build(
    wanted: Vec<String>,
    dry_run: bool,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<()> {
    let mut recipes = images::recipes(&crate::apps::bundle(None)?)?;
    let mut names = Vec::new();
    for name in wanted {
        let is_path = name.contains('/') || name.contains(".toml");
        names.push(if is_path {
            recipes.load(name.as_ref())?
        } else {
            name
        });
    }
    if names.is_empty() {
        // `base` is a layer of the others, not an image that anybody runs.
        names = recipes
            .names()
            .filter(|n| *n != "base")
            .map(str::to_owned)
            .collect();
    }
    let builder = images::builder(settings, recipes, dry_run, |_| {})?;
    let mut rows = Vec::new();
    for name in names {
        let step = printer.step("build", &name);
        let built = builder
            .build(&name)
            .await
            .with_context(|| format!("failed to build image `{name}`"))?;
        let Built {
            reference,
            image,
            cached,
            packages,
            downloaded,
            elapsed,
        } = built;
        let how = if cached {
            "built before".to_owned()
        } else {
            format!("{} downloaded", size(downloaded))
        };
        step.done(
            elapsed,
            &format!("{reference}  {} packages, {how}", packages.len()),
        );
        if dry_run {
            for package in &packages {
                printer.text(format!(
                    "{:<40} {} {}",
                    package.name,
                    package.version,
                    if package.base { "(base)" } else { "" }
                ));
            }
        }
        rows.push(json!({
            "name": reference.to_string(), "digest": image.map(|i| i.digest.to_string()), "cached": cached,
            "downloadedBytes": downloaded, "seconds": elapsed.as_secs_f64(), "packages": packages,
        }));
    }
    printer.data(&Value::Array(rows));
    Ok(())
}

fn list(settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let found = images::store(settings)?.list()?;
    if found.is_empty() {
        printer.text("no images: `cncfdemo image build` makes those of the demo, `cncfdemo image import FILE` takes an archive");
    }
    for image in &found {
        printer.text(format!(
            "{:<64} {:<19} {:>9}",
            image.name,
            short(&image.digest.to_string()),
            size(image.size)
        ));
    }
    printer.data(&Value::Array(found.iter().map(describe).collect()));
    Ok(())
}

fn show(images: &[Image], verb: &str, printer: &Printer) {
    for image in images {
        printer.text(format!("{verb} {} {}", image.name, image.digest));
    }
    printer.data(&Value::Array(images.iter().map(describe).collect()));
}

fn describe(image: &Image) -> Value {
    json!({
        "name": image.name, "digest": image.digest.to_string(), "size": image.size,
        "architecture": image.architecture, "layers": image.layers.len(),
    })
}

/// `sha256:0123456789ab`.
fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}

fn size(bytes: u64) -> String {
    match bytes {
        b if b < 1_000_000 => format!("{:.0} kB", b as f64 / 1e3),
        b => format!("{:.1} MB", b as f64 / 1e6),
    }
}
