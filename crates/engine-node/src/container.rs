//! From a container of a pod's spec to what the runtime is told.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine_runtime::proto::{
    ContainerSpec, IpcMode, LogLimits, Mount, MountSource, PidMode, Propagation, Seccomp, User,
};
use image::ImageConfig;
use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};

use crate::env::expand;
use crate::model::RunAs;
use crate::resources;
use crate::volumes::{Ready, subpath};

/// Everything that a container's spec depends on.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// One of its containers.
    pub container: &'a Container,
    /// Number of the attempt.
    pub attempt: u32,
    /// The image's configuration and layers.
    pub image: &'a ImageConfig,
    /// Topmost first.
    pub layers: Vec<PathBuf>,
    /// Whom it runs as.
    pub user: &'a RunAs,
    /// Its environment from the spec.
    pub env: &'a BTreeMap<String, String>,
    /// The pod's volumes.
    pub volumes: &'a BTreeMap<String, Ready>,
    /// The pod's folder.
    pub pod_dir: &'a Path,
    /// The pod's folder in memory.
    pub memory_dir: &'a Path,
    /// Network namespace to join.
    pub netns: PathBuf,
    /// Host name.
    pub hostname: String,
    /// `cncfdemo/NAME/NODE/QOS/podUID`.
    pub pod_cgroup: &'a str,
    /// Where profiles of type Localhost are.
    pub profiles: &'a Path,
    /// The runtime's name of the container whose processes this one sees.
    pub target: Option<&'a str>,
    /// Memory of the node, for the OOM score.
    pub memory_capacity: i64,
}

/// Folder of an attempt.
pub fn attempt_dir(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    pod_dir
        .join("containers")
        .join(container)
        .join(attempt.to_string())
}

/// Log file of an attempt.
pub fn log_path(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    attempt_dir(pod_dir, container, attempt).join("log")
}

/// The file that a container finds at its `terminationMessagePath`.
pub fn termination_file(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    attempt_dir(pod_dir, container, attempt).join("termination-message")
}

/// The runtime's name of an attempt.
pub fn id(uid: &str, container: &str, attempt: u32) -> String {
    format!("{uid}.{container}.{attempt}")
}

/// Builds the runtime's spec; makes the termination file and mounts subpaths on the way (blocking).
pub fn build(inputs: &Inputs<'_>) -> Result<ContainerSpec, String> {
    let Inputs {
        pod,
        container,
        image,
        ..
    } = inputs;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let security = container.security_context.clone().unwrap_or_default();
    let privileged = security.privileged == Some(true);
    let dir = attempt_dir(inputs.pod_dir, &container.name, inputs.attempt);
    std::fs::create_dir_all(&dir).map_err(|err| format!("failed to create {}: {err}", dir.display()))?;
    let args = command_line(container, image, inputs.env);
    if args.is_empty() {
        return Err("no command specified".into());
    }
    let pod_security = spec.security_context.unwrap_or_default();
    let profile = security
        .seccomp_profile
        .as_ref()
        .or(pod_security.seccomp_profile.as_ref());
    let seccomp = seccomp(profile, inputs.profiles);
    let caps = security.capabilities.unwrap_or_default();
    let sysctls = pod_security
        .sysctls
        .into_iter()
        .flatten()
        .map(|sysctl| (sysctl.name, sysctl.value))
        .collect();
    Ok(ContainerSpec {
        id: id(uid, &container.name, inputs.attempt),
        dir,
        lower_dirs: inputs.layers.clone(),
        read_only_root_fs: security.read_only_root_filesystem == Some(true),
        args,
        env: environment(image, inputs.env, &inputs.hostname),
        cwd: container
            .working_dir
            .clone()
            .filter(|dir| !dir.is_empty())
            .unwrap_or_else(|| image.workdir.clone()),
        user: User {
            uid: inputs.user.uid,
            gid: inputs.user.gid,
            additional_gids: inputs.user.groups.clone(),
        },
        cap_add: caps.add.unwrap_or_default(),
        cap_drop: caps.drop.unwrap_or_default(),
        privileged,
        no_new_privs: security.allow_privilege_escalation == Some(false),
        seccomp,
        unmasked_proc: security.proc_mount.as_deref() == Some("Unmasked"),
        mounts: mounts(inputs)?,
        hostname: Some(inputs.hostname.clone()),
        netns: Some(inputs.netns.clone()),
        pid: match (spec.host_pid, spec.share_process_namespace, inputs.target) {
            (Some(true), ..) => PidMode::Host,
            (_, Some(true), _) => PidMode::Pod(inputs.pod_dir.to_path_buf()),
            (.., Some(target)) => PidMode::Container(target.to_owned()),
            _ => PidMode::Private,
        },
        ipc: if spec.host_ipc == Some(true) {
            IpcMode::Host
        } else {
            IpcMode::Private
        },
        sysctls,
        rlimits: Vec::new(),
        cgroup: format!("{}/{}", inputs.pod_cgroup, container.name),
        limits: resources::container_limits(pod, container),
        oom_score_adj: Some(resources::oom_score_adj(pod, container, inputs.memory_capacity)),
        devices: Vec::new(),
        shm_size: 0,
        tty: container.tty == Some(true),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        log_path: log_path(inputs.pod_dir, &container.name, inputs.attempt),
        log_limits: LogLimits::default(),
    })
}

