//! Reads container logs: files in the format of the container runtime interface, rotated ones first, and goes on as they grow
//! (pkg/kubelet/kuberuntime/logs). Growth is told by inotify; nothing polls.
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustix::fs::inotify;
use streaming::{LogOptions, LogStream};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::worker::View;

const CHUNK: usize = 64 << 10;

/// What of a log is wanted.
#[derive(Debug, Clone, Default)]
struct Filter {
    since: Option<Timestamp>,
    timestamps: bool,
    left: Option<u64>,
}

/// Streams a log. `ended` completes when the container has ended; it matters only when following.
pub fn stream(
    path: PathBuf,
    options: &LogOptions,
    ended: watch::Receiver<View>,
    container: String,
    attempt: u32,
) -> LogStream {
    let since = match (&options.since_time, options.since_seconds) {
        (Some(time), _) => time.parse().ok(),
        (None, Some(seconds)) => {
            Some(Timestamp::now() - SignedDuration::from_secs(seconds.clamp(0, i64::from(u32::MAX))))
        }
        (None, None) => None,
    };
    let filter = Filter {
        since,
        timestamps: options.timestamps,
        left: options.limit_bytes.map(|bytes| bytes.max(0) as u64),
    };
    let (tail, follow) = (
        options.tail_lines.map(|lines| lines.max(0) as u64),
        options.follow,
    );
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::spawn(async move {
        let over = CancellationToken::new();
        let watcher = over.clone();
        let mut ended = ended;
        let watching = tokio::spawn(async move {
            // An error means that the worker is gone, and with it the container.
            let _ = ended
                .wait_for(|view| view.attempts.get(&container) != Some(&(attempt, true)))
                .await;
            watcher.cancel();
        });
        let mut reader = Reader {
            path,
            filter,
            sender: sender.clone(),
            rest: Vec::new(),
            mid_line: false,
        };
        if let Err(err) = reader.run(tail, follow, &over).await {
            let _ = sender.send(Err(err)).await;
        }
        watching.abort();
    });
    Box::pin(tokio_stream(receiver))
}

fn tokio_stream(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
) -> impl futures::Stream<Item = io::Result<Bytes>> {
    futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
}

struct Reader {
    path: PathBuf,
    filter: Filter,
    sender: mpsc::Sender<io::Result<Bytes>>,
    rest: Vec<u8>,
    mid_line: bool,
}

impl Reader {
    async fn run(&mut self, tail: Option<u64>, follow: bool, over: &CancellationToken) -> io::Result<()> {
        // Watched before it is read, so that nothing is missed in between.
        let changes = if follow {
            Some(Changes::of(&self.path)?)
        } else {
            None
        };
        let path = self.path.clone();
        let start = tokio::task::spawn_blocking(move || start(&files(&path), tail))
            .await
            .map_err(io::Error::other)??;
        let mut current = None;
        for (path, offset) in start {
            match fs::File::open(&path) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(offset))?;
                    if !self.drain(&mut file).await? {
                        return Ok(());
                    }
                    current = Some(file);
                }
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err),
            }
        }
        let Some(changes) = changes else {
            // An unfinished last line is shown as it is.
            return Ok(());
        };
        loop {
            let last = over.is_cancelled();
            if let Some(file) = &mut current
                && !self.drain(file).await?
            {
                return Ok(());
            }
            if let Some(mut next) = newer(&self.path, current.as_ref()) {
                if !self.drain(&mut next).await? {
                    return Ok(());
                }
                current = Some(next);
                continue;
            }
            if last {
                return Ok(());
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = self.sender.closed() => return Ok(()),
                changed = changes.wait() => changed?,
            }
        }
    }

    /// Reads to the end of the file; false when nobody wants more.
    async fn drain(&mut self, file: &mut fs::File) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK];
        loop {
            // Page cache reads of one chunk; the channel gives way between them.
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return Ok(true);
            }
            let mut out = Vec::with_capacity(read);
            self.rest.extend_from_slice(&chunk[..read]);
            let mut done = 0;
            let rest = std::mem::take(&mut self.rest);
            while let Some(length) = rest[done..].iter().position(|byte| *byte == b'\n') {
                self.line(&rest[done..done + length], &mut out);
                done += length + 1;
            }
            self.rest = rest[done..].to_vec();
            if let Some(left) = &mut self.filter.left {
                out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= out.len() as u64;
            }
            let enough = self.filter.left == Some(0);
            if !out.is_empty() && self.sender.send(Ok(Bytes::from(out))).await.is_err() || enough {
                return Ok(false);
            }
        }
    }

    fn line(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some((time, full, content)) = parse(raw) else {
            return;
        };
        if self
            .filter
            .since
            .is_some_and(|since| at(time).is_some_and(|at| at < since))
        {
            return;
        }
        if self.filter.timestamps && !self.mid_line {
            out.extend_from_slice(time);
            out.push(b' ');
        }
        out.extend_from_slice(content);
        if full {
            out.push(b'\n');
        }
        self.mid_line = !full;
    }
}

