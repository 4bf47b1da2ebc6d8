//! The machine itself.
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use preflight::facts::{Clock, Cpu, Folder, Machine, Process, Runtime, Selinux, Swap};

use super::files::{names, read, word};
use crate::local_engine::{field, filesystem_of, nearest_existing};

pub(super) fn machine() -> Machine {
    let release = read("/etc/os-release").unwrap_or_default();
    let os = |name: &str| {
        release
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    let memory = read("/proc/meminfo").unwrap_or_default();
    Machine {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        machine_id: word("/etc/machine-id"),
        product_uuid: word("/sys/class/dmi/id/product_uuid"),
        os: format!("{} {}", os("ID"), os("VERSION_ID")).trim().to_owned(),
        os_name: os("PRETTY_NAME"),
        arch: rustix::system::uname().machine().to_string_lossy().into_owned(),
        virtualisation: virtualisation(),
        container: container(),
        uptime: word("/proc/uptime")
            .split('.')
            .next()
            .and_then(|s| s.parse().ok())
            .unwrap_or(0),
        memory: field(&memory, "MemTotal:")
            .and_then(|v| v.split(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0)
            << 10,
        ..Machine::default()
    }
}

fn virtualisation() -> String {
    let kind = word("/sys/hypervisor/type");
    if !kind.is_empty() {
        return kind;
    }
    let vendor = word("/sys/class/dmi/id/sys_vendor").to_lowercase();
    let known = [
        "qemu",
        "amazon ec2",
        "google",
        "microsoft",
        "vmware",
        "innotek",
        "xen",
        "kvm",
        "digitalocean",
        "hetzner",
    ];
    if let Some(found) = known.iter().find(|k| vendor.contains(**k)) {
        return (*found).to_owned();
    }
    let flags = read("/proc/cpuinfo").unwrap_or_default();
    if flags
        .lines()
        .any(|l| l.starts_with("flags") && l.contains(" hypervisor"))
    {
        "unknown".to_owned()
    } else {
        String::new()
    }
}

fn container() -> String {
    let told = word("/run/systemd/container");
    if !told.is_empty() {
        return told;
    }
    let first = fs::read("/proc/1/environ").unwrap_or_default();
    let told = first
        .split(|b| *b == 0)
        .find_map(|v| v.strip_prefix(b"container="));
    match told {
        Some(kind) => String::from_utf8_lossy(kind).into_owned(),
        None if Path::new("/.dockerenv").exists() => "docker".to_owned(),
        None if Path::new("/run/.containerenv").exists() => "podman".to_owned(),
        None => String::new(),
    }
}

pub(super) fn cpu() -> Cpu {
    let text = read("/proc/cpuinfo").unwrap_or_default();
    let flags = text
        .lines()
        .find(|l| l.starts_with("flags") || l.starts_with("Features"))
        .and_then(|l| l.split_once(':'));
    Cpu {
        count: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        flags: flags
            .map(|(_, f)| f.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        ..Cpu::default()
    }
}

pub(super) fn process() -> Process {
    let status = read("/proc/self/status").unwrap_or_default();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Process {
        euid: rustix::process::geteuid().as_raw(),
        capabilities: field(&status, "CapEff:")
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0),
        open_files: limit.current.unwrap_or(u64::MAX),
        open_files_hard: limit.maximum.unwrap_or(u64::MAX),
        ..Process::default()
    }
}

pub(super) fn swap() -> Swap {
    let text = read("/proc/swaps").unwrap_or_default();
    let active = text
        .lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_owned);
    // fstab's own swaps become units too, below /run; these are other ones.
    let units = ["/etc/systemd/system", "/usr/lib/systemd/system"]
        .iter()
        .flat_map(|d| {
            let names = names(d)
                .unwrap_or_default()
                .into_iter()
                .filter(|n| n.ends_with(".swap"));
            names
                .filter(|n| {
                    fs::read_link(Path::new(d).join(n)).map_or(true, |to| to != Path::new("/dev/null"))
                })
                .collect::<Vec<_>>()
        });
    Swap {
        active: active.collect(),
        fstab: read("/etc/fstab"),
        units: units.collect(),
        ..Swap::default()
    }
}

#[allow(unsafe_code, reason = "no safe wrapper of adjtimex is among the dependencies")]
pub(super) fn clock() -> Clock {
    // SAFETY: `timex` is plain numbers, for which all zeroes are valid; with `modes` 0 the call only writes into it.
    let (state, error) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex.esterror)
    };
    let keepers: BTreeSet<String> = names("/proc")
        .unwrap_or_default()
        .into_iter()
        .filter(|n| n.starts_with(|c: char| c.is_ascii_digit()))
        .map(|pid| word(format!("/proc/{pid}/comm")))
        .filter(|c| {
            [
                "chronyd",
                "ntpd",
                "systemd-timesyn",
                "ptp4l",
                "phc2sys",
                "openntpd",
            ]
            .contains(&c.as_str())
        })
        .collect();
    Clock {
        // TIME_ERROR (5) is the state of a clock that nobody keeps.
        synchronised: (state >= 0).then_some(state != libc::TIME_ERROR),
        error_micros: (state >= 0).then_some(error),
        keepers: keepers.into_iter().collect(),
        ..Clock::default()
    }
}

