//! A package file: its control file and the files it installs. Its scripts are not even looked at.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::tree::{Kind, Node};
use crate::{Error, Result, compress, unpack};

/// What a package brings.
pub(crate) struct Contents {
    /// The control file.
    pub control: String,
    /// Paths without a leading slash, in the package's order.
    pub files: Vec<(String, Entry)>,
}

/// A file of a package.
pub(crate) enum Entry {
    /// A file, folder or symlink.
    Node(Node),
    /// A second name of the file at this path.
    HardLink(String),
}

/// Reads a package file. `package` names it in errors; `wanted` says which paths are kept.
pub(crate) fn read(path: &Path, package: &str, wanted: impl Fn(&str) -> bool) -> Result<Contents> {
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    read_from(BufReader::with_capacity(128 << 10, file), package, wanted)
}

/// The same from wherever its bytes are.
pub(crate) fn read_from(
    reader: impl Read + Send,
    package: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Contents> {
    let failed = |reason: String| Error::Package {
        package: package.to_owned(),
        reason,
    };
    let mut archive = ar::Archive::new(reader);
    let mut control = None;
    let mut files = None;
    while let Some(member) = archive.next_entry() {
        let member = member.map_err(|e| failed(e.to_string()))?;
        let name = String::from_utf8_lossy(member.header().identifier())
            .trim_end_matches('/')
            .to_owned();
        if name.starts_with("control.tar") {
            control = Some(read_control(member).map_err(|e| failed(e.to_string()))?);
        } else if name.starts_with("data.tar") {
            files = Some(read_files(member, &wanted).map_err(|e| failed(e.to_string()))?);
        }
    }
    match (control.flatten(), files) {
        (Some(control), Some(files)) => Ok(Contents { control, files }),
        (None, _) => Err(failed("it has no control file".to_owned())),
        (_, None) => Err(failed("it has no data".to_owned())),
    }
}

fn read_control(member: impl Read + Send) -> std::io::Result<Option<String>> {
    let mut archive = tar::Archive::new(compress::reader(member)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if unpack::normalise(&entry.path_bytes())? == b"control" {
            let mut text = String::new();
            entry.by_ref().take(1 << 20).read_to_string(&mut text)?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn read_files(
    member: impl Read + Send,
    wanted: &impl Fn(&str) -> bool,
) -> std::io::Result<Vec<(String, Entry)>> {
    let mut archive = tar::Archive::new(compress::reader(member)?);
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = text(unpack::normalise(&entry.path_bytes())?)?;
        if path.is_empty() || !wanted(&path) {
            continue;
        }
        let header = entry.header();
        let (mode, uid, gid) = (
            header.mode()? & 0o7777,
            header.uid()? as u32,
            header.gid()? as u32,
        );
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
        let missing = || {
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("link {path} has no target"),
            )
        };
        let kind = match header.entry_type() {
            tar::EntryType::Directory => Kind::Folder,
            tar::EntryType::Symlink => Kind::Symlink(text(link.ok_or_else(missing)?)?),
            tar::EntryType::Link => {
                let target = text(unpack::normalise(&link.ok_or_else(missing)?)?)?;
                files.push((path, Entry::HardLink(target)));
                continue;
            }
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                // The size is the archive's word: no more than a start is reserved on it.
                let mut bytes = Vec::with_capacity(entry.size().min(64 << 20) as usize);
                entry.read_to_end(&mut bytes)?;
                Kind::File(Arc::new(bytes))
            }
            other => return Err(std::io::Error::other(format!("{path} is of type {other:?}"))),
        };
        files.push((path, Entry::Node(Node { mode, uid, gid, kind })));
    }
    Ok(files)
}

fn text(bytes: Vec<u8>) -> std::io::Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("file name {} is not UTF-8", String::from_utf8_lossy(e.as_bytes())),
        )
    })
}
