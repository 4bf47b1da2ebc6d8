//! Downloads into a cache: documents that are asked for again when old, and files that are named by their hash.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use reqwest::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};

use crate::digest::Hashing;
use crate::{Digest, Error, Result};

/// Mozilla's authorities, for machines without the package ca-certificates.
const BUNDLED_ROOTS: &[rustls::pki_types::CertificateDer<'static>] = webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// How often a file is tried before its mirror is given up.
const ATTEMPTS: u32 = 3;

/// A downloader with a cache folder. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    cache: PathBuf,
    fetched: Arc<AtomicU64>,
}

/// A document and where it came from.
pub(crate) struct Document {
    pub bytes: Vec<u8>,
    /// Set when the network failed and the cached copy was taken instead.
    pub stale_because: Option<Error>,
}

/// What the server said of a cached document.
#[derive(Default, Serialize, Deserialize)]
struct Remembered {
    etag: Option<String>,
    last_modified: Option<String>,
}

/// This program's TLS is ring's; an embedding program may have installed another one, which is then used.
pub(crate) fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

impl Fetcher {
    /// A fetcher whose cache is `cache`.
    pub(crate) fn new(cache: &Path) -> Result<Self> {
        install_tls();
        for folder in ["files", "documents", "indexes", "builds"] {
            let path = cache.join(folder);
            fs::create_dir_all(&path).map_err(|e| Error::io("create", &path, e))?;
        }
        let builder = || {
            Client::builder()
                .user_agent(concat!("cncfdemo/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(5))
                .read_timeout(Duration::from_secs(20))
        };
        // Without the system's certificates no client can be built, not even one for http.
        let client = builder().build().or_else(|_| {
            let bundled = BUNDLED_ROOTS
                .iter()
                .filter_map(|der| reqwest::Certificate::from_der(der).ok());
            builder().tls_certs_only(bundled).build()
        });
        let client = client.map_err(|e| Error::Fetch {
            url: "anything".to_owned(),
            reason: chain(&e),
        })?;
        Ok(Self {
            client,
            cache: cache.to_owned(),
            fetched: Arc::default(),
        })
    }

    /// The same, with a count of its own.
    pub(crate) fn counted(&self) -> Self {
        Self {
            fetched: Arc::default(),
            ..self.clone()
        }
    }

    /// Bytes that came over the network so far.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// A document that may change, from the cache if it is younger than `max_age`. The caller verifies it, whatever its source.
    pub(crate) async fn document(&self, url: &str, max_age: Duration) -> Result<Document> {
        let path = self.cache.join("documents").join(Digest::of(url).hex());
        let cached = match local(url) {
            Some(file) => {
                let bytes = tokio::fs::read(&file).await.map_err(|e| no_such(url, &e))?;
                return Ok(Document {
                    bytes,
                    stale_because: None,
                });
            }
            None => tokio::fs::read(&path).await.ok(),
        };
        let age = fs::metadata(&path)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|at| at.elapsed().ok());
        if let Some(bytes) = &cached
            && age.is_some_and(|age| age < max_age)
        {
            return Ok(Document {
                bytes: bytes.clone(),
                stale_because: None,
            });
        }
        match (self.refresh(url, &path, cached.is_some()).await, cached) {
            (Ok(Some(bytes)), _) | (Ok(None), Some(bytes)) => Ok(Document {
                bytes,
                stale_because: None,
            }),
            (Err(error @ Error::Fetch { .. }), Some(bytes)) => Ok(Document {
                bytes,
                stale_because: Some(error),
            }),
            (Err(error), _) => Err(error),
            (Ok(None), None) => Err(Error::Fetch {
                url: url.to_owned(),
                reason: "it is not modified, but not here".to_owned(),
            }),
        }
    }

    /// Forgets a document that turned out to be bad.
    pub(crate) fn forget(&self, url: &str) {
        let path = self.cache.join("documents").join(Digest::of(url).hex());
        let _ = fs::remove_file(path.with_extension("json"));
        let _ = fs::remove_file(path);
    }

    async fn refresh(&self, url: &str, path: &Path, cached: bool) -> Result<Option<Vec<u8>>> {
        let failed = |reason: String| Error::Fetch {
            url: url.to_owned(),
            reason,
        };
        let sidecar = path.with_extension("json");
        let mut request = self.client.get(url);
        if cached && let Ok(text) = fs::read(&sidecar) {
            let remembered: Remembered = serde_json::from_slice(&text).unwrap_or_default();
            if let Some(etag) = remembered.etag {
                request = request.header(IF_NONE_MATCH, etag);
            } else if let Some(since) = remembered.last_modified {
                request = request.header(IF_MODIFIED_SINCE, since);
            }
        }
        let response = request.send().await.map_err(|e| failed(chain(&e)))?;
        if response.status() == StatusCode::NOT_MODIFIED {
            if let Ok(file) = File::options().append(true).open(path) {
                let _ = file.set_modified(SystemTime::now());
            }
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(failed(status(response.status())));
        }
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|v: &reqwest::header::HeaderValue| v.to_str().ok())
                .map(str::to_owned)
        };
        let remembered = Remembered {
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
        };
        let bytes = response.bytes().await.map_err(|e| failed(chain(&e)))?.to_vec();
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        write(path, &bytes)?;
        write(&sidecar, &serde_json::to_vec(&remembered).unwrap_or_default())?;
        Ok(Some(bytes))
    }

    /// Where a file of this hash is or will be.
    pub(crate) fn path_of(&self, digest: &Digest) -> PathBuf {
        self.cache.join("files").join(digest.hex())
    }

    /// A file of known hash and size, from the cache or from the first address that has it. Interrupted downloads are resumed.
    pub(crate) async fn file(&self, urls: &[String], digest: Digest, size: u64) -> Result<PathBuf> {
        let path = self.path_of(&digest);
        if fs::metadata(&path).is_ok_and(|m| m.len() == size) {
            return Ok(path);
        }
        let mut last = None;
        for url in urls {
            for attempt in 0..ATTEMPTS {
                if attempt > 0 {
                    tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
                }
                match self.download(url, &path, digest, size).await {
                    Ok(()) => return Ok(path),
                    Err(error @ (Error::Fetch { .. } | Error::FetchedMismatch { .. })) => {
                        // An answer that will not change with trying.
                        let lasting =
                            matches!(&error, Error::Fetch { reason, .. } if reason.starts_with("HTTP 4"));
                        last = Some(error);
                        if lasting || local(url).is_some() {
                            break;
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::Fetch {
            url: digest.to_string(),
            reason: "no mirror is known".to_owned(),
        }))
    }

    async fn download(&self, url: &str, path: &Path, digest: Digest, size: u64) -> Result<()> {
        let failed = |reason: String| Error::Fetch {
            url: url.to_owned(),
            reason,
        };
        let part = path.with_extension("part");
        let broken = |e: std::io::Error| Error::io("write", &part, e);
        // Another process may be at the same file: one loads it, the other finds it done.
        let file = {
            let part = part.clone();
            tokio::task::spawn_blocking(move || {
                let file = File::options()
                    .create(true)
                    .truncate(false)
                    .read(true)
                    .write(true)
                    .open(part)?;
                file.lock()?;
                Ok(file)
            })
            .await?
            .map_err(broken)?
        };
        if fs::metadata(path).is_ok_and(|m| m.len() == size) {
            return Ok(());
        }
        if let Some(source) = local(url) {
            let mut reader = File::open(&source).map_err(|e| no_such(url, &e))?;
            file.set_len(0).map_err(broken)?;
            crate::store::copy(&mut reader, &mut &file).map_err(broken)?;
        } else {
            let mut have = file.metadata().map_err(broken)?.len();
            let mut request = self.client.get(url);
            if have > 0 && have < size {
                request = request.header(RANGE, format!("bytes={have}-"));
            }
            let response = request.send().await.map_err(|e| failed(chain(&e)))?;
            if !response.status().is_success() {
                return Err(failed(status(response.status())));
            }
            if response.status() != StatusCode::PARTIAL_CONTENT {
                file.set_len(0).map_err(broken)?;
                have = 0;
            }
            std::io::Seek::seek(&mut &file, std::io::SeekFrom::Start(have)).map_err(broken)?;
            let mut body = response.bytes_stream();
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(|e| failed(chain(&e)))?;
                have += chunk.len() as u64;
                if have > size {
                    file.set_len(0).map_err(broken)?;
                    return Err(failed(format!(
                        "it is larger than the {size} bytes that the metadata promise"
                    )));
                }
                (&file).write_all(&chunk).map_err(broken)?;
                self.fetched.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
        }
        let (part, path, url) = (part.clone(), path.to_owned(), url.to_owned());
        let verified = tokio::task::spawn_blocking(move || {
            let mut reader = Hashing::new(&file);
            std::io::Seek::seek(&mut &file, std::io::SeekFrom::Start(0))
                .map_err(|e| Error::io("read", &part, e))?;
            crate::store::copy(&mut reader, &mut std::io::sink()).map_err(|e| Error::io("read", &part, e))?;
            let (_, actual, _) = reader.finish();
            if actual != digest {
                // Nothing of it can be built upon.
                file.set_len(0).map_err(|e| Error::io("write", &part, e))?;
                return Err(Error::FetchedMismatch {
                    url,
                    expected: digest.hex(),
                    actual: actual.hex(),
                });
            }
            fs::rename(&part, &path).map_err(|e| Error::io("move a download to", &path, e))
        });
        verified.await?
    }
}

/// The path of a `file:` address.
fn local(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file:")?;
    Some(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest)))
}

fn no_such(url: &str, error: &std::io::Error) -> Error {
    Error::Fetch {
        url: url.to_owned(),
        reason: error.to_string(),
    }
}

fn status(status: StatusCode) -> String {
    format!("HTTP {status}")
}

/// An error with its causes: reqwest's own message says little.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Writes a file of the cache, replacing it atomically.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e| Error::io("write", path, e);
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map(drop).map_err(|e| failed(e.error))
}
