use std::collections::BTreeMap;
use std::path::Path;

use crate::Error;

/// One file of a bundle.
#[derive(Debug, Clone)]
pub struct File {
    /// Path below the bundle's root, `/`-separated.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// A folder tree of apps, from the binary or from disk.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// A bundle of these files.
    pub fn new(files: impl IntoIterator<Item = File>) -> Self {
        Self {
            files: files.into_iter().map(|f| (f.path, f.bytes)).collect(),
        }
    }

    /// Reads a folder with everything below it.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let failed = |source| Error::Read {
                path: folder.display().to_string(),
                source,
            };
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).map_err(|source| Error::Read {
                    path: path.display().to_string(),
                    source,
                })?;
                let below = path.strip_prefix(root).unwrap_or(&path);
                files.insert(below.to_string_lossy().replace('\\', "/"), bytes);
            }
        }
        Ok(Self { files })
    }

    /// A file's content.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Files below a folder (`prometheus/`), in order of their paths.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let prefix = format!("{}/", folder.trim_end_matches('/'));
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Names of the top-level folders, sorted.
    pub fn folders(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .files
            .keys()
            .filter_map(|p| p.split_once('/'))
            .map(|(top, _)| top)
            .collect();
        names.dedup();
        names
    }
}
