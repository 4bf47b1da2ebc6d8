//! Volumes that do nothing any more, and files of volumes that lie in each other's way.
use super::claim_spec;
use crate::field::Node;

const OLD: [(&str, &str); 9] = [
    (
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    (
        "gitRepo",
        "deprecated in v1.11, and disabled by default in v1.33+",
    ),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// The volumes of a pod.
pub(super) fn of_pod(volumes: &Node<'_>, found: &mut Vec<String>) {
    for volume in volumes.items() {
        old(&volume, found);
        let claim = volume.at(&["ephemeral", "volumeClaimTemplate", "spec"]);
        if claim.present() {
            found.extend(claim_spec(&claim));
        }
    }
    for volume in volumes.items() {
        overlapping(&volume, found);
    }
}

/// A persistent volume.
pub(super) fn persistent(volume: &Node<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, message) in [
        (
            super::STORAGE_CLASS,
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        (
            "volume.beta.kubernetes.io/mount-options",
            "deprecated since v1.31; use \"mountOptions\" attribute instead",
        ),
    ] {
        let annotation = volume.at(&["metadata", "annotations"]).key(name);
        if annotation.present() {
            found.push(format!("{}: {message}", annotation.path()));
        }
    }
    old(&volume.get("spec"), &mut found);
    found
}

fn old(source: &Node<'_>, found: &mut Vec<String>) {
    for (field, message) in OLD {
        let field = source.get(field);
        if field.present() {
            found.push(format!("{}: {message}", field.path()));
        }
    }
}

fn overlapping(volume: &Node<'_>, found: &mut Vec<String>) {
    let name = volume.get("name").text();
    let mut tell = |what: &str, paths: Vec<File>| {
        for (file, other) in collisions(paths) {
            found.push(format!(
                "volume {name:?} ({what}): overlapping paths: {file} with {other}"
            ));
        }
    };
    for (field, what, reference) in [
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
    ] {
        let source = volume.get(field);
        let owner = format!("{what} {:?}", source.get(reference).text());
        tell(&owner, files(&source, ""));
    }
    tell("DownwardAPI", files(&volume.get("downwardAPI"), ""));
    let mut projected = Vec::new();
    for source in volume.at(&["projected", "sources"]).items() {
        for (field, what) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
            let part = source.get(field);
            projected.extend(files(&part, &format!("{what} {:?}", part.get("name").text())));
        }
        projected.extend(files(&source.get("downwardAPI"), "DownwardAPI"));
        let token = source.get("serviceAccountToken");
        if token.present() {
            projected.push(File::new(token.get("path").text(), "ServiceAccountToken"));
        }
    }
    tell("Projected", projected);
    for source in volume.at(&["projected", "sources"]).items() {
        if source.is_empty() {
            found.push(format!("volume {name:?} (Projected) has no sources provided"));
        }
    }
}

/// A file that a volume is to have, and what puts it there.
#[derive(Clone)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn new(path: &str, source: &str) -> File {
        File {
            path: path.trim_end_matches('/').to_owned(),
            source: source.to_owned(),
        }
    }
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.path)?;
        if self.source.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.source)
    }
}

fn files(source: &Node<'_>, owner: &str) -> Vec<File> {
    let items = source.get("items").items();
    items
        .iter()
        .map(|item| File::new(item.get("path").text(), owner))
        .collect()
}

/// So many are told at most: a client is shown fewer, and all pairs could be the square of the files.
const MOST: usize = 512;

/// Files of which one is the other or lies in it: the later one first.
fn collisions(files: Vec<File>) -> Vec<(File, File)> {
    let files: Vec<File> = files.into_iter().filter(|f| !f.path.is_empty()).collect();
    let folders: Vec<String> = files.iter().map(|file| format!("{}/", file.path)).collect();
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|at| (&folders[*at], *at));
    // In this order everything in a folder follows it at once, so that those above are a stack.
    let mut above: Vec<usize> = Vec::new();
    let mut pairs = Vec::new();
    for at in order {
        while above
            .pop_if(|last| !folders[at].starts_with(&folders[*last]))
            .is_some()
        {}
        let room = MOST - pairs.len();
        pairs.extend(
            above
                .iter()
                .take(room)
                .map(|other| (at.max(*other), at.min(*other))),
        );
        above.push(at);
    }
    pairs.sort_unstable();
    pairs
        .into_iter()
        .map(|(file, other)| (files[file].clone(), files[other].clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_overlap() {
        let of = |paths: &[&str]| -> Vec<String> {
            let files = paths.iter().map(|path| File::new(path, "")).collect();
            let found = collisions(files).into_iter();
            found.map(|(file, other)| format!("{file} {other}")).collect()
        };
        assert_eq!(
            of(&["a/b", "a", "a-b", "b", "a/b/c", "b/", "", "ab"]),
            [r#""a" "a/b""#, r#""a/b/c" "a/b""#, r#""a/b/c" "a""#, r#""b" "b""#]
        );
        assert_eq!(of(&vec!["same"; 10_000]).len(), MOST);
    }
}
