//! The files of a layer: those of its packages, what their maintainer scripts would have made (by rule, not by running them), and what
//! the recipe adds.

use std::fmt::Write;
use std::sync::Arc;

use crate::debian::control::paragraphs;
use crate::debian::deb::{Contents, Entry};
use crate::recipe::Recipe;
use crate::tree::{Kind, Node, Tree};
use crate::{Error, Result};

/// A layer's files, and the users that an image on top of it knows.
pub(crate) struct Assembly {
    pub tree: Tree,
    pub passwd: String,
    pub group: String,
}

/// What is a symlink to below `usr` since Debian's merge of both (bookworm's packages still ship files by the old names).
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Folders that are symlinks to `run` on any Debian of today.
const MOVED: [(&str, &str); 2] = [("var/run", "run"), ("var/lock", "run/lock")];

/// Assembles a layer from its packages, sorted by name. `users` are the password and group files of the layer below.
pub(crate) fn assemble(
    recipe: &Recipe,
    packages: Vec<(String, Contents)>,
    users: Option<(String, String)>,
    program: Option<Arc<Vec<u8>>>,
) -> Result<Assembly> {
    let mut tree = Tree::default();
    let lowest = users.is_none();
    let mut merged = [false; MERGED.len()];
    for (package, contents) in packages {
        add_package(&mut tree, &package, contents, &mut merged)?;
    }
    if lowest {
        for (name, seen) in MERGED.iter().zip(merged) {
            if seen {
                tree.insert(name, Node::symlink(&format!("usr/{name}")));
                tree.insert_new(&format!("usr/{name}"), Node::folder(0o755));
            }
        }
        if tree.get("var").is_some() {
            for (from, to) in MOVED {
                tree.insert(from, Node::symlink(&format!("/{to}")));
                tree.insert_new(to, Node::folder(if to == "run" { 0o755 } else { 0o1777 }));
            }
        }
    }
    certificates(&mut tree);
    let (passwd, group) = accounts(&mut tree, recipe, users)?;
    additions(&mut tree, recipe, &passwd, &group)?;
    if let Some(program) = program {
        tree.insert(
            "cncfdemo",
            Node {
                mode: 0o755,
                uid: 0,
                gid: 0,
                kind: Kind::File(program),
            },
        );
    }
    Ok(Assembly { tree, passwd, group })
}

fn add_package(
    tree: &mut Tree,
    package: &str,
    contents: Contents,
    merged: &mut [bool; MERGED.len()],
) -> Result<()> {
    for (path, entry) in contents.files {
        let placed = place(&path);
        if let Some(at) = MERGED.iter().position(|name| {
            path == *name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'))
        }) {
            merged[at] = true;
        }
        match entry {
            Entry::Node(node) => {
                // The folder `bin` of a package is the symlink's target, which has its own owner.
                let alias =
                    placed != path && matches!(node.kind, Kind::Folder) && tree.get(&placed).is_some();
                // `lib64 -> usr/lib64` itself, as base-files of later releases ships it.
                let itself = MERGED.contains(&path.as_str()) && matches!(node.kind, Kind::Symlink(_));
                if !alias && !itself {
                    tree.insert(&placed, node);
                }
            }
            Entry::HardLink(target) => {
                let node = tree.get(&place(&target)).cloned().ok_or_else(|| Error::Package {
                    package: package.to_owned(),
                    reason: format!("{path} is a hard link to {target}, which it does not have"),
                })?;
                tree.insert(&placed, node);
            }
        }
    }
    // Scanners look here, as in distroless images: dpkg's own database would say that the packages were configured.
    let name = package.split(' ').next().unwrap_or(package);
    let status = format!("{}\n", contents.control.trim_end());
    if paragraphs(&status).next().and_then(|p| p.get("Package")) != Some(name) {
        return Err(Error::Package {
            package: package.to_owned(),
            reason: "its control file names another package".to_owned(),
        });
    }
    tree.insert(
        &format!("var/lib/dpkg/status.d/{name}"),
        Node::file(status, 0o644),
    );
    Ok(())
}

