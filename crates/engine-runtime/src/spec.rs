//! From a [`ContainerSpec`] to an OCI `config.json`, with containerd's defaults (pkg/oci/spec.go, internal/cri/opts).

mod capabilities;
mod devices;

use std::path::Path;

use serde_json::{Value, json};

use crate::cgroup::Layout;
use crate::proto::{ContainerSpec, ExecSpec, IpcMode, MountSource, PidMode, Propagation, User};
use crate::{Error, Result, seccomp};

/// Annotation of a `config.json`: capabilities that are the executor's and not the container's, separated by blanks.
pub const LENT: &str = "io.cncfdemo.lent-capabilities";

/// containerd's default.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hidden from unprivileged containers (containerd: pkg/oci/spec_opts.go, `WithDefaultPathMasks`).
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/interrupts",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Read-only for unprivileged containers.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What the machine and other containers contribute.
pub struct Facts<'a> {
    /// How cgroups are mounted.
    pub layout: &'a Layout,
    /// First process of the container whose PID namespace is joined.
    pub pid_target: Option<i32>,
    /// First process of the container whose IPC namespace is joined.
    pub ipc_target: Option<i32>,
    /// Descriptor of the network namespace that is joined; the host's without one.
    pub netns: Option<i32>,
    /// Home folder of the user, from the image's `/etc/passwd`.
    pub home: String,
    /// Our own capabilities as a bit mask: more cannot be given.
    pub own_capabilities: u64,
    /// Whether the kernel knows the mqueue file system.
    pub has_mqueue: bool,
    /// The `oom_score_adj` that may be set.
    pub oom_score_adj: Option<i32>,
}

/// Refuses what makes no sense, before anything is touched.
pub fn check(spec: &ContainerSpec) -> Result<()> {
    let invalid = |text: String| Err(Error::Invalid(text));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if spec.id.is_empty() || spec.id.starts_with('.') || !spec.id.chars().all(plain) {
        return invalid(format!(
            "container id {:?} is not made of letters, digits, '.', '-' and '_'",
            spec.id
        ));
    }
    for path in [&spec.dir, &spec.log_path] {
        if !path.is_absolute() {
            return invalid(format!(
                "path {:?} of container {} is not absolute",
                path.display(),
                spec.id
            ));
        }
    }
    if spec.lower_dirs.is_empty() {
        return invalid(format!("container {} has no image layers", spec.id));
    }
    if spec.args.is_empty() || spec.args[0].is_empty() {
        return Err(Error::Start("no command specified".into()));
    }
    if spec.args.iter().chain(&spec.env).any(|s| s.contains('\0')) {
        return invalid(format!(
            "a NUL byte is in the command or environment of container {}",
            spec.id
        ));
    }
    if let Some(entry) = spec.env.iter().find(|e| e.find('=').unwrap_or(0) == 0) {
        return invalid(format!(
            "environment entry {entry:?} of container {} is not NAME=VALUE",
            spec.id
        ));
    }
    if !spec.cwd.is_empty() && !spec.cwd.starts_with('/') {
        return invalid(format!("working directory {:?} is not absolute", spec.cwd));
    }
    for mount in &spec.mounts {
        let Some(rest) = mount.destination.strip_prefix('/') else {
            return invalid(format!(
                "mount destination {:?} is not absolute",
                mount.destination
            ));
        };
        if rest.is_empty() || rest.split('/').any(|p| p == "..") {
            return invalid(format!(
                "mount destination {:?} is not allowed",
                mount.destination
            ));
        }
        if let MountSource::Bind { path, .. } = &mount.source
            && !path.is_absolute()
        {
            return invalid(format!("mount source {:?} is not absolute", path.display()));
        }
    }
    capabilities::parse(spec).map(drop)
}

