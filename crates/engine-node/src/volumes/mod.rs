//! Volumes of a pod: made before its containers start, kept current while they run, taken away at the end.
//!
//! Everything lies in the pod's folder except what must not reach a disk (secrets, tokens): that is in one tmpfs of the node.
pub mod atomic;
mod payload;
pub mod subpath;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod, Volume,
};
use kube::{Api, Client};
use rustix::mount::{MountFlags, mount};

pub use self::tree::remove;
use self::tree::{is_mount_point, make_dir, own};
use crate::downward::Facts;
use crate::objects::{Handle, Kind, Known, Objects};
use crate::resources;

/// Where and with whom volumes are made.
#[derive(Clone)]
pub struct Context {
    /// For tokens and claims.
    pub client: Client,
    /// For ConfigMaps and Secrets.
    pub objects: Objects,
    /// The pod's folder.
    pub pod_dir: PathBuf,
    /// The pod's folder in the node's tmpfs.
    pub memory_dir: PathBuf,
    /// Folders below which a persistent volume is made if it is missing.
    pub volumes_root: PathBuf,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("pod_dir", &self.pod_dir)
            .finish_non_exhaustive()
    }
}

/// A volume that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume \"{volume}\" : {message}")]
pub struct Failure {
    /// Its name in the pod.
    pub volume: String,
    /// Why.
    pub message: String,
}

/// A volume that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Where it is on the host.
    pub path: PathBuf,
    /// Containers may not write to it whatever they ask for.
    pub read_only: bool,
}

#[derive(Debug, Clone)]
struct Token {
    value: String,
    refresh_at: Timestamp,
}

/// The volumes of one pod.
#[derive(Debug)]
pub struct Volumes {
    context: Context,
    handles: BTreeMap<(Kind, String), Handle>,
    tokens: HashMap<String, Token>,
    ready: BTreeMap<String, Ready>,
    used: BTreeMap<(Kind, String), Known>,
}

