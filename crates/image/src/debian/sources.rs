//! Where Debian's archive is: this host's own apt sources if it is a Debian, else the public addresses.

use std::collections::BTreeSet;
use std::path::Path;

use crate::debian::control::paragraphs;

/// The public mirror network.
const MAIN: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";

/// Addresses of the archive (`http://`, `https://` or `file:///`), tried in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrors {
    /// Of the archive itself: `SUITE` and `SUITE-updates`.
    pub main: Vec<String>,
    /// Of `SUITE-security`; empty leaves security updates out.
    pub security: Vec<String>,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self {
            main: vec![MAIN.to_owned()],
            security: vec![SECURITY.to_owned()],
        }
    }
}

impl Mirrors {
    /// One mirror for everything. Its security archive is taken to be beside it, as Debian's mirrors have it.
    pub fn at(url: &str) -> Self {
        let url = url.trim_end_matches('/');
        Self {
            main: vec![url.to_owned()],
            security: vec![format!("{url}-security")],
        }
    }

    /// The mirrors that a Debian host at `root` (`/`) uses itself, else the public ones. Only entries of Debian's own archive count.
    pub fn of_host(root: &Path) -> Self {
        let os = std::fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
        if !os
            .lines()
            .any(|line| line == "ID=debian" || line == "ID=\"debian\"")
        {
            return Self::default();
        }
        let mut found = Self {
            main: Vec::new(),
            security: Vec::new(),
        };
        let mut files: BTreeSet<_> = [root.join("etc/apt/sources.list")].into();
        if let Ok(folder) = std::fs::read_dir(root.join("etc/apt/sources.list.d")) {
            files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
        }
        for path in files {
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            match path.extension().and_then(|e| e.to_str()) {
                Some("sources") => found.deb822(&text),
                Some("list") => found.one_line(&text),
                _ => {}
            }
        }
        let public = Self::default();
        if found.main.is_empty() {
            return public;
        }
        if found.security.is_empty() {
            found.security = public.security;
        }
        found
    }

    /// Whether the host at `root` has told its own apt not to mind `Valid-Until` (apt.conf(5)), as hosts of a fixed mirror do.
    pub fn host_accepts_expired(root: &Path) -> bool {
        let mut files: BTreeSet<_> = [root.join("etc/apt/apt.conf")].into();
        if let Ok(folder) = std::fs::read_dir(root.join("etc/apt/apt.conf.d")) {
            files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
        }
        let mut accepts = false;
        for text in files
            .into_iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
        {
            for line in text.lines() {
                let Some(value) = line.trim().strip_prefix("Acquire::Check-Valid-Until") else {
                    continue;
                };
                let value = value
                    .trim()
                    .trim_end_matches(';')
                    .trim_matches('"')
                    .to_ascii_lowercase();
                accepts = matches!(value.as_str(), "false" | "no" | "0" | "off");
            }
        }
        accepts
    }

    fn deb822(&mut self, text: &str) {
        for paragraph in paragraphs(text) {
            let words = |field: &str| paragraph.get(field).unwrap_or_default().split_whitespace();
            let off = paragraph
                .get("Enabled")
                .is_some_and(|v| matches!(v, "no" | "false" | "0" | "off"));
            let foreign = paragraph
                .get("Signed-By")
                .is_some_and(|by| !by.contains("debian-archive"));
            if off
                || foreign
                || !words("Types").any(|t| t == "deb")
                || !words("Components").any(|c| c == "main")
            {
                continue;
            }
            for url in words("URIs") {
                for suite in words("Suites") {
                    self.entry(url, suite);
                }
            }
        }
    }

    fn one_line(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("deb ") else {
                continue;
            };
            let (options, rest) = match rest
                .trim_start()
                .strip_prefix('[')
                .and_then(|r| r.split_once(']'))
            {
                Some((options, rest)) => (options, rest),
                None => ("", rest),
            };
            if options.contains("signed-by=") && !options.contains("debian-archive") {
                continue;
            }
            let mut words = rest.split_whitespace();
            if let (Some(url), Some(suite)) = (words.next(), words.next())
                && words.any(|component| component == "main")
            {
                self.entry(url, suite);
            }
        }
    }

    /// A host of any Debian release has the same mirror for all of them.
    fn entry(&mut self, url: &str, suite: &str) {
        const RELEASES: [&str; 9] = [
            "bullseye",
            "bookworm",
            "trixie",
            "forky",
            "sid",
            "stable",
            "testing",
            "unstable",
            "oldstable",
        ];
        let url = url.trim_end_matches('/').to_owned();
        let fetchable = ["http://", "https://", "file:"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        let security = suite
            .strip_suffix("-security")
            .or_else(|| suite.strip_suffix("/updates"));
        let (release, list) = match security {
            Some(release) => (release, &mut self.security),
            None => (suite, &mut self.main),
        };
        if fetchable && RELEASES.contains(&release) && !list.contains(&url) {
            list.push(url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> Mirrors {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Mirrors::of_host(root.path())
    }

    #[test]
    fn of_a_debian_host_in_both_formats() {
        let os = ("etc/os-release", "NAME=x\nID=debian\n");
        let deb822 = "# comment\nTypes: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\nTypes: deb\nURIs: http://mirror.example/sec\nSuites: bookworm-security\nComponents: main\n";
        let other = "Types: deb\nURIs: https://vendor.example/x\nSuites: bookworm\nComponents: main\nSigned-By: /usr/share/keyrings/vendor.gpg\n";
        let expected = Mirrors {
            main: vec!["http://mirror.example/debian".into()],
            security: vec!["http://mirror.example/sec".into()],
        };
        assert_eq!(
            host(&[
                os,
                ("etc/apt/sources.list.d/debian.sources", deb822),
                ("etc/apt/sources.list.d/v.sources", other)
            ]),
            expected
        );
        let list = "deb [arch=amd64] http://mirror.example/debian trixie main contrib # x\n#deb http://no.example/debian trixie main\ndeb-src http://no.example trixie main\ndeb http://mirror.example/sec trixie-security main\ndeb https://vendor.example/apt cloud-sdk-bookworm main\n";
        assert_eq!(host(&[os, ("etc/apt/sources.list", list)]), expected);
    }

    #[test]
    fn of_another_host_the_public_ones() {
        let list = (
            "etc/apt/sources.list",
            "deb http://archive.example/ubuntu noble main\n",
        );
        assert_eq!(
            host(&[("etc/os-release", "ID=ubuntu\nID_LIKE=debian\n"), list]),
            Mirrors::default()
        );
        assert_eq!(host(&[]), Mirrors::default());
        let root = tempfile::tempdir().unwrap();
        assert!(!Mirrors::host_accepts_expired(root.path()));
        std::fs::create_dir_all(root.path().join("etc/apt/apt.conf.d")).unwrap();
        let file = root.path().join("etc/apt/apt.conf.d/99x");
        std::fs::write(file, "# x\nAcquire::Check-Valid-Until \"false\";\n").unwrap();
        assert!(Mirrors::host_accepts_expired(root.path()));
        assert_eq!(
            Mirrors::at("http://m/debian/").security,
            ["http://m/debian-security"]
        );
    }
}
