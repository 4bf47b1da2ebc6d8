//! Log files in the format of the container runtime interface, as kubelet and every log collector read them:
//! `2026-11-22T20:00:00.000000000Z stdout F line`, with `P` for the parts of a line that is longer than 16 KiB.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::proto::LogLimits;

/// containerd's `max_container_log_line_size`.
const LONGEST: usize = 16 * 1024;

/// Cuts one stream of output into lines.
#[derive(Debug)]
pub struct Lines {
    stream: &'static str,
    rest: Vec<u8>,
}

impl Lines {
    /// Of a stream called `stdout` or `stderr`.
    pub fn new(stream: &'static str) -> Self {
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Appends the complete lines of `data` to `out`; keeps what is unfinished.
    pub fn push(&mut self, mut data: &[u8], time: &str, out: &mut Vec<u8>) {
        while !data.is_empty() {
            let room = LONGEST - self.rest.len();
            let window = &data[..data.len().min(room + 1)];
            if let Some(end) = window.iter().position(|b| *b == b'\n') {
                self.write(time, b'F', &data[..end], out);
                data = &data[end + 1..];
            } else if window.len() > room {
                self.write(time, b'P', &data[..room], out);
                data = &data[room..];
            } else {
                self.rest.extend_from_slice(data);
                return;
            }
        }
    }

    /// The stream's end: an unfinished line stays one, so that whoever reads it adds no newline.
    pub fn finish(&mut self, time: &str, out: &mut Vec<u8>) {
        if !self.rest.is_empty() {
            self.write(time, b'P', &[], out);
        }
    }

    fn write(&mut self, time: &str, tag: u8, tail: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(time.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.stream.as_bytes());
        out.extend_from_slice(&[b' ', tag, b' ']);
        out.append(&mut self.rest);
        out.extend_from_slice(tail);
        out.push(b'\n');
        if self.rest.capacity() > 4096 {
            self.rest = Vec::new();
        }
    }
}

/// Now, with nine digits of a second.
pub fn timestamp() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%9fZ")
        .to_string()
}

/// A log file that is rotated. Never fails: what cannot be written is counted and owned up to later.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    limits: LogLimits,
    file: Option<File>,
    size: u64,
    lost: u64,
    torn: bool,
    complained: bool,
}

impl Log {
    /// Opens the file for appending; its folder is made.
    pub fn open(path: &Path, limits: LogLimits) -> Self {
        let mut log = Self {
            path: path.to_path_buf(),
            limits,
            file: None,
            size: 0,
            lost: 0,
            torn: false,
            complained: false,
        };
        if let Err(e) = log.reopen() {
            log.complain(&e);
        }
        log
    }

