//! A part of a volume as a mount of its own. The path is opened so that no link in it can lead out of the volume, and what was opened is
//! bind-mounted into the pod's folder: nothing that a container does later changes what is mounted (pkg/volume/util/subpath).
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::mount_bind;

/// Mounts `path` inside `volume` on `target` and returns it; a missing folder is made.
pub fn bind(volume: &Path, path: &str, target: &Path) -> Result<PathBuf, String> {
    if Path::new(path).is_absolute() || path.split('/').any(|part| part == "..") {
        return Err(format!("subPath \"{path}\" must be relative and without '..'"));
    }
    attempt(volume, path, target).map_err(|err| err.to_string())
}

fn attempt(volume: &Path, path: &str, target: &Path) -> io::Result<PathBuf> {
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let root = rustix::fs::open(
        volume,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let open = || {
        openat2(
            root.as_fd(),
            path,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            inside,
        )
    };
    let fd = match open() {
        Err(rustix::io::Errno::NOENT) => {
            make(&root, path, inside)?;
            open()?
        }
        other => other?,
    };
    let source = format!("/proc/self/fd/{}", fd.as_raw_fd());
    if fs::symlink_metadata(target).is_ok() {
        let _ = rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH);
    } else if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if fs::metadata(&source)?.is_dir() {
        fs::create_dir_all(target)?;
    } else if fs::symlink_metadata(target).is_err() {
        fs::File::create_new(target)?;
    }
    mount_bind(source.as_str(), target)?;
    Ok(target.to_owned())
}

/// Makes the missing folders one by one, each opened below the one before.
fn make(root: &rustix::fd::OwnedFd, path: &str, inside: ResolveFlags) -> io::Result<()> {
    // What is made has the mode of the volume's root, as upstream makes it; the umask is not ours to change.
    let mode = Mode::from_raw_mode(rustix::fs::fstat(root)?.st_mode & 0o2777);
    let mut at = String::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let parent = if at.is_empty() {
            rustix::io::dup(root)?
        } else {
            openat2(
                root.as_fd(),
                at.as_str(),
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                inside,
            )?
        };
        match rustix::fs::mkdirat(&parent, part, mode) {
            Ok(()) => {
                // Through a descriptor that is no link: a container may have put something else there meanwhile.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::fchmod(rustix::fs::openat(&parent, part, flags, Mode::empty())?, mode)?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(err) => return Err(err.into()),
        }
        if !at.is_empty() {
            at.push('/');
        }
        at.push_str(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_leave_the_volume_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        fs::create_dir(&volume).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        let target = dir.path().join("t");
        assert!(bind(&volume, "out", &target).is_err());
        assert!(bind(&volume, "../x", &target).is_err());
        assert!(bind(&volume, "out/new", &target).is_err());
        let root = rustix::fs::open(&volume, OFlags::PATH, Mode::empty()).unwrap();
        make(&root, "a/b", ResolveFlags::BENEATH).unwrap();
        assert!(volume.join("a/b").is_dir());
    }
}