impl Volumes {
    /// Nothing is mounted yet; the objects that the pod names are watched from now on.
    pub fn new(context: Context, pod: &Pod) -> Self {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut handles = BTreeMap::new();
        for (kind, name) in references(pod) {
            let handle = context.objects.watch(kind, namespace, &name);
            handles.insert((kind, name), handle);
        }
        Self {
            context,
            handles,
            tokens: HashMap::new(),
            ready: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }

    /// The watched objects, for waiting on changes.
    pub fn handles(&self) -> Vec<Handle> {
        self.handles.values().cloned().collect()
    }

    /// What is ready, by name.
    pub fn ready(&self) -> &BTreeMap<String, Ready> {
        &self.ready
    }

    /// When a token has to be renewed.
    pub fn refresh_at(&self) -> Option<Timestamp> {
        self.tokens.values().map(|token| token.refresh_at).min()
    }

    /// The current content of a ConfigMap or Secret.
    pub async fn source(
        &mut self,
        kind: Kind,
        name: &str,
    ) -> Result<Option<std::sync::Arc<crate::objects::Source>>, String> {
        let key = (kind, name.to_owned());
        let Some(handle) = self.handles.get_mut(&key) else {
            return Ok(None);
        };
        let result = handle.get().await;
        let known = match &result {
            Ok(Some(source)) => Known::Present(std::sync::Arc::clone(source)),
            Ok(None) => Known::Absent,
            Err(why) => Known::Failed(why.clone()),
        };
        self.used.insert(key, known);
        result
    }

    /// Whether everything that was used is still as it was.
    pub fn is_current(&self) -> bool {
        self.used
            .iter()
            .all(|(key, used)| self.handles.get(key).is_none_or(|handle| handle.known() == *used))
    }

    /// Ends the watches; nothing will be made any more.
    pub fn release(&mut self) {
        self.handles.clear();
        self.tokens.clear();
    }

    /// Takes what is known now as seen.
    pub fn acknowledge(&mut self) {
        for (key, used) in &mut self.used {
            if let Some(handle) = self.handles.get(key) {
                *used = handle.known();
            }
        }
    }

    /// Makes what is missing and brings up to date what lives. The first failure is returned; the other volumes are made all the same.
    /// What no container mounts is left alone and keeps nobody waiting (kubelet 1.36
    /// `volumemanager/populator/desired_state_of_world_populator.go` processPodVolumes).
    pub async fn sync(&mut self, pod: &Pod, facts: &Facts) -> Result<(), Failure> {
        let mut failed = None;
        let mounted = mounted(pod);
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for volume in volumes.filter(|volume| mounted.contains(volume.name.as_str())) {
            match self.make(pod, facts, volume).await {
                Ok(ready) => drop(self.ready.insert(volume.name.clone(), ready)),
                Err(message) => {
                    failed.get_or_insert(Failure {
                        volume: volume.name.clone(),
                        message,
                    });
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn make(&mut self, pod: &Pod, facts: &Facts, volume: &Volume) -> Result<Ready, String> {
        let group = fs_group(pod);
        let base = self.context.pod_dir.join("volumes");
        let disk = |kind: &str| base.join(format!("{kind}~{}", volume.name));
        if let Some(source) = &volume.empty_dir {
            let (path, known) = (disk("empty-dir"), self.ready.contains_key(&volume.name));
            if !known {
                let source = source.clone();
                let limit = memory_limit(pod, facts);
                let at = path.clone();
                blocking(move || empty_dir(&at, &source, limit, group)).await?;
            }
            return Ok(Ready {
                path,
                read_only: false,
            });
        }
        if let Some(source) = &volume.host_path {
            let (path, source) = (PathBuf::from(&source.path), source.clone());
            blocking(move || host_path(&source)).await?;
            return Ok(Ready {
                path,
                read_only: false,
            });
        }
        if let Some(source) = &volume.persistent_volume_claim {
            let read_only = source.read_only == Some(true);
            return self.claim(pod, &source.claim_name, read_only, &volume.name).await;
        }
        if volume.ephemeral.is_some() {
            let name = format!(
                "{}-{}",
                pod.metadata.name.as_deref().unwrap_or_default(),
                volume.name
            );
            return self.claim(pod, &name, false, &volume.name).await;
        }
        if let Some(payload) = self.payload(pod, facts, volume).await? {
            // A ConfigMap is no secret; everything else that is written here may be.
            let (path, mode) = if volume.config_map.is_some() {
                (disk("configmap"), 0o777)
            } else {
                // The root of upstream's tmpfs.
                (self.context.memory_dir.join(&volume.name), 0o1777)
            };
            let at = path.clone();
            blocking(move || {
                make_dir(&at, mode)?;
                if let Some(gid) = group {
                    std::os::unix::fs::chown(&at, None, Some(gid)).map_err(|err| err.to_string())?;
                    make_dir(&at, mode | 0o2000)?;
                }
                atomic::write(&at, &payload, group)
                    .map(drop)
                    .map_err(|err| err.to_string())
            })
            .await?;
            return Ok(Ready {
                path,
                read_only: true,
            });
        }
        Err(format!(
            "volume type {} is not supported by this node",
            kind_name(volume)
        ))
    }

    async fn claim(&self, pod: &Pod, name: &str, read_only: bool, volume: &str) -> Result<Ready, String> {
        if let Some(ready) = self.ready.get(volume) {
            return Ok(ready.clone());
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let fetch = |err: kube::Error| {
            let why = match err {
                kube::Error::Api(status) => status.message,
                other => other.to_string(),
            };
            format!("error processing PVC {namespace}/{name}: failed to fetch PVC from API server: {why}")
        };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), namespace);
        let claim = claims.get(name).await.map_err(fetch)?;
        let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
        let volume_name = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone())
            .filter(|name| !name.is_empty());
        let (true, Some(volume_name)) = (bound, volume_name) else {
            return Err(format!(
                "error processing PVC {namespace}/{name}: PVC is not bound"
            ));
        };
        let volumes: Api<PersistentVolume> = Api::all(self.context.client.clone());
        let volume = volumes.get(&volume_name).await.map_err(fetch)?;
        let spec = volume.spec.unwrap_or_default();
        let path = spec
            .local
            .as_ref()
            .map(|local| &local.path)
            .or(spec.host_path.as_ref().map(|host| &host.path));
        let Some(path) = path.map(PathBuf::from) else {
            return Err(format!(
                "persistent volume {volume_name} is neither local nor hostPath: not supported by this node"
            ));
        };
        let (at, root, group) = (path.clone(), self.context.volumes_root.clone(), fs_group(pod));
        let on_mismatch = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.security_context.as_ref())
            .and_then(|security| security.fs_group_change_policy.as_deref())
            == Some("OnRootMismatch");
        blocking(move || {
            if at.starts_with(&root) {
                if !at.exists() {
                    make_dir(&at, 0o777)?;
                }
                if let Some(gid) = group {
                    own(&at, gid, on_mismatch).map_err(|err| err.to_string())?;
                }
            } else if !at.exists() {
                return Err(format!("path \"{}\" does not exist", at.display()));
            }
            Ok(())
        })
        .await?;
        Ok(Ready { path, read_only })
    }
}

/// The ConfigMaps and Secrets that a pod names, in volumes and in variables.
fn references(pod: &Pod) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        if let Some(map) = &volume.config_map {
            found.push((Kind::ConfigMap, map.name.clone()));
        }
        if let Some(name) = volume
            .secret
            .as_ref()
            .and_then(|secret| secret.secret_name.as_ref())
        {
            found.push((Kind::Secret, name.clone()));
        }
        let sources = volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten());
        for source in sources {
            if let Some(map) = &source.config_map {
                found.push((Kind::ConfigMap, map.name.clone()));
            }
            if let Some(secret) = &source.secret {
                found.push((Kind::Secret, secret.name.clone()));
            }
        }
    }
    for container in resources::containers(pod) {
        found.extend(crate::env::references(container));
    }
    found
}

