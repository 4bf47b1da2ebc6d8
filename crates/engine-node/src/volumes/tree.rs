//! Folders of volumes: made, given to a group, unmounted and removed.
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

/// Unmounts and deletes the volumes of a pod from its folders alone.
pub fn remove(pod_dir: &Path, memory_dir: &Path) -> io::Result<()> {
    let base = pod_dir.join("volumes");
    for path in [&pod_dir.join("subpaths"), &base] {
        unmount_below(path)?;
        remove_tree(path)?;
    }
    remove_tree(memory_dir)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// Unmounts every mount point in a folder (two levels: volumes, and subpaths by container).
fn unmount_below(dir: &Path) -> io::Result<()> {
    let table = match fs::read_to_string("/proc/self/mountinfo") {
        Ok(table) if dir.exists() => table,
        _ => return Ok(()),
    };
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(unescape(path)))
        .filter(|path| path.starts_with(dir))
        .collect();
    points.sort();
    for point in points.iter().rev() {
        match unmount(point, UnmountFlags::DETACH) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(err) => return Err(err.into()),
        }
    }
    Ok(())
}

/// Octal escapes of mountinfo.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

/// A folder with its parents.
pub(super) fn make_dir(path: &Path, mode: u32) -> Result<(), String> {
    let text = |err: io::Error| format!("failed to create {}: {err}", path.display());
    fs::create_dir_all(path).map_err(text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(text)
}

/// Whether something is mounted on a folder.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let (Ok(own), Some(Ok(parent))) = (fs::metadata(path), path.parent().map(fs::metadata)) else {
        return false;
    };
    own.dev() != parent.dev()
}

/// Gives a tree to a group, as SetVolumeOwnership does: readable and writable for it, folders inherit it.
pub(super) fn own(path: &Path, gid: u32, on_mismatch: bool) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if on_mismatch && meta.gid() == gid && meta.mode() & 0o2770 == 0o2770 {
        return Ok(());
    }
    if meta.file_type().is_symlink() {
        return rustix::fs::chownat(
            rustix::fs::CWD,
            path,
            None,
            Some(rustix::fs::Gid::from_raw(gid)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(Into::into);
    }
    chown(path, None, Some(gid))?;
    let mut mode = meta.mode() & 0o7777 | 0o660;
    if meta.is_dir() {
        mode |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path(), gid, false)?;
        }
    }
    Ok(())
}
