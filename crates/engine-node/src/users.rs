//! Whom a container runs as: the security context, else the image, with names looked up in the image's own `/etc/passwd` and
//! `/etc/group` (containerd's oci.WithUser and oci.WithAdditionalGIDs; kubelet's verifyRunAsNonRoot).
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::model::RunAs;

const MAX_TABLE: u64 = 4 << 20;

/// Decides, or says why the container may not run.
pub fn resolve(
    pod: &Pod,
    container: &Container,
    image_user: &str,
    layers: &[PathBuf],
) -> Result<RunAs, String> {
    let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let own = container.security_context.as_ref();
    let user = own
        .and_then(|s| s.run_as_user)
        .or(shared.and_then(|s| s.run_as_user));
    let group = own
        .and_then(|s| s.run_as_group)
        .or(shared.and_then(|s| s.run_as_group));
    let non_root = own
        .and_then(|s| s.run_as_non_root)
        .or(shared.and_then(|s| s.run_as_non_root))
        == Some(true);
    let (name, image_group) = image_user.split_once(':').unwrap_or((image_user, ""));
    let label = || {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        format!(
            "(pod: \"{pod_name}_{namespace}({uid})\", container: {})",
            container.name
        )
    };
    if non_root {
        match user {
            Some(0) => {
                return Err(format!(
                    "container's runAsUser breaks non-root policy {}",
                    label()
                ));
            }
            None if name.is_empty() || name == "0" => {
                return Err(format!(
                    "container has runAsNonRoot and image will run as root {}",
                    label()
                ));
            }
            None if name.parse::<u32>().is_err() => {
                return Err(format!(
                    "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {}",
                    label()
                ));
            }
            _ => {}
        }
    }
    let passwd = Table::read(layers, "etc/passwd");
    let groups = Table::read(layers, "etc/group");
    let wanted = user.map_or_else(|| name.to_owned(), |uid| uid.to_string());
    let entry = if wanted.is_empty() {
        passwd.by_id(2, "0")
    } else {
        passwd.find(&wanted, 2)
    };
    let uid = match (&entry, wanted.parse::<u32>()) {
        (Some(entry), _) => entry[2].parse::<u32>().unwrap_or(0),
        (None, Ok(uid)) => uid,
        (None, Err(_)) if wanted.is_empty() => 0,
        (None, Err(_)) => {
            return Err(format!(
                "unable to find user {wanted}: no matching entries in passwd file"
            ));
        }
    };
    let gid = match group {
        Some(gid) => u32::try_from(gid).map_err(|_| format!("invalid group id {gid}"))?,
        None if user.is_none() && !image_group.is_empty() => match groups.find(image_group, 2) {
            Some(found) => found[2].parse().unwrap_or(0),
            None => image_group.parse().map_err(|_| {
                format!("unable to find group {image_group}: no matching entries in group file")
            })?,
        },
        None => entry
            .as_ref()
            .and_then(|entry| entry.get(3)?.parse().ok())
            .unwrap_or(0),
    };
    let mut all = vec![gid];
    let strict = shared.and_then(|s| s.supplemental_groups_policy.as_deref()) == Some("Strict");
    if let Some(entry) = entry.filter(|_| !strict) {
        all.extend(groups.containing(&entry[0]));
    }
    let extra = shared
        .and_then(|s| s.supplemental_groups.clone())
        .unwrap_or_default();
    let fs_group = shared.and_then(|s| s.fs_group);
    all.extend(
        fs_group
            .into_iter()
            .chain(extra)
            .filter_map(|gid| u32::try_from(gid).ok()),
    );
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|gid| seen.insert(*gid));
    Ok(RunAs {
        uid,
        gid,
        groups: all,
    })
}

/// A table of colon-separated lines.
struct Table(Vec<Vec<String>>);

impl Table {
    /// The file as the topmost layer that has it says.
    fn read(layers: &[PathBuf], path: &str) -> Self {
        for layer in layers {
            if let Some(text) = read_in(layer, path) {
                return Self::parse(&text);
            }
        }
        Self(Vec::new())
    }

    fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        Self(lines.filter(|fields| fields.len() >= 3).collect())
    }

    /// By name, or by number when it is one.
    fn find(&self, wanted: &str, column: usize) -> Option<Vec<String>> {
        self.0
            .iter()
            .find(|fields| fields[0] == wanted)
            .cloned()
            .or_else(|| self.by_id(column, wanted))
    }

    fn by_id(&self, column: usize, id: &str) -> Option<Vec<String>> {
        self.0.iter().find(|fields| fields[column] == id).cloned()
    }

    /// Groups that list a user as a member.
    fn containing(&self, user: &str) -> impl Iterator<Item = u32> {
        self.0
            .iter()
            .filter(move |fields| {
                fields
                    .get(3)
                    .is_some_and(|members| members.split(',').any(|member| member == user))
            })
            .filter_map(|fields| fields[2].parse().ok())
    }
}

/// Reads a file of a layer; links in it cannot lead out of it.
fn read_in(layer: &std::path::Path, path: &str) -> Option<String> {
    let root = rustix::fs::open(
        layer,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat2(
        root.as_fd(),
        path,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .ok()?;
    let file = File::from(fd);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_TABLE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nredis:x:101:102::/:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(
            dir.path().join("etc/group"),
            "root:x:0:\nwheel:x:10:root,redis\nredis:x:102:\n",
        )
        .unwrap();
        let paths = vec![dir.path().to_owned()];
        (dir, paths)
    }

    fn run(spec: serde_json::Value, image: &str) -> Result<RunAs, String> {
        let pod: Pod = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec}),
        )
        .unwrap();
        let (_dir, layers) = layers();
        resolve(&pod, &pod.spec.as_ref().unwrap().containers[0], image, &layers)
    }

    #[test]
    fn images_and_contexts() {
        let plain = serde_json::json!({"containers": [{"name": "c"}]});
        assert_eq!(
            run(plain.clone(), "").unwrap(),
            RunAs {
                uid: 0,
                gid: 0,
                groups: vec![0, 10]
            }
        );
        assert_eq!(
            run(plain.clone(), "redis").unwrap(),
            RunAs {
                uid: 101,
                gid: 102,
                groups: vec![102, 10]
            }
        );
        assert_eq!(run(plain.clone(), "redis:wheel").unwrap().gid, 10);
        assert_eq!(
            run(plain.clone(), "7777").unwrap(),
            RunAs {
                uid: 7777,
                gid: 0,
                groups: vec![0]
            }
        );
        assert!(
            run(plain, "nobody-here")
                .unwrap_err()
                .contains("no matching entries in passwd file")
        );
        let set = serde_json::json!({"securityContext": {"runAsUser": 101, "fsGroup": 5, "supplementalGroups": [6]},
            "containers": [{"name": "c", "securityContext": {"runAsGroup": 9}}]});
        assert_eq!(
            run(set, "").unwrap(),
            RunAs {
                uid: 101,
                gid: 9,
                groups: vec![9, 10, 5, 6]
            }
        );
    }

    #[test]
    fn non_root_is_enforced() {
        let wants =
            serde_json::json!({"securityContext": {"runAsNonRoot": true}, "containers": [{"name": "c"}]});
        assert!(
            run(wants.clone(), "")
                .unwrap_err()
                .starts_with("container has runAsNonRoot and image will run as root (pod: \"p_n()\"")
        );
        assert!(
            run(wants.clone(), "redis")
                .unwrap_err()
                .contains("non-numeric user (redis)")
        );
        assert_eq!(run(wants, "101").unwrap().uid, 101);
    }
}
