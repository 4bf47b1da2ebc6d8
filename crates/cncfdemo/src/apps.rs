//! The demo's app folders, embedded in the binary.
use std::path::Path;

use deploy::{Bundle, File, Values};
use include_dir::{Dir, include_dir};

static APPS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../../apps");

/// The bundle in this binary, or the one in a folder.
pub fn bundle(folder: Option<&Path>) -> Result<Bundle, deploy::Error> {
    match folder {
        Some(folder) => Bundle::read(folder),
        None => Ok(Bundle::new(files(&APPS))),
    }
}

fn files(dir: &'static Dir<'static>) -> Vec<File> {
    let mut found: Vec<File> = dir
        .files()
        .map(|f| File {
            path: f.path().to_string_lossy().into_owned(),
            bytes: f.contents().to_vec(),
        })
        .collect();
    for below in dir.dirs() {
        found.extend(files(below));
    }
    found
}

/// The values of the bundle's `values.toml`, a values file over it, and single settings over both.
pub fn values(bundle: &Bundle, file: Option<&Path>, set: &[String]) -> Result<Values, deploy::Error> {
    let mut values = Values::new();
    if let Some(bytes) = bundle.get("values.toml") {
        values.merge_toml("values.toml", &String::from_utf8_lossy(bytes))?;
    }
    if let Some(file) = file {
        let origin = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|source| deploy::Error::Read {
            path: origin.clone(),
            source,
        })?;
        values.merge_toml(&origin, &text)?;
    }
    for assignment in set {
        values.set(assignment)?;
    }
    Ok(values)
}
