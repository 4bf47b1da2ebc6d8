//! The demo's images, built into the store that all local clusters share.
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use deploy::{Bundle, Values};
use image::{BuildOptions, Builder, Mirrors, Progress, Recipes, Store};
use serde_json::Value;

use crate::exit::Hinted;
use crate::printer::Printer;
use crate::profile;
use crate::settings::Settings;

/// Images that `start` can need: the recipe's folder, which is also the name that templates use.
pub const OF_THE_DEMO: [&str; 8] = [
    "self",
    "prometheus",
    "pushgateway",
    "node-exporter",
    "redis",
    "wrk",
    "docking",
    "boinc",
];

/// The images that the steps of these values use.
fn needed(values: &Values) -> Vec<&'static str> {
    let work = values.get("background.work").and_then(|v| v.as_str());
    let app = profile::app(values);
    let is_needed = |name: &&str| match *name {
        "redis" => app == "tally",
        "docking" => work == Some("vina"),
        "boinc" => work == Some("boinc"),
        _ => true,
    };
    OF_THE_DEMO.into_iter().filter(is_needed).collect()
}

/// The name of an image that nobody has named yet.
fn unnamed(name: &str) -> String {
    format!("cncfdemo.local/{name}:to-be-built")
}

/// Names, for images that nobody has named yet, so that templates can be rendered.
pub fn stand_in(values: &mut Values) {
    for name in OF_THE_DEMO {
        if values.get(&format!("images.{name}")).is_none() {
            values.insert(&format!("images.{name}"), unnamed(name).into());
        }
    }
}

/// Fails when objects use an image that nobody has named: only a local cluster gets them from here.
pub fn check(rendered: &[Value]) -> anyhow::Result<()> {
    let text = serde_json::to_string(rendered)?;
    let missing: Vec<String> = OF_THE_DEMO
        .into_iter()
        .filter(|name| text.contains(&unnamed(name)))
        .map(|name| format!("images.{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Hinted {
        message: format!(
            "this cluster gets its images from a registry or its nodes, and no value names {}: nothing was changed",
            missing.join(", ")
        ),
        hint: "`cncfdemo image export --demo DIR` writes them as archives, with a file for --values; docs/design/images.md says how they get to the nodes"
            .to_owned(),
    }
    .into())
}

/// Opens the store.
pub fn store(settings: &Settings) -> anyhow::Result<Store> {
    Ok(Store::open(settings.state.join("images"))?)
}

/// The recipes of a bundle.
pub fn recipes(bundle: &Bundle) -> anyhow::Result<Recipes> {
    let mut recipes = Recipes::default();
    for folder in bundle.folders() {
        let Some(text) = bundle.get(&format!("{folder}/image.toml")) else {
            continue;
        };
        let text = std::str::from_utf8(text).with_context(|| format!("{folder}/image.toml is not text"))?;
        recipes.insert(folder, text, |file| {
            bundle.get(&format!("{folder}/{file}")).map(<[u8]>::to_vec)
        })?;
    }
    Ok(recipes)
}

/// A builder that tells its progress to `tell`.
pub fn builder(
    settings: &Settings,
    recipes: Recipes,
    dry_run: bool,
    tell: impl Fn(String) + Send + Sync + 'static,
) -> anyhow::Result<Builder> {
    let mut options = BuildOptions::new(settings.state.join("cache"))?;
    options.mirrors = Mirrors::of_host(Path::new("/"));
    options.accept_expired = Mirrors::host_accepts_expired(Path::new("/"));
    options.program = Some(std::env::current_exe()?);
    options.dry_run = dry_run;
    options.progress = Arc::new(move |progress| match progress {
        Progress::Metadata => tell("reading and verifying repository metadata".to_owned()),
        Progress::Downloading { done, total } => tell(format!("downloading package {done} of {total}")),
        Progress::Unpacking { packages: 0 } => tell("packing this program".to_owned()),
        Progress::Unpacking { packages } => tell(format!("unpacking {packages} packages")),
        Progress::Note(note) => tell(note),
        _ => {}
    });
    Ok(Builder::new(store(settings)?, recipes, options)?)
}

/// Builds what the demo needs and is not there yet, and puts the names into the values' `images`. Gives how long it took
/// and how many were built now.
pub async fn build_all(
    settings: &Settings,
    printer: &Printer,
    bundle: &Bundle,
    values: &mut Values,
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let step = Arc::new(printer.step("images", "from signed Debian packages"));
    let builder = {
        let (step, moving) = (step.clone(), settings.bars);
        builder(settings, recipes(bundle)?, false, move |text| {
            if moving {
                step.waiting(&text);
            }
        })?
    };
    // Metadata and the base layer are shared by builds of one builder, downloads overlap with unpacking.
    let names = needed(values);
    let builds = names.iter().map(|&name| {
        let builder = &builder;
        async move {
            builder
                .build(name)
                .await
                .with_context(|| format!("failed to build image `{name}`"))
        }
    });
    let mut fresh = 0;
    for (name, built) in names.iter().zip(futures::future::try_join_all(builds).await?) {
        fresh += usize::from(!built.cached);
        values.insert(&format!("images.{name}"), built.reference.to_string().into());
    }
    let summary = match fresh {
        0 => format!("{} images, all built before", names.len()),
        n => format!("{} images, {n} built now", names.len()),
    };
    let took = begun.elapsed();
    drop(builder);
    if let Ok(step) = Arc::try_unwrap(step) {
        step.done(took, &summary);
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_images_that_objects_use_have_to_be_named() {
        let mut values = Values::new();
        values.insert("images.redis", "example.com/redis:7".into());
        stand_in(&mut values);
        let image = |name: &str| json!({"image": values.get(&format!("images.{name}"))});
        assert!(check(&[image("redis")]).is_ok());
        let error = check(&[image("redis"), image("wrk")]).unwrap_err().to_string();
        assert!(error.contains("names images.wrk:"), "{error}");
    }

    #[test]
    fn only_what_the_application_needs_is_built() {
        let mut values = Values::new();
        assert!(
            needed(&values).contains(&"redis"),
            "tally is what runs unless another is named"
        );
        values.insert("app", "countly".into());
        assert!(!needed(&values).contains(&"redis"));
        assert!(needed(&values).contains(&"prometheus"));
    }
}