/// The container's `config.json`.
pub fn config(spec: &ContainerSpec, facts: &Facts<'_>) -> Result<Value> {
    let own: Vec<_> = capabilities::names(spec, facts.own_capabilities, facts.layout)?;
    let filter = if spec.privileged {
        None
    } else {
        seccomp::profile(&spec.seccomp, &own)?
    };
    // The executor loads the filter when everything else is done, for which it needs capabilities; it gives them up afterwards.
    let lent = match filter {
        Some(_) if !spec.no_new_privs => capabilities::lent(&own),
        _ => Vec::new(),
    };
    let capabilities = [own, lent.clone()].concat();
    let cwd = if spec.cwd.is_empty() { "/" } else { &spec.cwd };
    let mut process = json!({
        "terminal": spec.tty,
        "user": user(&spec.user),
        "args": spec.args,
        "env": environment(spec, &facts.home),
        "cwd": cwd,
        "capabilities": {
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        },
        "noNewPrivileges": spec.no_new_privs,
        "rlimits": spec.rlimits.iter()
            .map(|r| json!({"type": r.kind, "soft": r.soft, "hard": r.hard})).collect::<Vec<_>>(),
    });
    if let Some(adj) = facts.oom_score_adj {
        process["oomScoreAdj"] = json!(adj);
    }

    let mut linux = json!({
        "namespaces": namespaces(spec, facts),
        "cgroupsPath": format!("/{}", spec.cgroup),
        "resources": resources(spec),
        "devices": devices::listed(spec)?,
        "sysctl": spec.sysctls,
        "rootfsPropagation": if propagates(spec) { "shared" } else { "slave" },
    });
    if !spec.privileged && !spec.unmasked_proc {
        linux["maskedPaths"] = json!(MASKED);
        linux["readonlyPaths"] = json!(READ_ONLY);
    }

    if let Some(filter) = filter {
        linux["seccomp"] = filter;
    }

    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": spec.read_only_root_fs},
        "mounts": mounts(spec, facts),
        "linux": linux,
        "annotations": {LENT: lent.join(" ")},
    });
    if let Some(hostname) = &spec.hostname {
        config["hostname"] = json!(hostname);
    }
    Ok(config)
}

