//! The format of both kinds of file, and what damage means.
//!
//! A file is a header (magic, format version, revision, CRC-32) and frames. A frame is `length, CRC-32 of the payload,
//! CRC-32 of those two` and a payload of one or more records; a batch of writes is one frame, so it is there whole or not at all.
//!
//! A frame is synced before the next one is begun. So a crash can damage only the last frame of the last log: what is
//! damaged there is a torn tail; damage with anything but zeros behind it is corruption.
use serde_json::Value;

/// The newest format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER: usize = 24;
pub(crate) const FRAME: usize = 12;

/// The two kinds of file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    Log,
    Snapshot,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Log => *b"cdemoLOG",
            Self::Snapshot => *b"cdemoSNP",
        }
    }
}

/// A file's header.
pub(crate) fn header(kind: FileKind, revision: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..8].copy_from_slice(&kind.magic());
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..20].copy_from_slice(&revision.to_le_bytes());
    let crc = crc32fast::hash(&out[..20]);
    out[20..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Why a header was not accepted.
#[derive(Debug)]
pub(crate) enum BadHeader {
    Newer(u32),
    Damaged(&'static str),
}

/// The revision in a file's header.
pub(crate) fn read_header(kind: FileKind, bytes: &[u8]) -> Result<u64, BadHeader> {
    let Some(header) = bytes.get(..HEADER) else {
        return Err(BadHeader::Damaged("the header is incomplete"));
    };
    if header[..8] != kind.magic() {
        return Err(BadHeader::Damaged("not a file of this store"));
    }
    // The version comes before the checksum: a newer format may have another header.
    let version = u32_at(header, 8);
    if version > VERSION {
        return Err(BadHeader::Newer(version));
    }
    if version == 0 || crc32fast::hash(&header[..20]) != u32_at(header, 20) {
        return Err(BadHeader::Damaged("the header's checksum does not match"));
    }
    Ok(u64_at(header, 12))
}

/// One record inside a frame.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    Put {
        revision: u64,
        key: String,
        value: Value,
        json_len: usize,
    },
    Delete {
        revision: u64,
        key: String,
    },
    /// The last record of a snapshot: how many objects it holds.
    End {
        revision: u64,
        count: u64,
    },
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const END: u8 = 3;

/// A frame being put together.
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; FRAME],
        }
    }

    pub(crate) fn put(&mut self, revision: u64, key: &str, json: &[u8]) {
        self.record(PUT, revision, key.as_bytes(), json);
    }

    pub(crate) fn delete(&mut self, revision: u64, key: &str) {
        self.record(DELETE, revision, key.as_bytes(), &[]);
    }

    pub(crate) fn end(&mut self, revision: u64, count: u64) {
        self.record(END, revision, &[], &count.to_le_bytes());
    }

    fn record(&mut self, op: u8, revision: u64, key: &[u8], value: &[u8]) {
        self.bytes.push(op);
        self.bytes.extend_from_slice(&revision.to_le_bytes());
        for part in [key, value] {
            self.bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == FRAME
    }

    /// The finished frame.
    pub(crate) fn finish(&mut self) -> &[u8] {
        let length = (self.bytes.len() - FRAME) as u32;
        let payload = crc32fast::hash(&self.bytes[FRAME..]);
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&payload.to_le_bytes());
        let own = crc32fast::hash(&self.bytes[..8]);
        self.bytes[8..FRAME].copy_from_slice(&own.to_le_bytes());
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        // One huge write must not keep its memory for ever.
        self.bytes.truncate(FRAME);
        self.bytes.shrink_to(1 << 20);
    }
}

/// What a reader finds at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// The end of the file.
    End,
    /// A whole frame: its payload and where the next frame begins.
    Frame { payload: &'a [u8], next: usize },
    /// A last frame that was not written completely: cut the file here.
    Torn,
    /// Damage that a crash does not explain.
    Corrupt(&'static str),
}

/// Look at the frame at `offset`.
pub(crate) fn read_frame(bytes: &[u8], offset: usize) -> Found<'_> {
    let rest = &bytes[offset..];
    if rest.is_empty() {
        return Found::End;
    }
    // A file that grew without its contents having arrived reads as zeros.
    if rest.len() < FRAME || rest.iter().all(|b| *b == 0) {
        return Found::Torn;
    }
    if crc32fast::hash(&rest[..8]) != u32_at(rest, 8) {
        // Nothing says how long this frame is: it is the last one when no whole frame can be found behind it.
        let later = (1..rest.len().saturating_sub(FRAME)).any(|at| whole_frame_at(rest, at));
        return if later {
            Found::Corrupt("the frame's own checksum does not match")
        } else {
            Found::Torn
        };
    }
    let end = FRAME + u32_at(rest, 0) as usize;
    let Some(payload) = rest.get(FRAME..end) else {
        return Found::Torn;
    };
    if crc32fast::hash(payload) == u32_at(rest, 4) {
        return Found::Frame {
            payload,
            next: offset + end,
        };
    }
    if rest[end..].iter().all(|b| *b == 0) {
        Found::Torn
    } else {
        Found::Corrupt("the frame's checksum does not match its records")
    }
}

fn whole_frame_at(bytes: &[u8], at: usize) -> bool {
    let frame = &bytes[at..];
    crc32fast::hash(&frame[..8]) == u32_at(frame, 8)
        && frame
            .get(FRAME..FRAME + u32_at(frame, 0) as usize)
            .is_some_and(|payload| crc32fast::hash(payload) == u32_at(frame, 4))
}

/// The records of a payload. The checksum was right, so an error here means that a program wrote nonsense.
pub(crate) fn records(payload: &[u8]) -> impl Iterator<Item = Result<Record, &'static str>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = take_record(&mut rest).unwrap_or(Err("a record is cut short"));
        if record.is_err() {
            rest = &[];
        }
        Some(record)
    })
}

fn take_record(rest: &mut &[u8]) -> Option<Result<Record, &'static str>> {
    let op = *rest.split_off_first()?;
    let revision = u64_at(rest.split_off(..8)?, 0);
    let mut part = || {
        let length = u32_at(rest.split_off(..4)?, 0) as usize;
        rest.split_off(..length)
    };
    let (key, value) = (part()?, part()?);
    Some(decode(op, revision, key, value))
}

fn decode(op: u8, revision: u64, key: &[u8], value: &[u8]) -> Result<Record, &'static str> {
    let key = String::from_utf8(key.to_vec()).map_err(|_| "a key is not text")?;
    match op {
        PUT => {
            let json_len = value.len();
            let value = serde_json::from_slice(value).map_err(|_| "an object is not JSON")?;
            Ok(Record::Put {
                revision,
                key,
                value,
                json_len,
            })
        }
        DELETE => Ok(Record::Delete { revision, key }),
        END if value.len() == 8 => Ok(Record::End {
            revision,
            count: u64_at(value, 0),
        }),
        _ => Err("a record of unknown kind"),
    }
}

/// The caller has checked the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}
