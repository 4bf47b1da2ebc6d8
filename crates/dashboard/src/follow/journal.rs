use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use results::activity::Entry;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use crate::Hub;
use crate::story::Fact;

/// Nobody announces a line; asking costs one `stat`.
const PACE: Duration = Duration::from_millis(250);
/// Most that is read at once.
const CHUNK: u64 = 1 << 20;

/// Reads a file's lines as they are appended. The file may come later, go, be replaced or cut.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    /// Device and number of the file that is read.
    file: Option<(u64, u64)>,
    read: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

/// What came of looking.
#[derive(Debug, Default, PartialEq)]
struct News {
    /// The file is another one than before, or gone.
    anew: bool,
    lines: Vec<String>,
    /// There is more to read.
    more: bool,
}

impl Tail {
    fn new(path: PathBuf) -> Tail {
        Tail {
            path,
            file: None,
            read: 0,
            rest: Vec::new(),
        }
    }

    async fn look(&mut self) -> std::io::Result<News> {
        let mut news = News::default();
        let found = match fs::metadata(&self.path).await {
            Ok(found) => Some(found),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let id = found.as_ref().map(|m| (m.dev(), m.ino()));
        let length = found.map_or(0, |m| m.len());
        if id != self.file || length < self.read {
            news.anew = self.file.is_some();
            (self.file, self.read) = (id, 0);
            self.rest.clear();
        }
        if length == self.read {
            return Ok(news);
        }
        let mut file = File::open(&self.path).await?;
        file.seek(SeekFrom::Start(self.read)).await?;
        let mut bytes = Vec::new();
        self.read += file.take(CHUNK).read_to_end(&mut bytes).await? as u64;
        news.more = self.read < length;
        self.rest.extend_from_slice(&bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            news.lines.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
        Ok(news)
    }
}

/// Tells the hub of every entry, from the file's beginning.
pub(super) async fn follow(path: PathBuf, hub: Arc<Hub>) {
    let mut tail = Tail::new(path);
    loop {
        match tail.look().await {
            Ok(news) => {
                if news.anew {
                    hub.tell(Fact::NewJournal);
                }
                for entry in news.lines.iter().filter_map(|line| Entry::read(line)) {
                    hub.tell(Fact::Told(entry));
                }
                if news.more {
                    continue;
                }
            }
            Err(e) => tracing::debug!("failed to read {}: {e}", tail.path.display()),
        }
        tokio::time::sleep(PACE).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_a_new_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("activity.jsonl");
        let mut tail = Tail::new(path.clone());
        assert_eq!(tail.look().await.unwrap(), News::default(), "there is none yet");
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.look().await.unwrap().lines, ["one"]);
        file.write_all("o\nthr\u{e9}".as_bytes()).unwrap();
        let news = tail.look().await.unwrap();
        assert_eq!((news.anew, news.lines), (false, vec!["two".to_owned()]));
        fs::write(&path, "cut\n").unwrap();
        let news = tail.look().await.unwrap();
        assert_eq!((news.anew, news.lines), (true, vec!["cut".to_owned()]));
        fs::rename(&path, folder.path().join("old")).unwrap();
        fs::write(&path, "new file\n").unwrap();
        let news = tail.look().await.unwrap();
        assert_eq!((news.anew, news.lines), (true, vec!["new file".to_owned()]));
        fs::remove_file(&path).unwrap();
        assert_eq!(
            tail.look().await.unwrap(),
            News {
                anew: true,
                ..News::default()
            }
        );
        assert_eq!(tail.look().await.unwrap(), News::default());
    }
}