/// The `process.json` of a further process, made from the container's own `config.json`.
pub fn exec_process(config: &Value, exec: &ExecSpec, home: &str) -> Value {
    let mut process = config["process"].clone();
    process["terminal"] = json!(exec.tty);
    process["args"] = json!(exec.args);
    let mut env: Vec<String> = process["env"]
        .as_array()
        .map(|a| a.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    if exec.user.is_some() {
        set(&mut env, &format!("HOME={home}"));
    }
    for entry in &exec.env {
        set(&mut env, entry);
    }
    if exec.tty && !has(&env, "TERM") {
        env.push("TERM=xterm".into());
    }
    process["env"] = json!(env);
    if let Some(cwd) = &exec.cwd {
        process["cwd"] = json!(cwd);
    }
    if let Some(who) = &exec.user {
        process["user"] = user(who);
    }
    process
}

fn user(user: &User) -> Value {
    json!({"uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids})
}

/// The later of two entries wins, as in a shell; the runtime's own come first so that the image and pod may override them.
fn environment(spec: &ContainerSpec, home: &str) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOME={home}")];
    if let Some(hostname) = &spec.hostname {
        env.push(format!("HOSTNAME={hostname}"));
    }
    if spec.tty {
        env.push("TERM=xterm".into());
    }
    for entry in &spec.env {
        set(&mut env, entry);
    }
    env
}

fn key(entry: &str) -> &str {
    entry.split('=').next().unwrap_or_default()
}

fn has(env: &[String], name: &str) -> bool {
    env.iter().any(|e| key(e) == name)
}

fn set(env: &mut Vec<String>, entry: &str) {
    match env.iter_mut().find(|e| key(e) == key(entry)) {
        Some(old) => entry.clone_into(old),
        None => env.push(entry.to_owned()),
    }
}

fn namespaces(spec: &ContainerSpec, facts: &Facts<'_>) -> Value {
    let mut list = vec![json!({"type": "mount"})];
    let of = |kind: &str, name: &str, pid: Option<i32>| match pid {
        Some(pid) => json!({"type": kind, "path": format!("/proc/{pid}/ns/{name}")}),
        None => json!({"type": kind}),
    };
    if spec.pid != PidMode::Host {
        list.push(of("pid", "pid", facts.pid_target));
    }
    if spec.ipc != IpcMode::Host {
        list.push(of("ipc", "ipc", facts.ipc_target));
    }
    if spec.hostname.is_some() {
        list.push(json!({"type": "uts"}));
    }
    if let Some(netns) = facts.netns {
        list.push(json!({"type": "network", "path": format!("/proc/self/fd/{netns}")}));
    }
    if matches!(facts.layout, Layout::Unified { .. }) {
        list.push(json!({"type": "cgroup"}));
    }
    json!(list)
}

fn resources(spec: &ContainerSpec) -> Value {
    let limits = &spec.limits;
    let mut resources = json!({"devices": devices::rules(spec)});
    let mut cpu = serde_json::Map::new();
    if let Some(shares) = limits.cpu_shares {
        cpu.insert("shares".into(), json!(shares.clamp(2, 262_144)));
    }
    if let Some(quota) = limits.cpu_quota {
        cpu.insert("quota".into(), json!(quota));
        cpu.insert("period".into(), json!(limits.cpu_period.unwrap_or(100_000)));
    }
    if !cpu.is_empty() {
        resources["cpu"] = Value::Object(cpu);
    }
    if let Some(memory) = limits.memory {
        resources["memory"] = json!({"limit": memory});
    }
    if let Some(pids) = limits.pids {
        resources["pids"] = json!({"limit": pids});
    }
    resources
}

fn mounts(spec: &ContainerSpec, facts: &Facts<'_>) -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    let asked = |destination: &str| {
        spec.mounts
            .iter()
            .any(|m| m.destination.trim_end_matches('/') == destination)
    };
    let shm = format!(
        "size={}",
        if spec.shm_size == 0 {
            64 << 20
        } else {
            spec.shm_size
        }
    );
    let sys = if spec.privileged { "rw" } else { "ro" };
    let mut list = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
    ];
    if !asked("/dev/shm") {
        list.push(mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", &shm],
        ));
    }
    if facts.has_mqueue {
        list.push(mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    }
    if !asked("/sys") {
        list.push(mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", sys]));
        // Ten more mounts per container on v1, for files that nothing here reads; programs fall back to the machine's size.
        if matches!(facts.layout, Layout::Unified { .. }) {
            list.push(mount(
                "/sys/fs/cgroup",
                "cgroup",
                &["nosuid", "noexec", "nodev", "relatime", sys],
            ));
        }
    }
    // A mount below another must come after it, whatever order the pod has them in.
    let mut asked_for: Vec<_> = spec.mounts.iter().collect();
    asked_for.sort_by_key(|m| Path::new(&m.destination).components().count());
    for m in asked_for {
        let access = if m.read_only { "ro" } else { "rw" };
        list.push(match &m.source {
            MountSource::Bind { path, propagation } => {
                let propagation = match propagation {
                    Propagation::Private => "rprivate",
                    Propagation::HostToContainer => "rslave",
                    Propagation::Bidirectional => "rshared",
                };
                json!({"destination": m.destination, "type": "bind", "source": path,
                    "options": ["rbind", propagation, access]})
            }
            MountSource::Tmpfs { size, mode } => {
                let mut options = vec![
                    "nosuid".to_owned(),
                    "nodev".to_owned(),
                    access.to_owned(),
                    format!("mode={:o}", mode.unwrap_or(0o1777)),
                ];
                options.extend(size.map(|s| format!("size={s}")));
                json!({"destination": m.destination, "type": "tmpfs", "source": "tmpfs", "options": options})
            }
        });
    }
    json!(list)
}

fn propagates(spec: &ContainerSpec) -> bool {
    spec.mounts.iter().any(|m| {
        matches!(
            &m.source,
            MountSource::Bind {
                propagation: Propagation::Bidirectional,
                ..
            }
        )
    })
}

#[cfg(test)]
mod tests;
