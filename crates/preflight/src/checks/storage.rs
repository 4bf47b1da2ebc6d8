//! Where images and containers lie.
use super::NODES;
use crate::check::{Check, Judge, Verdict, Wanted};
use crate::facts::Facts;
use crate::fix;

/// `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "storage-driver",
        title: "the container runtime stores images with overlay",
        looks_at: "Docker's own description of its storage (API), containerd's snapshotter",
        story: "Docker on CentOS 7 looked for free space in the volume group, found none, and fell back to devicemapper on two loopback files. It warns, and works. With one disk and no unallocated space this always happens.",
        later: "works at first; after some activity the image tree is corrupted and nodes fail \"mysteriously\"",
        fix: "use overlay2: {\"storage-driver\": \"overlay2\"} in /etc/docker/daemon.json and restart docker (images are fetched anew); with containerd, snapshotter = \"overlayfs\"",
        undo: "take the line out of /etc/docker/daemon.json and restart docker; the old images are still in its folder",
        verify: "docker info --format '{{.Driver}}' says overlay2",
        profiles: NODES,
        judge: Judge::Machine(storage_driver),
    },
    Check {
        id: "overlay-module",
        title: "the overlay file system is there now and after a reboot",
        looks_at: "/proc/filesystems, /proc/modules, modules-load.d",
        story: "A module that was loaded by hand is not there after the next boot, and hardened machines forbid the kernel to load it by itself.",
        later: "fails after a reboot: no container starts",
        fix: "echo overlay > /etc/modules-load.d/overlay.conf; modprobe overlay",
        undo: "rm /etc/modules-load.d/overlay.conf",
        verify: "after a reboot: grep overlay /proc/filesystems",
        profiles: NODES,
        judge: Judge::Machine(overlay_module),
    },
    Check {
        id: "xfs-ftype",
        title: "XFS under the images carries file types (ftype=1)",
        looks_at: "file system of the image folder, and whether its directory entries carry types",
        story: "Overlay needs to know an entry's type without opening it. XFS made by older tools has ftype=0, and this cannot be changed later.",
        later: "files deleted in an image come back, or containers cannot be made",
        fix: "make the file system anew with mkfs.xfs -n ftype=1, or put the image folder on another one",
        undo: "mount the old file system again",
        verify: "xfs_info on the mount point says ftype=1",
        profiles: NODES,
        judge: Judge::Machine(xfs_ftype),
    },
    Check {
        id: "disk-space",
        title: "the disks of images and state have room",
        looks_at: "statvfs of the image, state and root folders",
        story: "The kubelet evicts pods when the disk of its images has less than 15 % free, or that of its state less than 10 %.",
        later: "pods are evicted and images removed under load, at the worst time",
        fix: "free space, or put the folder on a larger disk",
        undo: "none needed",
        verify: "df -h",
        profiles: NODES,
        judge: Judge::Machine(disk_space),
    },
    Check {
        id: "inodes",
        title: "the disks of images and state have inodes",
        looks_at: "statvfs of the image, state and root folders",
        story: "Images are many small files. A disk can be half empty and yet hold no further file.",
        later: "\"no space left on device\" while df shows gigabytes free",
        fix: "remove small files, or make the file system with more inodes",
        undo: "none needed",
        verify: "df -i",
        profiles: NODES,
        judge: Judge::Machine(inodes),
    },
    Check {
        id: "memory",
        title: "there is memory for the role",
        looks_at: "/proc/meminfo",
        story: "kubeadm asks for 1700 MB on a control plane. A node with less starts, and its kernel kills whatever is largest.",
        later: "the API server or a system pod is killed for memory, again and again",
        fix: "use a larger machine",
        undo: "none needed",
        verify: "grep MemTotal /proc/meminfo",
        profiles: NODES,
        judge: Judge::Machine(memory),
    },
];

