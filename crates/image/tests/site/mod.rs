//! A small HTTP server on loopback, for tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// What is served, and what was asked for.
#[derive(Default)]
pub struct Site {
    /// Media type and bytes by path.
    pub files: HashMap<String, (String, Vec<u8>)>,
    /// Paths whose first answer breaks off in the middle.
    pub break_off: Vec<String>,
    /// `path` or `path range` of every request.
    pub log: Vec<String>,
}

/// A site that a test changes while it is served.
pub type Shared = Arc<Mutex<Site>>;

/// Serves `site` until the test ends; returns `host:port`.
pub async fn serve(site: Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, site.clone()));
        }
    });
    address
}

async fn answer(mut stream: tokio::net::TcpStream, site: Shared) {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(request)) = lines.next_line().await {
        let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut start = 0;
        while let Ok(Some(line)) = lines.next_line().await {
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
                start = range.trim_end_matches('-').parse().unwrap();
            }
        }
        let (status, media_type, body, whole) = {
            let mut site = site.lock().unwrap();
            site.log.push(if start > 0 {
                format!("{path} from {start}")
            } else {
                path.clone()
            });
            let breaks = site.break_off.iter().position(|p| *p == path);
            match site.files.get(&path).cloned() {
                Some((media_type, bytes)) => {
                    let whole = breaks.map(|at| site.break_off.remove(at)).is_none();
                    let status = if start > 0 {
                        "206 Partial Content"
                    } else {
                        "200 OK"
                    };
                    (status, media_type, bytes[start..].to_vec(), whole)
                }
                None => ("404 Not Found", "text/plain".to_owned(), Vec::new(), true),
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = if whole { &body[..] } else { &body[..body.len() / 2] };
        if writer.write_all(head.as_bytes()).await.is_err() || writer.write_all(sent).await.is_err() || !whole
        {
            return;
        }
    }
}
