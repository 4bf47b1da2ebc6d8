//! Snapshots: every object at one revision in one file, so that older logs can go.
use std::{fs, io, path::Path, sync::Arc};

use crate::{
    disk::Disk,
    error::OpenError,
    frame::{FileKind, Found, FrameWriter, HEADER, Record, header, read_frame, records},
    memory::Memory,
    object::Stored,
    recover::check_header,
    segment::{numbered, snapshot_path},
};

/// How much is put into one frame of a snapshot, about.
const FRAME_BYTES: usize = 1 << 18;

/// Write a snapshot; when it is durable, remove the logs and snapshots that it replaces. Returns its size.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, revision: u64, objects: &[Arc<Stored>]) -> io::Result<u64> {
    let path = snapshot_path(dir, revision);
    let temporary = path.with_extension("tmp");
    let size = write_file(disk, &temporary, revision, objects)
        .and_then(|size| disk.rename(&temporary, &path).map(|()| size))
        .inspect_err(|_| {
            // What is left is removed at the next opening, if it cannot be removed now.
            let _ = disk.remove(&temporary);
        })?;
    // Oldest first: an interruption leaves no gap between the files that remain.
    for (first, log) in numbered(dir, "log-")? {
        if first <= revision {
            disk.remove(&log)?;
        }
    }
    for (older, snapshot) in numbered(dir, "snapshot-")? {
        if older < revision {
            disk.remove(&snapshot)?;
        }
    }
    Ok(size)
}

fn write_file(disk: &dyn Disk, path: &Path, revision: u64, objects: &[Arc<Stored>]) -> io::Result<u64> {
    let mut file = disk.create(path)?;
    file.append(&header(FileKind::Snapshot, revision))?;
    let mut size = HEADER as u64;
    let mut frame = FrameWriter::new();
    for object in objects {
        frame.put(object.revision, &object.key, &object.serialise());
        if frame.len() > FRAME_BYTES {
            size += frame.len() as u64;
            file.append(frame.finish())?;
            frame.clear();
        }
    }
    frame.end(revision, objects.len() as u64);
    size += frame.len() as u64;
    file.append(frame.finish())?;
    file.sync()?;
    Ok(size)
}

/// Read a snapshot into memory. It was complete before it got its name, so whatever is wrong with it is corruption.
pub(crate) fn read(path: &Path, named: u64, memory: &mut Memory) -> Result<u64, OpenError> {
    let bytes = fs::read(path).map_err(OpenError::io(path))?;
    let corrupt = |offset: usize, what: &str| OpenError::Corrupt {
        path: path.to_owned(),
        offset: offset as u64,
        what: what.to_owned(),
    };
    let revision = check_header(FileKind::Snapshot, path, &bytes)?;
    if revision != named {
        return Err(corrupt(12, "the revision is not the one in the file's name"));
    }
    let mut offset = HEADER;
    let mut objects = 0;
    let mut complete = false;
    loop {
        let (payload, next) = match read_frame(&bytes, offset) {
            Found::End if complete => break,
            Found::End | Found::Torn => return Err(corrupt(offset, "the snapshot is cut short")),
            Found::Corrupt(what) => return Err(corrupt(offset, what)),
            Found::Frame { .. } if complete => {
                return Err(corrupt(offset, "the snapshot goes on after its end"));
            }
            Found::Frame { payload, next } => (payload, next),
        };
        for record in records(payload) {
            match record.map_err(|what| corrupt(offset, what))? {
                Record::Put {
                    revision: at,
                    key,
                    value,
                    json_len,
                } if at <= revision => {
                    memory.load(Arc::new(Stored::new(key.into(), at, value, json_len)));
                    objects += 1;
                }
                Record::End { revision: at, count } if at == revision && count == objects => complete = true,
                _ => return Err(corrupt(offset, "a record does not belong into this snapshot")),
            }
        }
        offset = next;
    }
    memory.loaded(revision);
    Ok(bytes.len() as u64)
}
