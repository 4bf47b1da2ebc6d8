//! Small files.
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use preflight::facts::ConfFile;

/// No file of configuration is longer; a longer one is cut.
const LIMIT: u64 = 256 << 10;

/// A file's text, or nothing. Bytes that are no text are replaced.
pub(crate) fn read(path: impl AsRef<Path>) -> Option<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    // A pipe or device in place of a file would never end.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    file.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file's text without blanks around it, empty where there is none.
pub(crate) fn word(path: impl AsRef<Path>) -> String {
    read(path).unwrap_or_default().trim().to_owned()
}

/// The end of a file.
pub(crate) fn tail(path: &Path, bytes: u64) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes))).ok()?;
    let mut end = Vec::new();
    file.take(bytes).read_to_end(&mut end).ok()?;
    Some(String::from_utf8_lossy(&end).into_owned())
}

/// A file with where it leads.
pub(crate) fn conf(path: &Path) -> ConfFile {
    ConfFile {
        path: path.display().to_string(),
        link: fs::read_link(path).ok().map(|l| l.display().to_string()),
        text: read(path),
        ..ConfFile::default()
    }
}

/// The files of a folder, by name.
pub(crate) fn folder(path: impl AsRef<Path>) -> Option<Vec<ConfFile>> {
    let mut found: Vec<ConfFile> = names(path.as_ref())?
        .iter()
        .map(|name| path.as_ref().join(name))
        .filter(|p| fs::symlink_metadata(p).is_ok_and(|m| !m.is_dir()))
        .map(|p| conf(&p))
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Some(found)
}

/// The names in a folder, sorted.
pub(crate) fn names(path: impl AsRef<Path>) -> Option<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(path)
        .ok()?
        .filter_map(Result::ok)
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Some(names)
}

/// The files of a folder of configuration in all places where systemd looks, below `root`.
pub(crate) fn conf_folders(folder_name: &str) -> Vec<ConfFile> {
    let mut places = vec!["/etc", "/run", "/usr/local/lib", "/usr/lib"];
    // On systems with a merged /usr the same files would be seen twice.
    if fs::symlink_metadata("/lib").is_ok_and(|m| !m.is_symlink()) {
        places.push("/lib");
    }
    places
        .into_iter()
        .filter_map(|place| folder(Path::new(place).join(folder_name)))
        .flatten()
        .collect()
}