/// Where a path of a package or recipe really is.
fn place(path: &str) -> String {
    let first = path.split('/').next().unwrap_or(path);
    if MERGED.contains(&first) {
        return format!("usr/{path}");
    }
    for (from, to) in MOVED {
        if path == from || (path.starts_with(from) && path.as_bytes().get(from.len()) == Some(&b'/')) {
            return format!("{to}{}", &path[from.len()..]);
        }
    }
    path.to_owned()
}

/// update-ca-certificates(8): all certificates of `/usr/share/ca-certificates` in one file.
fn certificates(tree: &mut Tree) {
    let mut bundle = Vec::new();
    for (path, node) in tree.below("usr/share/ca-certificates") {
        if let Kind::File(bytes) = &node.kind
            && path.rsplit_once('.').is_some_and(|(_, ending)| ending == "crt")
        {
            bundle.extend_from_slice(bytes);
            if !bytes.ends_with(b"\n") {
                bundle.push(b'\n');
            }
        }
    }
    if !bundle.is_empty() {
        tree.insert("etc/ssl/certs/ca-certificates.crt", Node::file(bundle, 0o644));
    }
}

/// update-passwd(8)'s masters, and the recipe's users.
fn accounts(tree: &mut Tree, recipe: &Recipe, below: Option<(String, String)>) -> Result<(String, String)> {
    let lowest = below.is_none();
    let (mut passwd, mut group) = below.unwrap_or_else(|| {
        let master = |name: &str| {
            let bytes = tree
                .file(&format!("usr/share/base-passwd/{name}.master"))
                .unwrap_or_default();
            String::from_utf8_lossy(bytes).replace(":*:", ":x:")
        };
        (master("passwd"), master("group"))
    });
    if passwd.is_empty() {
        "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n".clone_into(&mut passwd);
        "root:x:0:\nnogroup:x:65534:\n".clone_into(&mut group);
    }
    let clash = |what: &str, name: &str| Error::Recipe {
        recipe: recipe.name.clone(),
        reason: format!("{what} `{name}` is there already"),
    };
    let mut add_group = |name: &str, gid: u32| {
        if lookup(&group, name).is_some() || by_number(&group, gid) {
            return Err(clash("group or number of group", name));
        }
        let _ = writeln!(group, "{name}:x:{gid}:");
        Ok(())
    };
    for added in &recipe.groups {
        add_group(&added.name, added.gid)?;
    }
    for user in &recipe.users {
        if lookup(&passwd, &user.name).is_some() || by_number(&passwd, user.uid) {
            return Err(clash("user or number of user", &user.name));
        }
        if user.gid.is_none() {
            add_group(&user.name, user.uid)?;
        }
        let (name, uid, gid) = (&user.name, user.uid, user.gid.unwrap_or(user.uid));
        let _ = writeln!(passwd, "{name}:x:{uid}:{gid}::{}:{}", user.home, user.shell);
    }
    if lowest || !recipe.users.is_empty() || !recipe.groups.is_empty() {
        tree.insert("etc/passwd", Node::file(passwd.as_str(), 0o644));
        tree.insert("etc/group", Node::file(group.as_str(), 0o644));
    }
    Ok((passwd, group))
}

fn additions(tree: &mut Tree, recipe: &Recipe, passwd: &str, group: &str) -> Result<()> {
    let number = |table: &str, name: Option<&String>| -> Result<u32> {
        let Some(name) = name else { return Ok(0) };
        (name.parse().ok().or_else(|| lookup(table, name))).ok_or_else(|| Error::Recipe {
            recipe: recipe.name.clone(),
            reason: format!("there is no user or group `{name}`"),
        })
    };
    for folder in &recipe.directories {
        let (uid, gid) = (
            number(passwd, folder.user.as_ref())?,
            number(group, folder.group.as_ref())?,
        );
        tree.insert(&place(&folder.path[1..]), folder.node(uid, gid));
    }
    for file in &recipe.files {
        let (uid, gid) = (
            number(passwd, file.user.as_ref())?,
            number(group, file.group.as_ref())?,
        );
        tree.insert(&place(&file.path[1..]), file.node(recipe.bytes(file), uid, gid));
    }
    for link in &recipe.links {
        tree.insert(&place(&link.path[1..]), Node::symlink(&link.target));
    }
    Ok(())
}

/// The number of a name in a password or group file.
fn lookup(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}

