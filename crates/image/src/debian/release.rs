//! `InRelease`: what a suite holds, and until when it says so.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::debian::control::paragraphs;
use crate::{Digest, Error, Result};

/// A verified release document.
#[derive(Debug)]
pub(crate) struct Release {
    pub by_hash: bool,
    files: HashMap<String, (Digest, u64)>,
    date: String,
    valid_until: Option<String>,
}

impl Release {
    /// Reads a document whose signature was verified, and checks that it is of the suite that was asked for.
    pub(crate) fn parse(url: &str, text: &str, suite: &str) -> Result<Self> {
        let malformed = |reason: &str| Error::Metadata {
            what: url.to_owned(),
            reason: reason.to_owned(),
        };
        let paragraph = paragraphs(text).next().ok_or_else(|| malformed("it is empty"))?;
        // A signed document of another suite is not what was asked for, however good its signature.
        let named = [paragraph.get("Suite"), paragraph.get("Codename")];
        if !named.contains(&Some(suite)) {
            let is = named.into_iter().flatten().collect::<Vec<_>>().join(", ");
            return Err(malformed(&format!("it is of suite `{is}`, not `{suite}`")));
        }
        let date = paragraph
            .get("Date")
            .ok_or_else(|| malformed("it has no Date"))?
            .to_owned();
        let valid_until = paragraph.get("Valid-Until").map(str::to_owned);
        let mut files = HashMap::new();
        for line in paragraph
            .get("SHA256")
            .ok_or_else(|| malformed("it has no SHA256 sums"))?
            .lines()
        {
            let mut words = line.split_whitespace();
            if let (Some(hash), Some(size), Some(name)) = (words.next(), words.next(), words.next()) {
                let size = size.parse().map_err(|_| malformed("a size is not a number"))?;
                files.insert(name.to_owned(), (Digest::from_hex(hash)?, size));
            }
        }
        Ok(Self {
            by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
            files,
            date,
            valid_until,
        })
    }

    /// Checks that it is of today: an old one, however well signed, hides the security updates since.
    pub(crate) fn check_time(&self, url: &str, now: Timestamp) -> Result<()> {
        let malformed = |reason: &str| Error::Metadata {
            what: url.to_owned(),
            reason: reason.to_owned(),
        };
        let shown = now.strftime("%F %T UTC").to_string();
        // A day of grace for clocks and time zones.
        if time(&self.date)
            .ok_or_else(|| malformed("its Date is not a date"))?
            .as_second()
            > now.as_second() + 86_400
        {
            return Err(Error::FromTheFuture {
                url: url.to_owned(),
                date: self.date.clone(),
                now: shown,
            });
        }
        if let Some(until) = &self.valid_until
            && time(until).ok_or_else(|| malformed("its Valid-Until is not a date"))? < now
        {
            return Err(Error::Expired {
                url: url.to_owned(),
                until: until.clone(),
                now: shown,
            });
        }
        Ok(())
    }

    /// Hash and size of a file of the suite.
    pub(crate) fn file(&self, name: &str) -> Option<(Digest, u64)> {
        self.files.get(name).copied()
    }
}

fn time(text: &str) -> Option<Timestamp> {
    // `UTC` is how Debian writes it; RFC 2822 knows it as an obsolete zone that jiff does not take.
    let text = text.replace("UTC", "+0000").replace("GMT", "+0000");
    jiff::fmt::rfc2822::parse(&text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: oldstable-security\nCodename: bookworm-security\nDate: Sat, 21 Nov 2026 00:53:02 UTC\nValid-Until: Sat, 28 Nov 2026 00:53:02 UTC\nAcquire-By-Hash: yes\nSHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages\n";

    fn parse(suite: &str, now: &str) -> Result<Release> {
        let release = Release::parse("http://mirror/InRelease", TEXT, suite)?;
        release.check_time("http://mirror/InRelease", now.parse().unwrap())?;
        Ok(release)
    }

    #[test]
    fn is_of_its_suite_and_of_today() {
        let release = parse("bookworm-security", "2026-11-22T20:00:00Z").unwrap();
        assert!(release.by_hash);
        assert_eq!(release.file("main/binary-amd64/Packages").unwrap().1, 0);
        assert!(release.file("main/binary-arm64/Packages").is_none());
        assert!(matches!(
            parse("bookworm", "2026-11-22T20:00:00Z"),
            Err(Error::Metadata { .. })
        ));
        assert!(matches!(
            parse("bookworm-security", "2026-11-28T00:53:03Z"),
            Err(Error::Expired { .. })
        ));
        assert!(matches!(
            parse("bookworm-security", "2026-11-01T00:00:00Z"),
            Err(Error::FromTheFuture { .. })
        ));
    }
}
