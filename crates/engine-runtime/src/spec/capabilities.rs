//! Which capabilities a container gets.

use crate::cgroup::Layout;
use crate::proto::ContainerSpec;
use crate::{Error, Result};

/// In the kernel's order: the index is the bit.
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// containerd's `defaultUnixCaps`.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// What a spec asks for: bits added and bits dropped.
pub fn parse(spec: &ContainerSpec) -> Result<(u64, u64)> {
    let bits = |names: &[String]| {
        names.iter().try_fold(0_u64, |mask, name| {
            let upper = name.to_ascii_uppercase();
            let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if short == "ALL" {
                return Ok(everything());
            }
            match ALL.iter().position(|c| *c == short) {
                Some(bit) => Ok(mask | 1 << bit),
                None => Err(Error::Start(format!(
                    "unknown capability {name:?} to add or drop"
                ))),
            }
        })
    };
    Ok((bits(&spec.cap_add)?, bits(&spec.cap_drop)?))
}

/// The names of a container's capabilities, `CAP_` before each, none that we do not have ourselves.
pub fn names(spec: &ContainerSpec, own: u64, layout: &Layout) -> Result<Vec<String>> {
    let (add, drop) = parse(spec)?;
    let mut mask = if spec.privileged {
        everything()
    } else {
        // containerd (internal/cri/server/container_create.go): ALL is handled before single names, dropping before adding.
        let all = everything();
        let base = match (add == all, drop == all) {
            (true, _) => all,
            (false, true) => 0,
            (false, false) => default_mask(layout),
        };
        let single_drop = if drop == all { 0 } else { drop };
        let single_add = if add == all { 0 } else { add };
        (base | single_add) & !single_drop
    };
    mask &= own;
    Ok(ALL
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask & 1 << bit != 0)
        .map(|(_, n)| format!("CAP_{n}"))
        .collect())
}

/// What loading a filter and giving up what it took takes, and the container does not have.
pub fn lent(own: &[String]) -> Vec<String> {
    ["CAP_SYS_ADMIN", "CAP_SETPCAP"]
        .into_iter()
        .filter(|name| !own.iter().any(|c| c == name))
        .map(str::to_owned)
        .collect()
}

fn everything() -> u64 {
    (1 << ALL.len()) - 1
}

fn default_mask(layout: &Layout) -> u64 {
    DEFAULT
        .iter()
        // On pure v2 nothing filters devices yet, so that a node made by mknod would open the host's disk.
        .filter(|name| **name != "MKNOD" || !matches!(layout, Layout::Unified { .. }))
        .filter_map(|name| ALL.iter().position(|c| c == name))
        .fold(0, |mask, bit| mask | 1 << bit)
}
