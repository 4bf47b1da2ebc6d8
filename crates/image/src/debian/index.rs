//! The packages of one suite, in a compact form that loads in a moment: one line a package, sorted by name, then one line for
//! each provided name. Parsing `Packages` (50 MB for bookworm) takes a second; this is done once for each of its versions.

use std::fmt::Write;

use crate::debian::control::{dependencies, paragraphs};
use crate::{Digest, Error, Result};

/// First line of the form; another one is thrown away and made anew.
const MAGIC: &str = "cncfdemo-index-1";
const FIELDS: usize = 11;

/// A package as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub name: String,
    pub version: String,
    pub priority: String,
    pub pre_depends: String,
    pub depends: String,
    pub provides: String,
    pub conflicts: String,
    pub breaks: String,
    pub filename: String,
    pub size: u64,
    pub digest: Digest,
}

/// All packages of one suite.
#[derive(Debug)]
pub(crate) struct Index {
    text: String,
    /// Where each package's line begins.
    packages: Vec<u32>,
    /// Where each provided name's line begins.
    provided: Vec<u32>,
}

impl Index {
    /// The compact form of a `Packages` document.
    pub(crate) fn compact(what: &str, document: &str, architecture: &str) -> Result<String> {
        let malformed = |reason: String| Error::Metadata {
            what: what.to_owned(),
            reason,
        };
        let mut lines = Vec::new();
        let mut provided = Vec::new();
        for paragraph in paragraphs(document) {
            let mut fields: [&str; FIELDS] = [""; FIELDS];
            let mut of = "";
            for (name, value) in paragraph.fields() {
                let slot = match name {
                    "Package" => 0,
                    "Version" => 1,
                    "Priority" => 2,
                    "Pre-Depends" => 3,
                    "Depends" => 4,
                    "Provides" => 5,
                    "Conflicts" => 6,
                    "Breaks" => 7,
                    "Filename" => 8,
                    "Size" => 9,
                    "SHA256" => 10,
                    "Architecture" => {
                        of = value;
                        continue;
                    }
                    _ => continue,
                };
                fields[slot] = value;
            }
            if of != architecture && of != "all" {
                continue;
            }
            for (slot, name) in [
                (0, "Package"),
                (1, "Version"),
                (8, "Filename"),
                (9, "Size"),
                (10, "SHA256"),
            ] {
                if fields[slot].is_empty() {
                    return Err(malformed(format!("package `{}` has no {name}", fields[0])));
                }
            }
            for (_, alternatives) in dependencies(fields[5]) {
                provided.extend(alternatives.first().map(|a| format!("{}\t{}", a.name, fields[0])));
            }
            lines.push(fields.map(|field| field.replace(['\t', '\n'], " ")).join("\t"));
        }
        lines.sort_unstable();
        provided.sort_unstable();
        let mut text = format!("{MAGIC}\t{}\t{}\n", lines.len(), provided.len());
        for line in lines.iter().chain(&provided) {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("end\n");
        Ok(text)
    }

    /// Loads the compact form; `None` if it is not whole.
    pub(crate) fn load(text: String) -> Option<Self> {
        let (header, _) = text.split_once('\n')?;
        let mut words = header.split('\t');
        let (magic, packages, provided) = (words.next()?, words.next()?, words.next()?);
        let (packages, provided): (usize, usize) = (packages.parse().ok()?, provided.parse().ok()?);
        if magic != MAGIC || !text.ends_with("\nend\n") || u32::try_from(text.len()).is_err() {
            return None;
        }
        let mut starts = Vec::with_capacity(packages + provided + 2);
        starts.extend(text.match_indices('\n').map(|(at, _)| at as u32 + 1));
        // Header's end, one for each line, and the last `end`.
        if starts.len() != packages + provided + 2 {
            return None;
        }
        let provided = starts[packages..starts.len() - 2].to_vec();
        starts.truncate(packages);
        Some(Self {
            text,
            packages: starts,
            provided,
        })
    }

    /// The versions of a package in this suite; usually one.
    pub(crate) fn find<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Package> + 'a {
        self.lines(&self.packages, name).filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [
                name,
                version,
                priority,
                pre_depends,
                depends,
                provides,
                conflicts,
                breaks,
                filename,
                size,
                hash,
            ] = fields[..]
            else {
                return None;
            };
            Some(Package {
                name: name.to_owned(),
                version: version.to_owned(),
                priority: priority.to_owned(),
                pre_depends: pre_depends.to_owned(),
                depends: depends.to_owned(),
                provides: provides.to_owned(),
                conflicts: conflicts.to_owned(),
                breaks: breaks.to_owned(),
                filename: filename.to_owned(),
                size: size.parse().ok()?,
                digest: Digest::from_hex(hash).ok()?,
            })
        })
    }

    /// Names of the packages that provide a name.
    pub(crate) fn providers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.lines(&self.provided, name)
            .filter_map(|line| line.split_once('\t').map(|(_, by)| by))
    }

    /// All package names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.packages
            .iter()
            .map(|start| first(&self.text[*start as usize..]))
    }

    fn lines<'a>(&'a self, starts: &'a [u32], name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let at = move |start: u32| &self.text[start as usize..];
        let from = starts.partition_point(|start| first(at(*start)) < name);
        starts[from..]
            .iter()
            .map(move |start| at(*start).split('\n').next().unwrap_or_default())
            .take_while(move |line| first(line) == name)
    }
}

fn first(line: &str) -> &str {
    line.split(['\t', '\n']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in() {
        let hash = Digest::of("x").hex();
        let entry = |name: &str, arch: &str, extra: &str| {
            format!(
                "Package: {name}\nVersion: 1\nArchitecture: {arch}\n{extra}Filename: pool/{name}.deb\nSize: 5\nSHA256: {hash}\n\n"
            )
        };
        let text = [
            entry(
                "b",
                "amd64",
                "Depends: a,\n c (>= 2)\nProvides: virt, other (= 3)\n",
            ),
            entry("a", "all", "Provides: virt\n"),
            entry("ab", "amd64", ""),
            entry("z", "arm64", ""),
        ]
        .concat();
        let compact = Index::compact("x", &text, "amd64").unwrap();
        assert!(Index::load(compact[..compact.len() - 5].to_owned()).is_none());
        let index = Index::load(compact).unwrap();
        assert_eq!(index.names().collect::<Vec<_>>(), ["a", "ab", "b"]);
        assert_eq!(index.find("b").next().unwrap().depends, "a,  c (>= 2)");
        assert_eq!(index.find("a").count(), 1);
        assert_eq!(index.find("z").count(), 0);
        assert_eq!(index.providers("virt").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(index.providers("other").collect::<Vec<_>>(), ["b"]);
        assert!(Index::compact("x", "Package: a\nArchitecture: all\n", "amd64").is_err());
    }
}
