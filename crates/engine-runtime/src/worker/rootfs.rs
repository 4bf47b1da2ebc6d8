//! A container's root: an overlay of the image's layers and a writable one.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags,
};
use rustix::thread::UnshareFlags;

use super::Files;
use crate::{Error, Result, sys};

/// mount(2) takes one page of options; beyond that the layers are passed one by one (Linux 6.5).
const LONGEST: usize = 3900;

/// Takes this process, and what it starts, into a mount namespace of its own, into which the host's mounts still come. A root that is
/// mounted there is the container's alone and goes with it; were it the host's, everybody's table of mounts would grow by every
/// container. libcontainer reads that table ten times to start one, so the network namespaces of all other pods, mounted in `netns`, go
/// out of it too.
pub fn apart(netns: &Path) -> Result<()> {
    let failed = |e: rustix::io::Errno| Error::io("make a mount namespace", e);
    sys::unshare(UnshareFlags::NEWNS).map_err(failed)?;
    let downstream = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", downstream).map_err(failed)?;
    unmount(netns)
}

/// Mounts `lower` (top first) with the folder's `upper` on its `rootfs`.
pub fn mount(files: &Files, lower: &[PathBuf]) -> Result<()> {
    let (rootfs, upper, work) = (files.rootfs(), files.upper(), files.work());
    for folder in [&rootfs, &upper, &work] {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(format!("create {}", folder.display()), e))?;
    }
    if let Some(missing) = lower.iter().find(|l| !l.is_dir()) {
        return Err(Error::Internal(format!(
            "image layer {} is missing",
            missing.display()
        )));
    }
    let mut options = b"lowerdir=".to_vec();
    for (n, layer) in lower.iter().enumerate() {
        if n > 0 {
            options.push(b':');
        }
        escape(&mut options, layer.as_os_str());
    }
    options.extend(b",upperdir=");
    escape(&mut options, upper.as_os_str());
    options.extend(b",workdir=");
    escape(&mut options, work.as_os_str());

    let failed = |e: rustix::io::Errno| {
        Error::Internal(format!(
            "mount overlay of {} layers on {}: {e}",
            lower.len(),
            rootfs.display()
        ))
    };
    if options.len() > LONGEST {
        return mount_many(&rootfs, &upper, &work, lower).map_err(failed);
    }
    // A container's own layer does not survive a crash of the machine anyway; without `volatile` every unmount would wait for the
    // whole file system to be written out.
    let with_volatile = [&options[..], b",volatile"].concat();
    mount_with(&rootfs, with_volatile)
        .or_else(|e| {
            if e == rustix::io::Errno::INVAL {
                mount_with(&rootfs, options)
            } else {
                Err(e)
            }
        })
        .map_err(failed)
}

fn mount_with(rootfs: &Path, options: Vec<u8>) -> rustix::io::Result<()> {
    let options = std::ffi::CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
    rustix::mount::mount(
        "overlay",
        rootfs,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
}

fn mount_many(rootfs: &Path, upper: &Path, work: &Path, lower: &[PathBuf]) -> rustix::io::Result<()> {
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "overlay")?;
    for layer in lower {
        rustix::mount::fsconfig_set_string(&fs, "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_set_string(&fs, "upperdir", upper)?;
    rustix::mount::fsconfig_set_string(&fs, "workdir", work)?;
    rustix::mount::fsconfig_set_flag(&fs, "volatile")?;
    rustix::mount::fsconfig_create(&fs)?;
    let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    rustix::mount::move_mount(
        &mount,
        "",
        rustix::fs::CWD,
        rootfs,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// overlayfs splits its options at `:` and `,`.
fn escape(out: &mut Vec<u8>, path: &OsStr) {
    for &byte in path.as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Unmounts, even if somebody still uses it; fine if nothing is mounted.
pub fn unmount(rootfs: &Path) -> Result<()> {
    use rustix::io::Errno;
    match rustix::mount::unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(e) => Err(Error::io(format!("unmount {}", rootfs.display()), e)),
    }
}

/// Opens a path as the container would, whatever symbolic links say.
fn open_in(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    rustix::fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// The user's home according to the container's `/etc/passwd`; `/` if it says nothing, as runc.
pub fn home(rootfs: &Path, uid: u32) -> String {
    let mut text = String::new();
    let read = rustix::fs::open(
        rootfs,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .and_then(|root| open_in(root, Path::new("etc/passwd"), OFlags::RDONLY | OFlags::NONBLOCK));
    if let Ok(file) = read {
        let file = std::fs::File::from(file);
        if file.metadata().is_ok_and(|m| m.is_file()) {
            let _ = file.take(1 << 20).read_to_string(&mut text);
        }
    }
    home_in(&text, uid).unwrap_or_else(|| "/".into())
}

fn home_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.len() >= 6 && fields[2].parse() == Ok(uid) && !fields[5].is_empty())
            .then(|| fields[5].to_owned())
    })
}

/// Makes the working directory if the image lacks it, as runc does.
pub fn ensure_cwd(rootfs: &Path, cwd: &str) -> Result<()> {
    let failed = |e| Error::Start(format!("mkdir {cwd}: {e}"));
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let root = rustix::fs::open(rootfs, flags | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let mut done = PathBuf::from(".");
    for part in Path::new(cwd).components() {
        let std::path::Component::Normal(name) = part else {
            continue;
        };
        let parent = open_in(&root, &done, flags).map_err(failed)?;
        done.push(name);
        match open_in(&root, &done, OFlags::PATH) {
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
            }
            other => drop(other.map_err(failed)?),
        }
    }
    Ok(())
}

/// Writes a JSON file.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format!("write {}", path.display()), e);
    let bytes = serde_json::to_vec(value).map_err(|e| Error::Internal(e.to_string()))?;
    let mut file = std::fs::File::create(path).map_err(failed)?;
    file.write_all(&bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_come_from_passwd() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nredis:x:101:101::/var/lib/redis:/bin/false\n";
        assert_eq!(home_in(text, 101).as_deref(), Some("/var/lib/redis"));
        assert_eq!(home_in(text, 7), None);
    }

    #[test]
    fn options_are_escaped() {
        let mut out = Vec::new();
        escape(&mut out, OsStr::new("/a:b,c\\d"));
        assert_eq!(out, b"/a\\:b\\,c\\\\d");
    }

    #[test]
    fn passwd_links_do_not_leave_the_root() {
        let dir = std::env::temp_dir().join(format!("rt-home-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("etc")).expect("create");
        std::os::unix::fs::symlink("/etc/passwd", dir.join("etc/passwd")).expect("link");
        // Inside, the link points at itself, so that there is nothing to read.
        assert_eq!(home(&dir, 0), "/");
        ensure_cwd(&dir, "/srv/deep/er").expect("made");
        assert!(dir.join("srv/deep/er").is_dir());
        std::fs::remove_dir_all(&dir).expect("remove");
    }
}