/// The container's own profile or the pod's. Where neither says anything, the default profile, as by a kubelet with `seccompDefault: true`.
fn seccomp(profile: Option<&SeccompProfile>, folder: &Path) -> Seccomp {
    match profile.map(|profile| (profile.type_.as_str(), profile.localhost_profile.as_deref())) {
        Some(("Unconfined", _)) => Seccomp::Unconfined,
        Some(("Localhost", Some(name))) => Seccomp::Localhost(folder.join(name)),
        _ => Seccomp::RuntimeDefault,
    }
}

/// Entrypoint and command of the image, command and arguments of the container (the table in upstream's documentation,
/// tasks/inject-data-application/define-command-argument-container).
fn command_line(container: &Container, image: &ImageConfig, env: &BTreeMap<String, String>) -> Vec<String> {
    let all = |list: Option<&Vec<String>>| -> Vec<String> {
        list.into_iter()
            .flatten()
            .map(|word| expand(word, |name| env.get(name).cloned()))
            .collect()
    };
    let command = all(container.command.as_ref());
    let args = all(container.args.as_ref());
    match (command.is_empty(), args.is_empty()) {
        (false, _) => [command, args].concat(),
        (true, false) => [image.entrypoint.clone(), args].concat(),
        (true, true) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    }
}

fn environment(image: &ImageConfig, env: &BTreeMap<String, String>, hostname: &str) -> Vec<String> {
    let mut all: Vec<(&str, &str)> = Vec::new();
    let image = image
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let own = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in std::iter::once(("HOSTNAME", hostname)).chain(image).chain(own) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => all.push((name, value)),
        }
    }
    all.into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What a subPath that has been expanded may not be (pkg/kubelet/kubelet_pods.go, makeMounts).
fn within(sub: &str) -> Result<(), String> {
    if sub.starts_with('/') {
        Err(format!("error SubPath `{sub}` must not be an absolute path"))
    } else if sub.split('/').any(|part| part == "..") {
        Err(format!(
            "unable to provision SubPath `{sub}`: must not contain '..'"
        ))
    } else {
        Ok(())
    }
}

fn mounts(inputs: &Inputs<'_>) -> Result<Vec<Mount>, String> {
    let container = inputs.container;
    let mut mounts = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let ready = inputs.volumes.get(&mount.name).ok_or_else(|| {
            format!(
                "volume \"{}\" of container \"{}\" is not ready",
                mount.name, container.name
            )
        })?;
        let sub = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            (_, Some(expression)) if !expression.is_empty() => Some(expand_all(expression, inputs.env)?),
            _ => None,
        };
        let path = match sub {
            None => ready.path.clone(),
            Some(sub) => {
                within(&sub)?;
                let name = format!("{}-{}-{index}", container.name, inputs.attempt);
                let at = inputs.pod_dir.join("subpaths").join(name);
                subpath::bind(&ready.path, &sub, &at).map_err(|why| {
                    tracing::warn!(volume = mount.name, sub, why, "subPath cannot be mounted");
                    // Upstream's words; a pod's owner is not told what lies where on the node.
                    format!(
                        "failed to prepare subPath for volumeMount \"{}\" of container \"{}\"",
                        mount.name, container.name
                    )
                })?
            }
        };
        let propagation = match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        };
        mounts.push(Mount {
            destination: mount.mount_path.clone(),
            source: MountSource::Bind { path, propagation },
            read_only: mount.read_only == Some(true) || ready.read_only,
        });
    }
    let taken = |mounts: &[Mount], path: &str| {
        mounts
            .iter()
            .any(|mount| mount.destination.trim_end_matches('/') == path)
    };
    let mut own = vec![
        ("/etc/hosts", inputs.pod_dir.join("etc-hosts")),
        ("/etc/hostname", inputs.pod_dir.join("hostname")),
        ("/etc/resolv.conf", inputs.pod_dir.join("resolv.conf")),
    ];
    if resources::containers(inputs.pod).count() > 1 {
        // Containers of a pod share their shared memory.
        own.push(("/dev/shm", inputs.memory_dir.join(".shm")));
    }
    let message = container
        .termination_message_path
        .as_deref()
        .filter(|path| !path.is_empty());
    if let Some(path) = message {
        let file = termination_file(inputs.pod_dir, &container.name, inputs.attempt);
        make_message_file(&file).map_err(|err| format!("failed to create {}: {err}", file.display()))?;
        own.push((path, file));
    }
    for (destination, path) in own {
        if !taken(&mounts, destination) {
            mounts.push(Mount {
                destination: destination.to_owned(),
                source: MountSource::Bind {
                    path,
                    propagation: Propagation::Private,
                },
                read_only: false,
            });
        }
    }
    // A mount below another one comes after it.
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    Ok(mounts)
}

