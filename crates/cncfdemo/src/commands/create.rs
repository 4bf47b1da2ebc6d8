//! `cncfdemo create`: objects from files, templates and arguments, as `kubectl create` makes them.
use std::path::{Path, PathBuf};

use deploy::{Applier, ConfigMapSource, Manifest, Templates, Values, config_map};
use serde_json::Value;

use crate::cli::{Create, CreateConfigMap, CreateFiles, CreateWhat};
use crate::cluster;
use crate::exit::NotFound;
use crate::printer::Printer;
use crate::settings::Settings;

/// Runs the command.
pub async fn run(args: Create, settings: &Settings, printer: &Printer) -> anyhow::Result<()> {
    let (manifests, namespace, dry_run, debug) = match args.what {
        Some(CreateWhat::Configmap(args)) => {
            (vec![configmap(&args)?], args.namespace, args.dry_run, args.debug)
        }
        None => {
            let manifests = files(&args.files)?;
            (
                manifests,
                args.files.namespace,
                args.files.dry_run,
                args.files.debug,
            )
        }
    };
    if debug {
        for manifest in &manifests {
            printer.raw(
                format!(
                    "---\n# {}\n{}",
                    manifest.origin,
                    serde_saphyr::to_string(&manifest.object)?
                )
                .as_bytes(),
            );
        }
        return Ok(());
    }
    let applier = Applier::new(cluster::client(settings).await?, &namespace, dry_run);
    let mut failure = None;
    let mut made = Vec::new();
    for result in applier.create(&manifests).await {
        match result {
            Ok(outcome) => {
                let suffix = if dry_run { " (server dry run)" } else { "" };
                printer.text(format!("{}/{} created{suffix}", outcome.resource, outcome.name));
                made.push(outcome.object);
            }
            // All are tried and each failure is said; the first decides the exit code.
            Err(e) if failure.is_none() => failure = Some(e),
            Err(e) => printer.failure(&e.into()),
        }
    }
    printer.data(&Value::Array(made));
    failure.map_or(Ok(()), |e| Err(e.into()))
}

fn configmap(args: &CreateConfigMap) -> Result<Manifest, deploy::Error> {
    let sources: Vec<ConfigMapSource> = args
        .from_file
        .iter()
        .cloned()
        .map(ConfigMapSource::File)
        .chain(args.from_literal.iter().cloned().map(ConfigMapSource::Literal))
        .chain(args.from_env_file.iter().cloned().map(ConfigMapSource::EnvFile))
        .collect();
    let object = config_map(&args.name, None, &sources)?;
    Ok(Manifest {
        origin: "arguments".to_owned(),
        object,
    })
}

fn files(args: &CreateFiles) -> anyhow::Result<Vec<Manifest>> {
    let mut values = Values::new();
    if let Some(file) = &args.values {
        values.merge_toml(&file.display().to_string(), &read(file)?)?;
    }
    for assignment in &args.set {
        values.set(assignment)?;
    }
    let templates = Templates::default();
    let mut manifests = Vec::new();
    for path in found(&args.filename, args.recursive)? {
        let name = path.display().to_string();
        let mut text = read(&path)?;
        if name.ends_with(".j2") {
            text = templates.render(&name, &text, &values)?;
        }
        manifests.extend(deploy::parse(&name, &text)?);
    }
    if manifests.is_empty() {
        return Err(NotFound("no objects in what --filename names".to_owned()).into());
    }
    Ok(manifests)
}

/// Files as given; of folders the manifests and templates in them, sorted, with -R also below.
fn found(given: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    let wanted = |path: &Path| {
        let name = path.to_string_lossy();
        let name = name.strip_suffix(".j2").unwrap_or(&name).to_owned();
        [".yaml", ".yml", ".json"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
    };
    let mut files = Vec::new();
    for path in given {
        if !path.exists() {
            return Err(NotFound(format!("the path \"{}\" does not exist", path.display())).into());
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut entries = std::fs::read_dir(path)?
            .map(|e| Ok(e?.path()))
            .collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        let (folders, own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|p| p.is_dir());
        files.extend(own.into_iter().filter(|p| wanted(p)));
        if recursive {
            files.extend(found(&folders, true)?);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, deploy::Error> {
    std::fs::read_to_string(path).map_err(|source| deploy::Error::Read {
        path: path.display().to_string(),
        source,
    })
}