/// `TIME STREAM F|P[:…] CONTENT`.
fn parse(raw: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let mut parts = raw.splitn(4, |byte| *byte == b' ');
    let (time, _stream, tag, content) = (
        parts.next()?,
        parts.next()?,
        parts.next()?,
        parts.next().unwrap_or_default(),
    );
    Some((time, !tag.starts_with(b"P"), content))
}

fn at(time: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(time).ok()?.parse().ok()
}

/// Rotated files from old to new, then the current one.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        let prefix = format!("{name}.");
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        all.extend(entries.map(|entry| entry.path()).filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(&prefix))
        }));
    }
    all.sort();
    all.push(path.to_owned());
    all
}

/// Where to begin in each file so that the last `tail` lines are shown.
fn start(files: &[PathBuf], tail: Option<u64>) -> io::Result<Vec<(PathBuf, u64)>> {
    let Some(mut wanted) = tail else {
        return Ok(files.iter().map(|path| (path.clone(), 0)).collect());
    };
    let mut chosen = Vec::new();
    for path in files.iter().rev() {
        let mut file = match fs::File::open(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let (offset, found) = from_end(&mut file, wanted)?;
        chosen.push((path.clone(), offset));
        wanted -= found.min(wanted);
        if wanted == 0 {
            break;
        }
    }
    chosen.reverse();
    Ok(chosen)
}

/// Offset of the last `wanted` lines of a file, and how many there are.
fn from_end(file: &mut fs::File, wanted: u64) -> io::Result<(u64, u64)> {
    let mut at = file.metadata()?.len();
    let end = at;
    let mut found = 0;
    let mut chunk = vec![0; CHUNK];
    if wanted == 0 {
        return Ok((end, 0));
    }
    while at > 0 {
        let size = (CHUNK as u64).min(at);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        let window = &mut chunk[..size as usize];
        file.read_exact(window)?;
        for (index, byte) in window.iter().enumerate().rev() {
            let position = at + index as u64;
            // The newline at the very end closes the last line; every other one begins a line after it.
            if *byte == b'\n' && position + 1 != end {
                found += 1;
                if found == wanted {
                    return Ok((position + 1, found));
                }
            }
        }
    }
    Ok((0, found + u64::from(end > 0)))
}

/// The file at the path, if it is another one than what is open.
fn newer(path: &Path, current: Option<&fs::File>) -> Option<fs::File> {
    let file = fs::File::open(path).ok()?;
    let same = current.is_some_and(|current| match (current.metadata(), file.metadata()) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    });
    (!same).then_some(file)
}

/// Changes in the folder of a log.
struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    fn of(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let dir = path.parent().unwrap_or(path);
        let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, dir, what)?;
        #[allow(
            deprecated,
            reason = "an OwnedFd keeps its descriptor for as long as it lives, which is all that `register` asks for"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Self(fd))
    }

    async fn wait(&self) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        let mut buffer = [0; 4096];
        // Which file it was does not matter: all that is new is read.
        while rustix::io::read(guard.get_inner(), &mut buffer).is_ok_and(|read| read > 0) {}
        guard.clear_ready();
        Ok(())
    }
}