/// The volumes that a container of any sort mounts, or has as a device.
fn mounted(pod: &Pod) -> BTreeSet<&str> {
    let Some(spec) = &pod.spec else {
        return BTreeSet::new();
    };
    let usual = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let usual = usual.map(|c| (&c.volume_mounts, &c.volume_devices));
    let debugging = spec.ephemeral_containers.iter().flatten();
    let debugging = debugging.map(|c| (&c.volume_mounts, &c.volume_devices));
    usual
        .chain(debugging)
        .flat_map(|(mounts, devices)| {
            let mounts = mounts.iter().flatten().map(|mount| mount.name.as_str());
            mounts.chain(devices.iter().flatten().map(|device| device.name.as_str()))
        })
        .collect()
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// The most that a pod's memory volumes may hold: the limits of its containers, or the node's memory.
fn memory_limit(pod: &Pod, facts: &Facts) -> i64 {
    let limit = resources::pod_limits(pod, None).memory.unwrap_or(facts.memory);
    if facts.memory > 0 {
        limit.min(facts.memory)
    } else {
        limit
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|err| Err(err.to_string()))
}

fn empty_dir(
    path: &Path,
    source: &EmptyDirVolumeSource,
    limit: i64,
    group: Option<u32>,
) -> Result<(), String> {
    let medium = source.medium.as_deref().unwrap_or_default();
    let existed = path.exists();
    if !existed {
        make_dir(path, 0o777)?;
    }
    match medium {
        "" => {}
        "Memory" => {
            if !is_mount_point(path) {
                let size = source
                    .size_limit
                    .as_ref()
                    .map(resources::value)
                    .filter(|size| *size > 0);
                let size = size.map_or(limit, |size| if limit > 0 { size.min(limit) } else { size });
                let size = if size > 0 {
                    format!("size={size}")
                } else {
                    String::new()
                };
                let make = |options: &str| {
                    let options = std::ffi::CString::new(options).map_err(|err| err.to_string())?;
                    mount(
                        "tmpfs",
                        path,
                        "tmpfs",
                        MountFlags::empty(),
                        Some(options.as_c_str()),
                    )
                    .map_err(|err| format!("failed to mount a tmpfs on {}: {err}", path.display()))
                };
                // What is kept in memory stays out of swap, where the kernel can do that (6.3).
                make(&format!("noswap,{size}")).or_else(|_| make(&size))?;
            }
        }
        other => {
            return Err(format!(
                "storage medium \"{other}\" is not supported by this node"
            ));
        }
    }
    match group {
        Some(gid) if !existed => own(path, gid, false).map_err(|err| err.to_string()),
        _ => Ok(()),
    }
}

/// Checks or makes a hostPath (pkg/volume/hostpath/host_path.go).
fn host_path(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    if !path.is_absolute()
        || path
            .components()
            .any(|part| matches!(part, std::path::Component::ParentDir))
    {
        return Err(format!(
            "invalid path: \"{}\" must be absolute and without '..'",
            source.path
        ));
    }
    let wanted = source.type_.as_deref().unwrap_or_default();
    let meta = fs::metadata(path);
    match (wanted, &meta) {
        ("DirectoryOrCreate", Err(_)) => return make_dir(path, 0o755),
        ("FileOrCreate", Err(_)) => {
            let made = fs::OpenOptions::new().create_new(true).write(true).open(path);
            return made
                .map(drop)
                .map_err(|err| format!("failed to create {}: {err}", source.path));
        }
        _ => {}
    }
    let is = |check: fn(&fs::FileType) -> bool| meta.as_ref().is_ok_and(|meta| check(&meta.file_type()));
    let (fits, what) = match wanted {
        // Without a type nothing is checked; a missing folder is made, as the container runtimes do for a bind mount.
        "" => {
            return if meta.is_err() {
                make_dir(path, 0o755)
            } else {
                Ok(())
            };
        }
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "file"),
        "Socket" => (is(fs::FileType::is_socket), "socket file"),
        "CharDevice" => (is(fs::FileType::is_char_device), "character device"),
        "BlockDevice" => (is(fs::FileType::is_block_device), "block device"),
        other => return Err(format!("{other} is an invalid volume type")),
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "hostPath type check failed: {} is not a {what}",
            source.path
        ))
    }
}