fn storage_driver(facts: &Facts, _: &Wanted) -> Verdict {
    if let Some(docker) = &facts.runtime.docker {
        let on_loop = docker.driver_status.iter().any(|(k, v)| {
            k.contains("loop file") || k.starts_with("Data file") && v.starts_with("/dev/loop")
        });
        return match docker.driver.as_str() {
            "devicemapper" if on_loop => Verdict::fail("Docker uses devicemapper on loopback files"),
            "devicemapper" | "aufs" => Verdict::fail(format!(
                "Docker uses {}, which today's Docker no longer has",
                docker.driver
            )),
            "overlay2" | "overlay" | "overlayfs" | "btrfs" | "zfs" | "fuse-overlayfs" => {
                Verdict::pass(format!("Docker uses {}", docker.driver))
            }
            "" => Verdict::skip("Docker did not say which storage driver it uses"),
            other => Verdict::warn(format!("Docker uses {other}, which copies whole images")),
        };
    }
    let Some(containerd) = &facts.runtime.containerd else {
        return Verdict::skip("no container runtime found");
    };
    let snapshotter = containerd
        .config
        .as_deref()
        .and_then(|text| super::runtime::toml_value(text, "snapshotter"));
    match snapshotter.as_deref().unwrap_or("overlayfs") {
        "overlayfs" => Verdict::pass("containerd uses overlayfs"),
        "native" | "devmapper" | "aufs" => Verdict::warn(format!(
            "containerd uses the {} snapshotter",
            snapshotter.unwrap_or_default()
        )),
        other => Verdict::pass(format!("containerd uses {other}")),
    }
}

fn overlay_module(facts: &Facts, _: &Wanted) -> Verdict {
    let (now, later) = (
        facts.module_present("overlay"),
        facts.module_after_boot("overlay"),
    );
    let changes = || fix::modules(facts, "overlay-module", &["overlay"]);
    match (now, later) {
        (true, true) if facts.modules.builtin.iter().any(|m| m == "overlay") => {
            Verdict::pass("compiled into the kernel")
        }
        (true, true) => Verdict::pass("loaded, and in modules-load.d"),
        (true, false) => Verdict::fail("loaded now, but nothing loads it at boot").changes(changes()),
        (false, _) if !facts.modules.available.iter().any(|m| m == "overlay") => {
            Verdict::fail("this kernel has no overlay module")
        }
        (false, true) => Verdict::fail("in modules-load.d, but not loaded now").changes(changes()),
        (false, false) => Verdict::fail("neither loaded now nor at boot").changes(changes()),
    }
}

fn xfs_ftype(facts: &Facts, _: &Wanted) -> Verdict {
    let bad = facts
        .folders
        .iter()
        .find(|f| f.filesystem == "xfs" && f.entry_types == Some(false));
    match bad {
        Some(f) => Verdict::fail(format!("{} is on XFS without file types (ftype=0)", f.path)),
        None if facts.folders.iter().any(|f| f.filesystem == "xfs") => Verdict::pass("XFS with ftype=1"),
        None => Verdict::pass("no XFS under the folders that matter"),
    }
}

fn disk_space(facts: &Facts, _: &Wanted) -> Verdict {
    let mut verdict = Verdict::pass("enough free under every folder that matters");
    for f in facts.folders.iter().filter(|f| f.bytes > 0) {
        let percent = f.free_bytes as f64 * 100.0 / f.bytes as f64;
        let limit = if f.role == "images" { 15.0 } else { 10.0 };
        let seen = format!(
            "{}: {} of {} free ({percent:.0} %)",
            f.path,
            size(f.free_bytes),
            size(f.bytes)
        );
        if f.free_bytes < 1 << 30 {
            return Verdict::fail(seen);
        }
        if percent < limit {
            return Verdict::fail(format!("{seen}: below the kubelet's eviction limit of {limit} %"));
        }
        if f.free_bytes < 5 << 30 {
            verdict = Verdict::warn(seen);
        }
    }
    if facts.folders.is_empty() {
        Verdict::skip("no folder was looked at")
    } else {
        verdict
    }
}

fn inodes(facts: &Facts, _: &Wanted) -> Verdict {
    for f in facts.folders.iter().filter(|f| f.inodes > 0) {
        let percent = f.free_inodes as f64 * 100.0 / f.inodes as f64;
        let seen = format!(
            "{}: {} of {} inodes free ({percent:.0} %)",
            f.path, f.free_inodes, f.inodes
        );
        if percent < 5.0 {
            return Verdict::fail(format!("{seen}: below the kubelet's eviction limit of 5 %"));
        }
        if percent < 10.0 {
            return Verdict::warn(seen);
        }
    }
    if facts.folders.is_empty() {
        Verdict::skip("no folder was looked at")
    } else {
        Verdict::pass("enough free under every folder that matters")
    }
}

fn memory(facts: &Facts, wanted: &Wanted) -> Verdict {
    use crate::check::Profile;
    let memory = facts.machine.memory;
    let seen = format!("{} in all", size(memory));
    let least = if wanted.profile == Profile::ControlPlane {
        1700 << 20
    } else {
        900 << 20
    };
    match memory {
        0 => Verdict::skip("memory is unknown"),
        m if m < least => Verdict::fail(format!("{seen}; {} are asked for", size(least))),
        _ => Verdict::pass(seen),
    }
}