    /// Opens the file anew, as after a rotation by somebody else.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(&self.path)?;
        self.size = file.metadata()?.size();
        self.file = Some(file);
        Ok(())
    }

    /// Appends whole lines.
    pub fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.size > 0 && self.size + lines.len() as u64 > self.limits.max_size {
            self.rotate();
        }
        if let Err(e) = self.try_write(lines) {
            self.lost += lines.len() as u64;
            self.complain(&e);
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.torn {
            self.append(b"\n")?;
            self.torn = false;
        }
        if self.lost > 0 {
            let note = format!(
                "{} stderr F cncfdemo: {} bytes of this log could not be written\n",
                timestamp(),
                self.lost
            );
            self.append(note.as_bytes())?;
            tracing::warn!(log = %self.path.display(), bytes = self.lost, "log lost bytes; writing again");
            (self.lost, self.complained) = (0, false);
        }
        self.append(lines)
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let whole = bytes.len();
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.size += n as u64;
                    bytes = &bytes[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // A line was cut in two: the next one must not be glued to it.
                    self.torn |= bytes.len() < whole;
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        if !self.complained {
            self.complained = true;
            tracing::warn!(log = %self.path.display(), %error, "cannot write a container's log; its output is dropped");
        }
    }

    /// Names rotated files as kubelet does (pkg/kubelet/logs/container_log_manager.go), so that `kubectl logs` and collectors know them.
    fn rotate(&mut self) {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
        let mut target = with_suffix(&self.path, &stamp);
        let mut n = 1;
        while target.exists() {
            target = with_suffix(&self.path, &format!("{stamp}-{n:06}"));
            n += 1;
        }
        if let Err(e) = std::fs::rename(&self.path, &target) {
            self.complain(&e);
            return;
        }
        self.file = None;
        let mut old = rotated(&self.path);
        let keep = self.limits.max_files.saturating_sub(1) as usize;
        while old.len() > keep {
            let _ = std::fs::remove_file(old.remove(0));
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// Rotated files, oldest first.
fn rotated(path: &Path) -> Vec<PathBuf> {
    let mut prefix = path.file_name().unwrap_or_default().to_os_string();
    prefix.push(".");
    let Some(entries) = path.parent().and_then(|p| std::fs::read_dir(p).ok()) else {
        return Vec::new();
    };
    let mut old: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| {
            e.file_name()
                .as_encoded_bytes()
                .starts_with(prefix.as_encoded_bytes())
        })
        .map(|e| e.path())
        .collect();
    old.sort();
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(parts: &[&[u8]]) -> String {
        let (mut lines, mut out) = (Lines::new("stdout"), Vec::new());
        for part in parts {
            lines.push(part, "T", &mut out);
        }
        lines.finish("T", &mut out);
        String::from_utf8(out).expect("text")
    }

    fn line_of(len: usize) -> Vec<u8> {
        format!("{}\n", "x".repeat(len)).into_bytes()
    }

    #[test]
    fn lines_are_tagged() {
        assert_eq!(
            lines(&[b"a\nb", b"c\n\n", b"end"]),
            "T stdout F a\nT stdout F bc\nT stdout F \nT stdout P end\n"
        );
        assert_eq!(lines(&[]), "");
    }

    #[test]
    fn long_lines_are_cut() {
        let exact = line_of(LONGEST);
        assert_eq!(lines(&[&exact]), format!("T stdout F {}\n", "x".repeat(LONGEST)));
        let long = line_of(LONGEST + 1);
        let expected = format!("T stdout P {}\nT stdout F x\n", "x".repeat(LONGEST));
        assert_eq!(lines(&[&long]), expected);
        // The same in single bytes.
        let bytes: Vec<&[u8]> = long.chunks(1).collect();
        assert_eq!(lines(&bytes), expected);
    }

    #[test]
    fn logs_are_rotated_and_pruned() {
        let dir = std::env::temp_dir().join(format!("rt-log-{}", std::process::id()));
        let path = dir.join("deep/0.log");
        let mut log = Log::open(
            &path,
            LogLimits {
                max_size: 100,
                max_files: 3,
            },
        );
        for n in 0..20 {
            log.write(format!("{n:049}\n").as_bytes());
        }
        assert_eq!(rotated(&path).len(), 2);
        let now = std::fs::read_to_string(&path).expect("log");
        assert!(now.ends_with(&format!("{:049}\n", 19)) && now.len() <= 100);
        std::fs::remove_dir_all(&dir).expect("remove");
    }

    #[test]
    fn a_full_disk_is_owned_up_to() {
        let dir = std::env::temp_dir().join(format!("rt-full-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("create");
        let path = dir.join("0.log");
        let mut log = Log::open(&path, LogLimits::default());
        log.file = Some(
            OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("/dev/full"),
        );
        log.write(b"gone\n");
        assert_eq!(log.lost, 5);
        log.reopen().expect("reopen");
        log.write(b"here\n");
        let text = std::fs::read_to_string(&path).expect("log");
        assert!(
            text.contains("cncfdemo: 5 bytes of this log could not be written\nhere\n"),
            "{text}"
        );
        std::fs::remove_dir_all(&dir).expect("remove");
    }

    #[test]
    fn timestamps_have_nine_digits() {
        let now = timestamp();
        assert_eq!(now.len(), "2026-11-22T20:00:00.000000000Z".len(), "{now}");
    }
}