fn by_number(table: &str, number: u32) -> bool {
    table
        .lines()
        .any(|line| line.split(':').nth(2).and_then(|n| n.parse().ok()) == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, files: Vec<(&str, Entry)>) -> (String, Contents) {
        let files = files
            .into_iter()
            .map(|(path, entry)| (path.to_owned(), entry))
            .collect();
        (
            format!("{name} 1.0"),
            Contents {
                control: format!("Package: {name}\nVersion: 1.0\n\n"),
                files,
            },
        )
    }

    fn recipe(text: &str) -> Recipe {
        Recipe::parse("x", text, |_| None).unwrap()
    }

    #[test]
    fn what_scripts_would_have_done() {
        let node = |bytes: &str| Entry::Node(Node::file(bytes, 0o644));
        let packages = vec![
            package(
                "ca-certificates",
                vec![
                    ("usr/share/ca-certificates/m/b.crt", node("B\n")),
                    ("usr/share/ca-certificates/m/a.crt", node("A")),
                ],
            ),
            package(
                "base-passwd",
                vec![
                    (
                        "usr/share/base-passwd/passwd.master",
                        node("root:*:0:0:root:/root:/bin/bash\n"),
                    ),
                    ("usr/share/base-passwd/group.master", node("root:*:0:\n")),
                ],
            ),
            package(
                "libc6",
                vec![
                    ("lib", Entry::Node(Node::folder(0o755))),
                    ("lib/x/ld.so", node("ld")),
                    ("usr/lib/x/y", node("y")),
                    ("lib64/ld", Entry::Node(Node::symlink("/lib/x/ld.so"))),
                    ("var/run/p", node("p")),
                ],
            ),
        ];
        let recipe = recipe(
            "packages = ['a']\n[[users]]\nname = 'redis'\nuid = 999\n[[directories]]\npath = '/bin/d'\nuser = 'redis'\ngroup = 'redis'\nmode = '0750'",
        );
        let Assembly { tree, passwd, group } = assemble(&recipe, packages, None, None).unwrap();
        assert_eq!(tree.file("etc/ssl/certs/ca-certificates.crt").unwrap(), b"A\nB\n");
        assert_eq!(
            passwd,
            "root:x:0:0:root:/root:/bin/bash\nredis:x:999:999::/nonexistent:/usr/sbin/nologin\n"
        );
        assert_eq!(tree.file("etc/passwd").unwrap(), passwd.as_bytes());
        assert_eq!(group, "root:x:0:\nredis:x:999:\n");
        assert_eq!(tree.get("lib").unwrap(), &Node::symlink("usr/lib"));
        assert_eq!(tree.get("lib64").unwrap(), &Node::symlink("usr/lib64"));
        assert!(tree.get("bin").is_none());
        assert_eq!(tree.file("usr/lib/x/ld.so").unwrap(), b"ld");
        assert_eq!(tree.file("run/p").unwrap(), b"p");
        assert_eq!(tree.get("var/run").unwrap(), &Node::symlink("/run"));
        let folder = tree.get("usr/bin/d").unwrap();
        assert_eq!((folder.uid, folder.gid, folder.mode), (999, 999, 0o750));
        assert_eq!(
            tree.file("var/lib/dpkg/status.d/libc6").unwrap(),
            b"Package: libc6\nVersion: 1.0\n"
        );
    }

    #[test]
    fn on_a_base_only_what_is_new() {
        let below = ("root:x:0:0::/:/\n".to_owned(), "root:x:0:\n".to_owned());
        let plain = recipe("packages = ['a']\n[[files]]\npath = '/lib/f'\ncontent = 'x'");
        let tree = assemble(&plain, Vec::new(), Some(below.clone()), None)
            .unwrap()
            .tree;
        assert!(tree.get("etc/passwd").is_none() && tree.get("lib").is_none());
        assert_eq!(tree.file("usr/lib/f").unwrap(), b"x");
        let twice = recipe("packages = ['a']\n[[users]]\nname = 'other'\nuid = 0");
        assert!(assemble(&twice, Vec::new(), Some(below.clone()), None).is_err());
        let unknown = recipe("packages = ['a']\n[[files]]\npath = '/f'\ncontent = 'x'\nuser = 'nobody'");
        assert!(assemble(&unknown, Vec::new(), Some(below), None).is_err());
    }
}