/// The last lines of a log as plain text, for termination messages.
pub fn tail_text(path: &Path, lines: usize, bytes: usize) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let (offset, _) = from_end(&mut file, lines as u64)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut raw = Vec::new();
        file.take(1 << 20).read_to_end(&mut raw)?;
        Ok(raw)
    };
    let Ok(raw) = read() else { return String::new() };
    let mut text = Vec::new();
    for line in raw.split(|byte| *byte == b'\n') {
        if let Some((_, full, content)) = parse(line) {
            text.extend_from_slice(content);
            if full {
                text.push(b'\n');
            }
        }
    }
    let from = text.len().saturating_sub(bytes);
    String::from_utf8_lossy(&text[from..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use std::io::Write as _;

    const LOG: &str = "2026-11-22T20:00:00.000000001Z stdout F one\n\
        2026-11-22T20:00:01.000000000Z stderr P two-\n\
        2026-11-22T20:00:01.000000001Z stderr F half\n\
        2026-11-22T20:00:02.000000000Z stdout F three\n";

    fn log() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, LOG).unwrap();
        (dir, path)
    }

    async fn read(path: &Path, options: LogOptions) -> String {
        let (_keep, view) = watch::channel(View::default());
        let stream = stream(path.to_owned(), &options, view, "c".into(), 0);
        let all: Vec<_> = stream.map(|chunk| chunk.unwrap().to_vec()).collect().await;
        String::from_utf8(all.concat()).unwrap()
    }

    #[tokio::test]
    async fn options() {
        let (dir, path) = log();
        assert_eq!(read(&path, LogOptions::default()).await, "one\ntwo-half\nthree\n");
        let tail = LogOptions {
            tail_lines: Some(1),
            timestamps: true,
            ..LogOptions::default()
        };
        assert_eq!(read(&path, tail).await, "2026-11-22T20:00:02.000000000Z three\n");
        let since = LogOptions {
            since_time: Some("2026-11-22T20:00:01Z".into()),
            ..LogOptions::default()
        };
        assert_eq!(read(&path, since).await, "two-half\nthree\n");
        let limit = LogOptions {
            limit_bytes: Some(5),
            ..LogOptions::default()
        };
        assert_eq!(read(&path, limit).await, "one\nt");
        let none = LogOptions {
            tail_lines: Some(0),
            ..LogOptions::default()
        };
        assert_eq!(read(&path, none).await, "");
        fs::write(
            dir.path().join("log.20261122-190000"),
            "2026-11-22T19:00:00Z stdout F old\n",
        )
        .unwrap();
        assert_eq!(
            read(&path, LogOptions::default()).await,
            "old\none\ntwo-half\nthree\n"
        );
        let tail = LogOptions {
            tail_lines: Some(5),
            ..LogOptions::default()
        };
        assert_eq!(read(&path, tail).await, "old\none\ntwo-half\nthree\n");
        assert_eq!(tail_text(&path, 80, 2048), "one\ntwo-half\nthree\n");
        assert_eq!(tail_text(&path, 80, 6), "three\n");
    }

    #[tokio::test]
    async fn following_sees_growth_rotation_and_the_end() {
        let (_dir, path) = log();
        let running = |is: bool| View {
            attempts: [("c".to_owned(), (0, is))].into(),
            ..View::default()
        };
        let (sender, view) = watch::channel(running(true));
        let options = LogOptions {
            follow: true,
            tail_lines: Some(1),
            ..LogOptions::default()
        };
        let mut stream = stream(path.clone(), &options, view, "c".into(), 0);
        assert_eq!(stream.next().await.unwrap().unwrap(), "three\n");
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "2026-11-22T20:00:03Z stdout F four").unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "four\n");
        fs::rename(&path, path.with_extension("20261122-200004")).unwrap();
        fs::write(&path, "2026-11-22T20:00:04Z stdout F five\n").unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "five\n");
        sender.send_replace(running(false));
        assert!(stream.next().await.is_none());
    }
}
