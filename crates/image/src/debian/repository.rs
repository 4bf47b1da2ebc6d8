//! A Debian release with its updates and security updates, loaded and verified.

use std::time::Duration;

use jiff::Timestamp;

use crate::debian::fetch::{Fetcher, write};
use crate::debian::index::{Index, Package};
use crate::debian::keyring::Keyring;
use crate::debian::release::Release;
use crate::debian::sources::Mirrors;
use crate::debian::version;
use crate::{Digest, Error, Result, compress};

/// `Packages` of bookworm is 50 MB; what is far beyond is not Debian's.
const INDEX_LIMIT: u64 = 1 << 30;

/// Where from, which, and how strict.
pub(crate) struct Request<'a> {
    pub mirrors: &'a Mirrors,
    pub suite: &'a str,
    pub architecture: &'a str,
    pub keyring: &'a Keyring,
    pub max_age: Duration,
    pub accept_expired: bool,
    pub now: Timestamp,
}

/// A release and its updates.
#[derive(Debug)]
pub(crate) struct Repository {
    suites: Vec<Suite>,
    /// What went not quite as it should, for the person.
    pub notes: Vec<String>,
}

#[derive(Debug)]
struct Suite {
    name: String,
    mirrors: Vec<String>,
    index: Index,
}

/// A package, and where it can be had.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub package: Package,
    pub urls: Vec<String>,
}

impl Repository {
    /// Loads a release: its suites at once, from the cache where that is fresh.
    pub(crate) async fn load(fetcher: &Fetcher, request: &Request<'_>) -> Result<Self> {
        let (main, security) = (&request.mirrors.main, &request.mirrors.security);
        let updates = format!("{}-updates", request.suite);
        let secure = format!("{}-security", request.suite);
        let (main_suite, updates, security) = tokio::join!(
            load_suite(fetcher, request, request.suite, main),
            load_suite(fetcher, request, &updates, main),
            async {
                if security.is_empty() {
                    None
                } else {
                    Some(load_suite(fetcher, request, &secure, security).await)
                }
            }
        );
        let (suite, mut notes) = main_suite?;
        let mut suites = vec![suite];
        match updates {
            Ok((suite, more)) => {
                suites.push(suite);
                notes.extend(more);
            }
            // A partial mirror; unstable has none. What is signed but bad is an error all the same.
            Err(Error::Fetch { url, reason }) => notes.push(format!("without updates: {url}: {reason}")),
            Err(error) => return Err(error),
        }
        match security {
            Some(loaded) => {
                let (suite, more) = loaded?;
                suites.push(suite);
                notes.extend(more);
            }
            None => notes.push("without security updates: no mirror of them is configured".to_owned()),
        }
        Ok(Self { suites, notes })
    }

