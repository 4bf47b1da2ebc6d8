//! How much disk a pod uses: the writable layers and logs of its containers, and its volumes of type emptyDir.
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// By container.
    pub containers: BTreeMap<String, u64>,
    /// By volume.
    pub volumes: BTreeMap<String, u64>,
}

impl Usage {
    /// Counts what is in a pod's folder (blocking). Files that go away meanwhile are not counted.
    pub fn of(pod_dir: &Path) -> Self {
        let mut usage = Self::default();
        for (name, container) in entries(&pod_dir.join("containers")) {
            let attempts = entries(&container).into_iter().map(|(_, attempt)| attempt);
            let parts = attempts.flat_map(|attempt| entries(&attempt));
            // The root filesystem is an overlay of the upper folder and the image, which all pods share.
            let own = parts.filter(|(part, _)| part != "work");
            let bytes = own.map(|(_, path)| size(&path)).sum();
            usage.containers.insert(name, bytes);
        }
        for (name, volume) in entries(&pod_dir.join("volumes")) {
            if let Some(name) = name.strip_prefix("empty-dir~") {
                usage.volumes.insert(name.to_owned(), size(&volume));
            }
        }
        usage
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.containers.values().chain(self.volumes.values()).sum()
    }
}

fn entries(dir: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect()
}

/// Blocks of a tree, like `du -x`: a file with several names counts once, what is mounted below does not.
fn size(root: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(root) else {
        return 0;
    };
    // Mounted itself: a volume in memory.
    let parent = root.parent().and_then(|parent| fs::symlink_metadata(parent).ok());
    if parent.is_some_and(|parent| parent.dev() != meta.dev()) {
        return 0;
    }
    let (mut total, mut linked) = (meta.blocks() * 512, HashSet::new());
    let mut folders = if meta.is_dir() {
        vec![root.to_owned()]
    } else {
        Vec::new()
    };
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != meta.dev()
                || (found.nlink() > 1 && !found.is_dir() && !linked.insert(found.ino()))
            {
                continue;
            }
            total += found.blocks() * 512;
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_logs_and_volumes_are_counted_and_images_are_not() {
        let dir = std::env::temp_dir().join(format!("node-usage-{}", std::process::id()));
        let file = |path: &str, bytes: usize| {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1_u8; bytes]).unwrap();
        };
        file("containers/a/0/upper/x", 100_000);
        file("containers/a/0/work/x", 900_000);
        file("containers/a/1/log", 50_000);
        file("volumes/empty-dir~v/x", 200_000);
        file("volumes/configmap~c/x", 300_000);
        fs::hard_link(
            dir.join("volumes/empty-dir~v/x"),
            dir.join("volumes/empty-dir~v/y"),
        )
        .unwrap();
        let usage = Usage::of(&dir);
        assert!((150_000..250_000).contains(&usage.containers["a"]), "{usage:?}");
        assert!((200_000..300_000).contains(&usage.volumes["v"]), "{usage:?}");
        assert_eq!(usage.total(), usage.containers["a"] + usage.volumes["v"]);
        fs::remove_dir_all(dir).unwrap();
    }
}