fn make_message_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::File::create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}

/// Like `$(NAME)` elsewhere, but names that are unknown or empty are an error (ExpandContainerVolumeMounts in
/// pkg/kubelet/container/helpers.go).
fn expand_all(expression: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let missing = std::cell::RefCell::new(BTreeSet::new());
    let text = expand(expression, |name| {
        let value = env.get(name).filter(|value| !value.is_empty()).cloned();
        if value.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        value
    });
    let missing: Vec<String> = missing.into_inner().into_iter().collect();
    if missing.is_empty() {
        Ok(text)
    } else {
        Err(format!("missing value for {}", missing.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: vec!["/entry".into()],
            cmd: vec!["default".into()],
            env: vec![("PATH".into(), "/bin".into()), ("A".into(), "image".into())],
            ..ImageConfig::default()
        }
    }

    fn container(json: serde_json::Value) -> Container {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn command_and_arguments() {
        let env: BTreeMap<String, String> = [("X".to_owned(), "7".to_owned())].into();
        let line = |json| command_line(&container(json), &image(), &env);
        assert_eq!(line(serde_json::json!({"name": "c"})), ["/entry", "default"]);
        assert_eq!(
            line(serde_json::json!({"name": "c", "args": ["a$(X)"]})),
            ["/entry", "a7"]
        );
        assert_eq!(line(serde_json::json!({"name": "c", "command": ["sh"]})), ["sh"]);
        assert_eq!(
            line(serde_json::json!({"name": "c", "command": ["sh"], "args": ["-c", "$$(X)"]})),
            ["sh", "-c", "$(X)"]
        );
    }

    #[test]
    fn the_spec_wins_over_the_image() {
        let env: BTreeMap<String, String> = [("A".to_owned(), "spec".to_owned())].into();
        assert_eq!(
            environment(&image(), &env, "h"),
            ["HOSTNAME=h", "PATH=/bin", "A=spec"]
        );
    }

    #[test]
    fn paths_below_a_volume() {
        assert!(within("a/b").is_ok() && within("..a/b").is_ok());
        assert_eq!(
            within("/etc").unwrap_err(),
            "error SubPath `/etc` must not be an absolute path"
        );
        assert_eq!(
            within("a/../b").unwrap_err(),
            "unable to provision SubPath `a/../b`: must not contain '..'"
        );
    }

    #[test]
    fn profiles_of_system_calls() {
        let of = |json| {
            let profile: Option<SeccompProfile> = serde_json::from_value(json).unwrap();
            seccomp(profile.as_ref(), Path::new("/s"))
        };
        assert_eq!(of(serde_json::json!(null)), Seccomp::RuntimeDefault);
        assert_eq!(of(serde_json::json!({"type": "Unconfined"})), Seccomp::Unconfined);
        let own = serde_json::json!({"type": "Localhost", "localhostProfile": "a/b.json"});
        assert_eq!(of(own), Seccomp::Localhost("/s/a/b.json".into()));
    }

    #[test]
    fn sub_path_expressions_must_be_known() {
        let env: BTreeMap<String, String> = [("POD".to_owned(), "p0".to_owned())].into();
        assert_eq!(expand_all("logs/$(POD)", &env).unwrap(), "logs/p0");
        assert_eq!(
            expand_all("$(NOPE)/$(POD)/$(A)", &env).unwrap_err(),
            "missing value for A, NOPE"
        );
    }
}