fn kind_name(volume: &Volume) -> String {
    let fields = serde_json::to_value(volume).ok();
    let fields = fields.as_ref().and_then(serde_json::Value::as_object);
    fields
        .and_then(|map| map.keys().find(|key| *key != "name"))
        .cloned()
        .unwrap_or_else(|| "(none)".into())
}

/// The moment at which a token of this life is renewed: after 80 %, or a day (pkg/kubelet/token/token_manager.go).
fn renewal(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now);
    now + (life * 8 / 10).min(SignedDuration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_path_types() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "").unwrap();
        let check = |path: &Path, kind: &str| {
            host_path(&HostPathVolumeSource {
                path: path.to_string_lossy().into_owned(),
                type_: Some(kind.to_owned()),
            })
        };
        assert!(check(dir.path(), "Directory").is_ok());
        assert!(
            check(&file, "Directory")
                .unwrap_err()
                .contains("is not a directory")
        );
        assert!(check(&file, "File").is_ok());
        assert!(check(&dir.path().join("new/sub"), "DirectoryOrCreate").is_ok());
        assert!(dir.path().join("new/sub").is_dir());
        assert!(check(&dir.path().join("made"), "FileOrCreate").is_ok());
        assert!(check(&dir.path().join("gone"), "Socket").is_err());
        assert!(
            host_path(&HostPathVolumeSource {
                path: "/tmp/../etc".into(),
                type_: None
            })
            .is_err()
        );
    }

    #[test]
    fn what_nobody_mounts_is_not_waited_for() {
        let pod = serde_json::from_value(serde_json::json!({"spec": {
            "containers": [{"name": "c", "volumeMounts": [{"name": "a", "mountPath": "/a"}]}],
            "initContainers": [{"name": "i", "volumeDevices": [{"name": "b", "devicePath": "/b"}]}],
            "ephemeralContainers": [{"name": "e", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
            "volumes": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "idle", "configMap": {"name": "gone"}}],
        }}));
        assert_eq!(
            mounted(&pod.unwrap()).into_iter().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn tokens_are_renewed_at_four_fifths() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            renewal(now, now + SignedDuration::from_secs(3607)).as_second(),
            2885
        );
        assert_eq!(
            renewal(now, now + SignedDuration::from_hours(1000)).as_second(),
            86400
        );
    }

    #[test]
    fn unsupported_kinds_are_named() {
        let volume: Volume =
            serde_json::from_value(serde_json::json!({"name": "v", "nfs": {"server": "s", "path": "/"}}))
                .unwrap();
        assert_eq!(kind_name(&volume), "nfs");
    }
}