    /// The names of the suites, for messages.
    pub(crate) fn names(&self) -> String {
        self.suites
            .iter()
            .map(|suite| suite.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The newest version of a package that `accept` takes.
    pub(crate) fn newest(&self, name: &str, accept: impl Fn(&str) -> bool) -> Option<Candidate> {
        let all = self
            .suites
            .iter()
            .flat_map(|suite| suite.index.find(name).map(move |package| (suite, package)));
        let newest = all
            .filter(|(_, package)| accept(&package.version))
            .reduce(|best, next| {
                if version::compare(&next.1.version, &best.1.version).is_gt() {
                    next
                } else {
                    best
                }
            });
        newest.map(|(suite, package)| {
            let urls = suite
                .mirrors
                .iter()
                .map(|base| format!("{base}/{}", package.filename))
                .collect();
            Candidate { package, urls }
        })
    }

    /// The packages that provide a name, in their newest versions, most important first.
    pub(crate) fn providers(&self, name: &str) -> Vec<Candidate> {
        let mut names: Vec<&str> = self
            .suites
            .iter()
            .flat_map(|suite| suite.index.providers(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut found: Vec<_> = names
            .into_iter()
            .filter_map(|name| self.newest(name, |_| true))
            .collect();
        let rank = |priority: &str| {
            ["required", "important", "standard", "optional"]
                .iter()
                .position(|p| *p == priority)
                .unwrap_or(4)
        };
        found.sort_by_key(|candidate| rank(&candidate.package.priority));
        found
    }

    /// Package names that look like `name`.
    pub(crate) fn similar(&self, name: &str) -> Vec<String> {
        let mut close: Vec<(usize, String)> = Vec::new();
        for candidate in self.suites.iter().flat_map(|suite| suite.index.names()) {
            let near = if candidate.len().abs_diff(name.len()) <= 2 {
                strsim::levenshtein(candidate, name)
            } else {
                usize::MAX
            };
            let part = name.len() >= 4 && candidate.len() <= name.len() + 8 && candidate.contains(name);
            if near <= 2 || part {
                close.push((near.min(3), candidate.to_owned()));
            }
        }
        close.sort();
        close.dedup();
        close.truncate(3);
        close.into_iter().map(|(_, name)| format!("`{name}`")).collect()
    }

    /// A repository of given `Packages` texts, for tests of what needs one.
    #[cfg(test)]
    pub(crate) fn of_texts(suites: &[(&str, &str)]) -> Self {
        let suites = suites.iter().map(|(name, text)| Suite {
            name: (*name).to_owned(),
            mirrors: vec![format!("http://{name}")],
            index: Index::load(Index::compact(name, text, "amd64").unwrap()).unwrap(),
        });
        Self {
            suites: suites.collect(),
            notes: Vec::new(),
        }
    }
}

/// Tries the mirrors in turn.
async fn load_suite(
    fetcher: &Fetcher,
    request: &Request<'_>,
    suite: &str,
    mirrors: &[String],
) -> Result<(Suite, Vec<String>)> {
    let mut notes = Vec::new();
    let mut failure = None;
    for mirror in mirrors {
        match load_index(fetcher, request, suite, mirror, &mut notes).await {
            Ok(index) => {
                // The one that answered first; the others can still have the packages.
                let mut order = vec![mirror.clone()];
                order.extend(mirrors.iter().filter(|other| *other != mirror).cloned());
                return Ok((
                    Suite {
                        name: suite.to_owned(),
                        mirrors: order,
                        index,
                    },
                    notes,
                ));
            }
            Err(error @ (Error::Fetch { .. } | Error::FetchedMismatch { .. })) if failure.is_none() => {
                failure = Some(error);
            }
            Err(Error::Fetch { .. } | Error::FetchedMismatch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(failure.unwrap_or_else(|| Error::Fetch {
        url: suite.to_owned(),
        reason: "no mirror is configured".to_owned(),
    }))
}

async fn load_index(
    fetcher: &Fetcher,
    request: &Request<'_>,
    suite: &str,
    mirror: &str,
    notes: &mut Vec<String>,
) -> Result<Index> {
    let url = format!("{mirror}/dists/{suite}/InRelease");
    let mut document = fetcher.document(&url, request.max_age).await?;
    if let Some(error) = document.stale_because.take() {
        notes.push(format!("{error}; its cached copy is used"));
    }
    let (keyring, now, suite_name, verified_url) = (
        request.keyring.clone(),
        request.now,
        suite.to_owned(),
        url.clone(),
    );
    let (bytes, accept_expired) = (document.bytes, request.accept_expired);
    let checked = tokio::task::spawn_blocking(move || {
        let text = String::from_utf8_lossy(&bytes);
        let text = keyring.verify(&verified_url, &text, u64::try_from(now.as_second()).unwrap_or(0))?;
        let release = Release::parse(&verified_url, &text, &suite_name)?;
        match release.check_time(&verified_url, now) {
            Err(error) if accept_expired => {
                Ok((release, Some(format!("{error}; accepted, as was asked for"))))
            }
            checked => checked.map(|()| (release, None)),
        }
    })
    .await?;
    // A bad document must not stay in the cache: the next try asks the mirror again.
    let (release, note) = checked.inspect_err(|_| fetcher.forget(&url))?;
    notes.extend(note);

    let folder = format!("main/binary-{}", request.architecture);
    let wanted = ["xz", "gz"].iter().find_map(|ending| {
        let name = format!("{folder}/Packages.{ending}");
        release.file(&name).map(|(digest, size)| (name, digest, size))
    });
    let (name, digest, size) = wanted.ok_or_else(|| Error::Metadata {
        what: url.clone(),
        reason: format!("it has no packages for {} (main)", request.architecture),
    })?;
    let compact = fetcher
        .cache()
        .join("indexes")
        .join(format!("{}-{}", digest.hex(), request.architecture));
    let known = compact.clone();
    let loaded =
        tokio::task::spawn_blocking(move || std::fs::read_to_string(known).ok().and_then(Index::load))
            .await?;
    if let Some(index) = loaded {
        return Ok(index);
    }
    let plain = format!("{mirror}/dists/{suite}/{name}");
    let mut urls = vec![plain.clone()];
    if release.by_hash {
        urls.insert(
            0,
            format!("{mirror}/dists/{suite}/{folder}/by-hash/SHA256/{}", digest.hex()),
        );
    }
    let file = fetcher.file(&urls, digest, size).await?;
    let architecture = request.architecture.to_owned();
    tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(&file).map_err(|e| Error::io("read", &file, e))?;
        // Read from the cache, perhaps long after it was fetched.
        let actual = Digest::of(&bytes);
        if actual != digest {
            let _ = std::fs::remove_file(&file);
            return Err(Error::FetchedMismatch {
                url: plain,
                expected: digest.hex(),
                actual: actual.hex(),
            });
        }
        let malformed = |reason: String| Error::Metadata {
            what: plain.clone(),
            reason,
        };
        let text = compress::decompress(&bytes, INDEX_LIMIT).map_err(|e| malformed(e.to_string()))?;
        let text = String::from_utf8(text).map_err(|_| malformed("it is not UTF-8".to_owned()))?;
        let text = Index::compact(&plain, &text, &architecture)?;
        write(&compact, text.as_bytes())?;
        let _ = std::fs::remove_file(&file);
        Index::load(text).ok_or_else(|| malformed("it is too large".to_owned()))
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn entry(name: &str, version: &str, extra: &str) -> String {
        let hash = Digest::of(name).hex();
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{extra}Filename: pool/{name}.deb\nSize: 5\nSHA256: {hash}\n\n"
        )
    }

    #[test]
    fn the_newest_of_all_suites() {
        let repository = Repository::of_texts(&[
            (
                "bookworm",
                &[entry("a", "1.0-1", ""), entry("redis-server", "1", "")].concat(),
            ),
            ("bookworm-security", &entry("a", "1.0-1+deb12u1", "")),
        ]);
        let newest = repository.newest("a", |_| true).unwrap();
        assert_eq!(
            (newest.package.version.as_str(), newest.urls[0].as_str()),
            ("1.0-1+deb12u1", "http://bookworm-security/pool/a.deb")
        );
        assert_eq!(
            repository.newest("a", |v| v == "1.0-1").unwrap().package.version,
            "1.0-1"
        );
        assert_eq!(repository.similar("redis-servr"), ["`redis-server`"]);
        assert_eq!(repository.similar("redis"), ["`redis-server`"]);
        assert!(repository.similar("nothing-like-it").is_empty());
    }
}
