//! Image builds from Debian packages: nothing cached, packages cached, nothing changed.
use std::fs;
use std::path::Path;

use anyhow::ensure;

use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};
use crate::subject::Subject;
use crate::table::Table;

/// A server with libraries on a base layer: what the demo is made of.
const RECIPE: &str = "redis";

/// Measures builds of one of the demo's images.
pub async fn measure(settings: &Settings, table: &mut Table) {
    table
        .group(settings, "images", async || {
            tokio::task::block_in_place(|| builds(settings))
        })
        .await;
}

fn builds(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let subject = Subject::new(settings)?;
    let (cold, built) = subject.build(RECIPE)?;
    let digest = built["digest"].clone();
    let packages = built["packages"].as_array().map_or(0, Vec::len);
    let downloaded = built["downloadedBytes"].as_f64().unwrap_or(0.0);
    ensure!(
        digest.is_string() && downloaded > 0.0,
        "a cold build downloaded nothing: {built}"
    );
    let note = format!(
        "image `{RECIPE}` with {packages} packages and their signatures checked, by the command from start to end"
    );
    let mut rows = vec![
        Row::new(
            "image build, cold",
            format!(
                "{} ({:.1} MB downloaded)",
                time(cold.as_secs_f64()),
                downloaded / 1e6
            ),
            1,
        )
        .value("seconds", cold.as_secs_f64())
        .value("downloaded_bytes", downloaded)
        .note(note)
        .note("empty cache, so it depends on the mirror and the network"),
    ];

    let mut warm = Vec::new();
    for _ in 0..settings.runs(5, 2) {
        // Packages and indexes stay; images, layers and what was built from them go.
        for gone in ["images", "cache/builds"] {
            remove(&subject.state().join(gone))?;
        }
        let (took, built) = subject.build(RECIPE)?;
        ensure!(
            built["cached"] == false,
            "a build without its results was taken for done: {built}"
        );
        ensure!(
            built["digest"] == digest,
            "the same packages gave {} and {digest}",
            built["digest"]
        );
        warm.push(took);
    }
    let warm = Samples::seconds(&warm);
    rows.push(
        Row::new(
            "image build, warm (packages cached)",
            median_and_most(&warm),
            warm.len(),
        )
        .value("median_s", warm.median())
        .goal("< 5 s", warm.median() < 5.0)
        .note("same digest as the cold build, each time"),
    );

    let mut unchanged = Vec::new();
    for _ in 0..settings.runs(10, 3) {
        let (took, built) = subject.build(RECIPE)?;
        ensure!(
            built["cached"] == true,
            "an unchanged image was built again: {built}"
        );
        unchanged.push(took);
    }
    let unchanged = Samples::seconds(&unchanged);
    rows.push(
        Row::new(
            "image build, unchanged",
            median_and_most(&unchanged),
            unchanged.len(),
        )
        .value("median_s", unchanged.median()),
    );
    Ok(rows)
}

fn median_and_most(samples: &Samples) -> String {
    format!(
        "median {}, longest {}",
        time(samples.median()),
        time(samples.most())
    )
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