pub(super) fn packages_changed() -> Option<i64> {
    [
        "/var/lib/dpkg/status",
        "/var/lib/rpm/rpmdb.sqlite",
        "/var/lib/rpm/Packages",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/lib/apk/db/installed",
        "/var/lib/pacman/local",
    ]
    .iter()
    .filter_map(|p| fs::metadata(p).ok())
    .map(|m| m.mtime())
    .max()
}

pub(super) fn selinux() -> Selinux {
    let mode = match word("/sys/fs/selinux/enforce").as_str() {
        "1" => "enforcing",
        "0" => "permissive",
        _ => "disabled",
    };
    let config = read("/etc/selinux/config").unwrap_or_default();
    let configured = config
        .lines()
        .find_map(|l| l.trim().strip_prefix("SELINUX="))
        .unwrap_or_default()
        .trim()
        .to_owned();
    let mut buffer = vec![0u8; 256];
    let label = rustix::fs::getxattr("/var/lib/kubelet", "security.selinux", &mut buffer[..])
        .ok()
        .map(|n| {
            String::from_utf8_lossy(&buffer[..n])
                .trim_end_matches('\0')
                .to_owned()
        });
    Selinux {
        mode: mode.to_owned(),
        configured,
        kubelet_label: label,
        ..Selinux::default()
    }
}

pub(super) fn folders(runtime: &Runtime, state_dir: &Path) -> Vec<Folder> {
    let mut wanted: Vec<(&str, &Path)> = vec![("root", Path::new("/"))];
    let docker = runtime.docker.as_ref().map(|d| {
        if d.root.is_empty() {
            "/var/lib/docker".to_owned()
        } else {
            d.root.clone()
        }
    });
    let containerd = runtime
        .containerd
        .is_some()
        .then(|| "/var/lib/containerd".to_owned());
    let images: Vec<String> = docker.into_iter().chain(containerd).collect();
    wanted.extend(images.iter().map(|p| ("images", Path::new(p))));
    wanted.push(("state", Path::new("/var/lib/kubelet")));
    if Path::new("/var/lib/etcd").exists() {
        wanted.push(("etcd", Path::new("/var/lib/etcd")));
    }
    wanted.push(("cncfdemo", state_dir));
    wanted
        .into_iter()
        .filter_map(|(role, path)| {
            let existing = nearest_existing(path);
            let space = rustix::fs::statvfs(existing).ok()?;
            let filesystem = filesystem_of(existing);
            Some(Folder {
                path: path.display().to_string(),
                role: role.to_owned(),
                entry_types: (filesystem == "xfs").then(|| entry_types(existing)).flatten(),
                filesystem,
                bytes: space.f_blocks * space.f_frsize,
                free_bytes: space.f_bavail * space.f_frsize,
                inodes: space.f_files,
                free_inodes: space.f_favail,
                ..Folder::default()
            })
        })
        .collect()
}

/// Whether a folder's entries come with their types. XFS without ftype answers "unknown" for all but `.` and `..`.
fn entry_types(path: &Path) -> Option<bool> {
    let folder = rustix::fs::openat(
        rustix::fs::CWD,
        path,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .ok()?;
    let mut entries = rustix::fs::Dir::read_from(folder).ok()?;
    entries.find_map(|entry| {
        let entry = entry.ok()?;
        let name: &CStr = entry.file_name();
        (name != c"." && name != c"..").then(|| entry.file_type() != rustix::fs::FileType::Unknown)
    })
}
