//! A file tree in memory, and the one tar that it always becomes: sorted, with fixed times and no names of owners.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

/// A file, folder or symlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub kind: Kind,
}

/// What a node is. Two paths that share the bytes' `Arc` are hard links of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File(Arc<Vec<u8>>),
    Symlink(String),
}

/// Nodes by path, without leading slashes. A path is sorted after the folder it is in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Node {
    pub(crate) fn file(bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            kind: Kind::File(Arc::new(bytes.into())),
        }
    }

    pub(crate) fn folder(mode: u32) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            kind: Kind::Folder,
        }
    }

    pub(crate) fn symlink(target: &str) -> Self {
        Self {
            mode: 0o777,
            uid: 0,
            gid: 0,
            kind: Kind::Symlink(target.to_owned()),
        }
    }
}

impl Tree {
    /// Puts a node at a path, with the folders above it. A folder that is there already stays, with its new owner and mode.
    pub(crate) fn insert(&mut self, path: &str, node: Node) {
        let mut at = 0;
        while let Some(slash) = path[at..].find('/') {
            at += slash;
            self.nodes
                .entry(path[..at].to_owned())
                .or_insert_with(|| Node::folder(0o755));
            at += 1;
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Puts a node at a path unless something is there.
    pub(crate) fn insert_new(&mut self, path: &str, node: Node) {
        if !self.nodes.contains_key(path) {
            self.insert(path, node);
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The bytes of a file.
    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        match &self.nodes.get(path)?.kind {
            Kind::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The paths below a folder, sorted.
    pub(crate) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
        let prefix = format!("{folder}/");
        let from = self.nodes.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.as_str(), node))
    }

    /// Writes the tree as a tar.
    pub(crate) fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(writer);
        let mut first: HashMap<*const Vec<u8>, &str> = HashMap::new();
        for (path, node) in &self.nodes {
            let mut header = tar::Header::new_gnu();
            header.set_mode(node.mode);
            header.set_uid(node.uid.into());
            header.set_gid(node.gid.into());
            header.set_mtime(0);
            header.set_size(0);
            match &node.kind {
                Kind::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Kind::Symlink(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    tar.append_link(&mut header, path, target)?;
                }
                Kind::File(bytes) => {
                    if Arc::strong_count(bytes) > 1 {
                        if let Some(target) = first.get(&Arc::as_ptr(bytes)) {
                            header.set_entry_type(tar::EntryType::Link);
                            tar.append_link(&mut header, path, target)?;
                            continue;
                        }
                        first.insert(Arc::as_ptr(bytes), path);
                    }
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, path, bytes.as_slice())?;
                }
            }
        }
        tar.into_inner()?.flush()
    }
}

/// Whether a path matches a pattern: `*` within a component, `**` across them, `?` one character.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    fn rest(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*', more @ ..] => (0..=path.len()).any(|at| rest(more, &path[at..])),
            [b'*', more @ ..] => {
                let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
                (0..=end).any(|at| rest(more, &path[at..]))
            }
            [b'?', more @ ..] => path.first().is_some_and(|b| *b != b'/') && rest(more, &path[1..]),
            [c, more @ ..] => path.first() == Some(c) && rest(more, &path[1..]),
        }
    }
    rest(pattern.trim_start_matches('/').as_bytes(), path.as_bytes())
}

/// [`matches`], and `folder/**` covers the folder itself too.
pub(crate) fn covers(pattern: &str, path: &str) -> bool {
    matches(pattern, path)
        || pattern
            .strip_suffix("/**")
            .is_some_and(|folder| matches(folder, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("usr/share/man/**", "usr/share/man/man1/ls.1", true),
            ("/usr/share/man/**", "usr/share/man/x", true),
            ("usr/share/man/**", "usr/share/manual", false),
            ("usr/share/doc/*/copyright", "usr/share/doc/a/copyright", true),
            ("usr/share/doc/*/copyright", "usr/share/doc/a/b/copyright", false),
            ("**/*.a", "usr/lib/x.a", true),
            ("etc/?", "etc/a", true),
            ("etc/?", "etc/", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        assert!(covers("usr/share/man/**", "usr/share/man") && !covers("usr/share/man/**", "usr/share"));
    }

    #[test]
    fn one_tree_is_one_tar() {
        let mut one = Tree::default();
        let shared = Node::file("data", 0o755);
        one.insert("usr/bin/b", shared.clone());
        one.insert("usr/bin/a", shared);
        one.insert("bin", Node::symlink("usr/bin"));
        one.insert(&format!("usr/{}/x", "long/".repeat(40)), Node::file("y", 0o644));
        let write = |tree: &Tree| {
            let mut bytes = Vec::new();
            tree.write(&mut bytes).unwrap();
            bytes
        };
        let bytes = write(&one);
        assert_eq!(bytes, write(&one.clone()));
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| {
                let e = e.unwrap();
                (e.path().unwrap().display().to_string(), e.header().entry_type())
            })
            .collect();
        assert_eq!(entries[0], ("bin".to_owned(), tar::EntryType::Symlink));
        assert_eq!(entries[3], ("usr/bin/a".to_owned(), tar::EntryType::Regular));
        assert_eq!(entries[4], ("usr/bin/b".to_owned(), tar::EntryType::Link));
    }
}
