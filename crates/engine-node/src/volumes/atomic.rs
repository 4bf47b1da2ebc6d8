//! Writes a set of files so that a reader sees all of the old or all of the new ones: a fresh timestamped folder, and one rename of the
//! `..data` link (pkg/volume/util/atomic_writer.go).
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner, if not root.
    pub uid: Option<u32>,
}

/// Files by relative path.
pub type Payload = BTreeMap<String, File>;

/// Makes `dir` hold exactly `payload`; true if anything was changed.
pub fn write(dir: &Path, payload: &Payload, gid: Option<u32>) -> io::Result<bool> {
    for path in payload.keys() {
        check(path)?;
    }
    let current = fs::read_link(dir.join(DATA)).ok();
    if let Some(current) = &current
        && matches(&dir.join(current), payload, gid)?
    {
        return Ok(false);
    }
    let fresh = unique(dir)?;
    let root = dir.join(&fresh);
    fill(&root, payload, gid)?;
    let new_link = dir.join(DATA_NEW);
    let _ = fs::remove_file(&new_link);
    symlink(&fresh, &new_link)?;
    fs::rename(&new_link, dir.join(DATA))?;
    let top = |path: &'_ str| path.split('/').next().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = payload.keys().map(|path| top(path)).collect();
    for (path, file) in payload {
        let name = top(path);
        let link = dir.join(&name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(&name), &link)?;
            if file.uid.is_some() {
                lchown(&link, file.uid, None)?;
            }
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name == DATA || name == fresh || wanted.contains(name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(true)
}

/// A path stays below the volume and does not touch the writer's own names.
fn check(path: &str) -> io::Result<()> {
    let bad = path.is_empty()
        || path.starts_with("..")
        || Path::new(path)
            .components()
            .any(|part| !matches!(part, Component::Normal(_)));
    if bad {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("invalid path {path:?}"),
        ))
    } else {
        Ok(())
    }
}

fn unique(dir: &Path) -> io::Result<String> {
    for _ in 0..100 {
        let stamp = Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S").to_string();
        let name = format!("..{stamp}.{:010}", rand::random::<u32>());
        match fs::create_dir(dir.join(&name)) {
            Ok(()) => return Ok(name),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err),
        }
    }
    Err(io::Error::other("no unused name for the new folder"))
}

fn fill(root: &Path, payload: &Payload, gid: Option<u32>) -> io::Result<()> {
    let folder = |path: &Path| {
        fs::set_permissions(
            path,
            fs::Permissions::from_mode(if gid.is_some() { 0o2755 } else { 0o755 }),
        )?;
        chown(path, None, gid)
    };
    folder(root)?;
    for (path, file) in payload {
        let target = root.join(path);
        let mut made = Vec::new();
        let mut parent = target.parent();
        while let Some(at) = parent.filter(|at| *at != root && !at.exists()) {
            made.push(at.to_owned());
            parent = at.parent();
        }
        for at in made.iter().rev() {
            fs::create_dir(at)?;
            folder(at)?;
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&target)?;
        out.write_all(&file.content)?;
        if file.uid.is_some() || gid.is_some() {
            chown(&target, file.uid, gid)?;
        }
        out.set_permissions(fs::Permissions::from_mode(mode(file, gid)))?;
    }
    Ok(())
}

/// With an `fsGroup` the group may read what is read-only for it (SetVolumeOwnership).
fn mode(file: &File, gid: Option<u32>) -> u32 {
    if gid.is_some() {
        file.mode | 0o440
    } else {
        file.mode
    }
}

fn matches(root: &Path, payload: &Payload, gid: Option<u32>) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    list(root, root, &mut found)?;
    if found.len() != payload.len() {
        return Ok(false);
    }
    for (path, file) in payload {
        if !found.contains(path) {
            return Ok(false);
        }
        let at = root.join(path);
        if fs::metadata(&at)?.permissions().mode() & 0o7777 != mode(file, gid)
            || fs::read(&at)? != file.content
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list(root: &Path, dir: &Path, found: &mut BTreeSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            list(root, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.insert(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |content: &str| File {
            content: content.into(),
            mode: 0o644,
            uid: None,
        };
        files
            .iter()
            .map(|(path, content)| ((*path).to_owned(), file(content)))
            .collect()
    }

    #[test]
    fn replaces_everything_by_one_rename() {
        let dir = tempfile::tempdir().unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path));
        assert!(write(dir.path(), &payload(&[("a", "1"), ("sub/b", "2")]), None).unwrap());
        assert_eq!(
            (read("a").unwrap(), read("sub/b").unwrap()),
            ("1".into(), "2".into())
        );
        let first = fs::read_link(dir.path().join(DATA)).unwrap();
        assert!(!write(dir.path(), &payload(&[("a", "1"), ("sub/b", "2")]), None).unwrap());
        assert_eq!(fs::read_link(dir.path().join(DATA)).unwrap(), first);
        assert!(write(dir.path(), &payload(&[("a", "new")]), None).unwrap());
        assert_eq!(read("a").unwrap(), "new");
        assert!(read("sub/b").is_err());
        assert!(!dir.path().join(first).exists());
        assert_eq!(
            fs::read_link(dir.path().join("a")).unwrap(),
            Path::new("..data/a")
        );
    }

    #[test]
    fn refuses_paths_that_leave() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["../x", "/x", "a/../../x", "..data", ""] {
            assert!(
                write(dir.path(), &payload(&[(path, "")]), None).is_err(),
                "{path}"
            );
        }
    }

    #[test]
    fn modes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = payload(&[("k", "v")]);
        files.get_mut("k").unwrap().mode = 0o400;
        write(dir.path(), &files, None).unwrap();
        assert_eq!(
            fs::metadata(dir.path().join("k")).unwrap().permissions().mode() & 0o777,
            0o400
        );
    }

    #[test]
    fn who_owns_a_file_owns_what_leads_to_it() {
        use std::os::unix::fs::MetadataExt as _;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut files = payload(&[("d/token", "t"), ("other", "o")]);
        files.get_mut("d/token").unwrap().uid = Some(1000);
        write(dir.path(), &files, None).unwrap();
        let owner = |path: &str| fs::symlink_metadata(dir.path().join(path)).unwrap().uid();
        assert_eq!(["d", "d/token", "other"].map(owner), [1000, 1000, 0]);
    }
}
