//! A layer's tar to a folder that overlayfs takes as a lower directory.
//!
//! Everything happens below one directory descriptor: parents are opened with `openat2(RESOLVE_IN_ROOT)`, so that a symlink of the
//! layer resolves inside the layer as it would in the container, and the last component is never followed. Whiteouts take overlayfs'
//! form (a character device 0:0, `overlay.opaque`), as containerd's overlay snapshotter writes them.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, StatxFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::store::copy;

/// Unpacks `tar` into the existing empty folder `root`.
pub(crate) fn layer(tar: impl Read, root: &Path) -> io::Result<()> {
    let root = rustix::fs::open(
        root,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let privileged = rustix::process::geteuid().is_root();
    let mut unpacker = Unpacker {
        root,
        privileged,
        parent: None,
        folders: Vec::new(),
    };
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        unpacker
            .entry(&mut entry)
            .map_err(|e| io::Error::new(e.kind(), format!("entry `{name}`: {e}")))?;
    }
    unpacker.finish()
}

struct Unpacker {
    root: OwnedFd,
    privileged: bool,
    /// The parent of the last entry: entries come folder by folder.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Folders whose times are set at the end, when nothing is created in them any more.
    folders: Vec<(Vec<u8>, i64)>,
}

impl Unpacker {
    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let path = normalise(&entry.path_bytes())?;
        let kind = entry.header().entry_type();
        if matches!(kind, tar::EntryType::XGlobalHeader | tar::EntryType::XHeader) {
            return Ok(());
        }
        let about = About::read(entry)?;
        let Some((folder, name)) = split(&path) else {
            // The root itself.
            let root = self.root.try_clone()?;
            return self.finish_folder(&root, path, &about);
        };
        let (folder, name) = (folder.to_vec(), name.to_vec());
        let parent = self.parent(&folder)?;
        if let Some(hidden) = name.strip_prefix(b".wh.") {
            return self.whiteout(&parent, hidden);
        }
        match kind {
            tar::EntryType::Directory => {
                let existing = kind_of(&parent, &name)?;
                if existing != Some(FileType::Directory) {
                    let was_whiteout = existing.is_some() && is_whiteout(&parent, &name)?;
                    self.clear(&parent, &name)?;
                    rustix::fs::mkdirat(&parent, name.as_slice(), Mode::from_raw_mode(0o700))?;
                    if was_whiteout {
                        self.opaque(&open_folder(&parent, &name)?)?;
                    }
                }
                let folder = open_folder(&parent, &name)?;
                return self.finish_folder(&folder, path, &about);
            }
            tar::EntryType::Symlink => {
                let target = entry
                    .link_name_bytes()
                    .ok_or_else(|| invalid("a symlink without a target"))?;
                self.clear(&parent, &name)?;
                rustix::fs::symlinkat(&*target, &parent, name.as_slice())?;
                self.own(&parent, &name, &about)?;
            }
            tar::EntryType::Link => {
                let target = entry
                    .link_name_bytes()
                    .ok_or_else(|| invalid("a hard link without a target"))?;
                let target = normalise(&target)?;
                let (from, last) = split(&target).ok_or_else(|| invalid("a hard link to the root"))?;
                let (from, last) = (from.to_vec(), last.to_vec());
                let from = self.parent(&from)?;
                if target != path {
                    self.clear(&parent, &name)?;
                    // No AT_SYMLINK_FOLLOW: a link to a symlink is a second name of the symlink.
                    rustix::fs::linkat(&from, last.as_slice(), &parent, name.as_slice(), AtFlags::empty())
                        .map_err(|e| {
                            io::Error::new(
                                io::Error::from(e).kind(),
                                format!("hard link to `{}`: {e}", String::from_utf8_lossy(&target)),
                            )
                        })?;
                }
                // Owner, mode and time are the target's.
                return Ok(());
            }
            tar::EntryType::Char | tar::EntryType::Block | tar::EntryType::Fifo => {
                let file_type = match kind {
                    tar::EntryType::Char => FileType::CharacterDevice,
                    tar::EntryType::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let (major, minor) = (entry.header().device_major()?, entry.header().device_minor()?);
                let device = rustix::fs::makedev(major.unwrap_or(0), minor.unwrap_or(0));
                self.clear(&parent, &name)?;
                match rustix::fs::mknodat(&parent, name.as_slice(), file_type, about.mode, device) {
                    Err(Errno::PERM) if !self.privileged => return Ok(()),
                    made => made?,
                }
                self.own(&parent, &name, &about)?;
                rustix::fs::chmodat(&parent, name.as_slice(), about.mode, AtFlags::empty())?;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                self.clear(&parent, &name)?;
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&parent, name.as_slice(), flags, Mode::from_raw_mode(0o600))?;
                let mut file = std::fs::File::from(file);
                copy(entry, &mut file)?;
                if self.privileged {
                    rustix::fs::fchown(&file, Some(about.uid), Some(about.gid))?;
                }
                // After the owner: changing it clears setuid and capabilities.
                rustix::fs::fchmod(&file, about.mode)?;
                self.attributes(&file, &about)?;
                rustix::fs::futimens(&file, &times(about.mtime))?;
                return Ok(());
            }
            other => return Err(invalid(&format!("entry type {other:?} is not supported"))),
        }
        rustix::fs::utimensat(
            &parent,
            name.as_slice(),
            &times(about.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        Ok(())
    }

    /// Opens the folder in which an entry lives, creating what the layer did not list.
    fn parent(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        if let Some((known, folder)) = &self.parent
            && known == path
        {
            return folder.try_clone();
        }
        let folder = match self.open(path) {
            Err(Errno::NOENT) => self.make(path)?,
            opened => opened?,
        };
        self.parent = Some((path.to_vec(), folder.try_clone()?));
        Ok(folder)
    }

    fn open(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    /// Creates the missing folders of a path one by one. What a symlink of the layer points to is created inside the layer.
    fn make(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        let mut so_far: Vec<u8> = Vec::new();
        let mut folder = self.root.try_clone()?;
        for part in path.split(|b| *b == b'/') {
            if !so_far.is_empty() {
                so_far.push(b'/');
            }
            so_far.extend_from_slice(part);
            folder = match self.open(&so_far) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                        Err(Errno::EXIST) => {
                            return Err(invalid(
                                "its folder is a symlink that leads nowhere in this layer",
                            ));
                        }
                        made => made?,
                    }
                    self.open(&so_far)?
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }

    /// Makes room for an entry: a later entry of the same name replaces an earlier one.
    fn clear(&mut self, parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
        if clear(parent, name)? {
            // It was a folder, perhaps the remembered one or above it.
            self.parent = None;
        }
        Ok(())
    }

    fn whiteout(&self, parent: &OwnedFd, hidden: &[u8]) -> io::Result<()> {
        if hidden == b".wh..opq" {
            return self.opaque(parent);
        }
        if hidden.starts_with(b".wh.") {
            // Book-keeping of aufs, not content.
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(invalid("a whiteout of nothing"));
        }
        match kind_of(parent, hidden)? {
            // This layer has put something there itself: a folder then hides what is below it; a file does anyway.
            Some(FileType::Directory) => self.opaque(&open_folder(parent, hidden)?),
            Some(_) => Ok(()),
            None => {
                // Allowed without privileges since Linux 5.8, being no device.
                let device = rustix::fs::makedev(0, 0);
                Ok(rustix::fs::mknodat(
                    parent,
                    hidden,
                    FileType::CharacterDevice,
                    Mode::empty(),
                    device,
                )?)
            }
        }
    }

    fn opaque(&self, folder: &OwnedFd) -> io::Result<()> {
        let name = if self.privileged {
            "trusted.overlay.opaque"
        } else {
            "user.overlay.opaque"
        };
        Ok(rustix::fs::fsetxattr(folder, name, b"y", XattrFlags::empty())?)
    }

    fn own(&self, parent: &OwnedFd, name: &[u8], about: &About) -> io::Result<()> {
        if self.privileged {
            rustix::fs::chownat(
                parent,
                name,
                Some(about.uid),
                Some(about.gid),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
        }
        Ok(())
    }

    fn attributes(&self, file: &impl std::os::fd::AsFd, about: &About) -> io::Result<()> {
        for (name, value) in &about.attributes {
            match rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
                // A file system without them, or not allowed to this user: the program may still do without.
                Err(Errno::NOTSUP) => {}
                Err(Errno::PERM) if !self.privileged => {}
                set => set?,
            }
        }
        Ok(())
    }

    fn finish_folder(&mut self, folder: &OwnedFd, path: Vec<u8>, about: &About) -> io::Result<()> {
        if self.privileged {
            rustix::fs::fchown(folder, Some(about.uid), Some(about.gid))?;
        }
        // A user who is not root must still be able to fill it.
        let mode = if self.privileged {
            about.mode
        } else {
            about.mode | Mode::RWXU
        };
        rustix::fs::fchmod(folder, mode)?;
        self.attributes(folder, about)?;
        self.folders.push((path, about.mtime));
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        for (path, mtime) in &self.folders {
            match self.open(path) {
                Ok(folder) => rustix::fs::futimens(&folder, &times(*mtime))?,
                // A later entry has replaced it.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// What an entry says of its file.
struct About {
    uid: Uid,
    gid: Gid,
    mode: Mode,
    mtime: i64,
    attributes: Vec<(String, Vec<u8>)>,
}

impl About {
    fn read<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Self> {
        let mut attributes = Vec::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                let Ok(key) = extension.key() else { continue };
                let Some(name) = key.strip_prefix("SCHILY.xattr.") else {
                    continue;
                };
                // Attributes that would steer overlayfs, SELinux or ACLs of this machine are not an image's business.
                let wanted = name == "security.capability"
                    || (name.starts_with("user.") && !name.starts_with("user.overlay."));
                if wanted {
                    attributes.push((name.to_owned(), extension.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        let old = header.as_old();
        let id = |field: &[u8], read: io::Result<u64>| {
            // Some writers leave a zero out.
            if field.iter().all(|b| matches!(b, 0 | b' ')) {
                return Ok(0);
            }
            let id = u32::try_from(read?).ok().filter(|id| *id != u32::MAX);
            id.ok_or_else(|| invalid("an owner beyond 32 bits"))
        };
        Ok(Self {
            uid: Uid::from_raw(id(&old.uid, header.uid())?),
            gid: Gid::from_raw(id(&old.gid, header.gid())?),
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            mtime: i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0),
            attributes,
        })
    }
}

/// Components joined by `/`, without leading `/` and `.`; `..` is refused.
pub(crate) fn normalise(path: &[u8]) -> io::Result<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(invalid("its path leads outside")),
            part if part.contains(&0) => return Err(invalid("its path has a NUL byte")),
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// Folder and last component; `None` for the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    })
}

fn kind_of(parent: &OwnedFd, name: &[u8]) -> io::Result<Option<FileType>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn is_whiteout(parent: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    let stat = rustix::fs::statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    let device = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::CharacterDevice;
    Ok(device && stat.stx_rdev_major == 0 && stat.stx_rdev_minor == 0)
}

fn open_folder(parent: &OwnedFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Removes a file or a folder with what is in it; says whether it was a folder.
fn clear(parent: &OwnedFd, name: &[u8]) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(false),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(e) => return Err(e.into()),
    }
    let folder = open_folder(parent, name)?;
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let child = entry.file_name().to_bytes();
        if child != b"." && child != b".." {
            clear(&folder, child)?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(true)
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind, link: &str, body: &str| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(body.len() as u64);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            tar.append(&header, body.as_bytes()).unwrap();
        };
        add("d/", tar::EntryType::Directory, "", "");
        add("d/up", tar::EntryType::Symlink, "../..", "");
        add("d/up/f", tar::EntryType::Regular, "", "body");
        add("d/h", tar::EntryType::Link, "d/up/f", "");
        add("d/.wh.x", tar::EntryType::Regular, "", "");
        tar.into_inner().unwrap()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        /// Names, links, kinds and sizes changed at will: it ends in an error or in a layer, and never outside of its folder.
        #[test]
        fn whatever_comes_stays_inside(changes in proptest::collection::vec((0usize..3072, proptest::prelude::any::<u8>()), 1..8),
                                       texts in proptest::collection::vec((0usize..5, "(\\.\\./|/|\\.wh\\.|d/|up/|s){1,6}"), 0..3)) {
            let outside = tempfile::tempdir().unwrap();
            let root = outside.path().join("layer");
            std::fs::create_dir(&root).unwrap();
            let mut bytes = sample();
            for (at, value) in changes {
                let at = at % bytes.len();
                // Device nodes would be real ones when run by root.
                if !(at % 512 == 156 && matches!(value, b'3' | b'4')) {
                    bytes[at] = value;
                }
            }
            for (entry, text) in texts {
                let at = entry * 512;
                bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
            }
            // With right checksums, or nothing of it would be looked at.
            for block in bytes.chunks_mut(512) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let _ = layer(bytes.as_slice(), &root);
            proptest::prop_assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        }
    }
}
