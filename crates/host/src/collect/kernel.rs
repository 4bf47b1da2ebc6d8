//! The kernel: release, parameters, modules, control groups.
use std::collections::BTreeSet;
use std::path::Path;

use preflight::facts::{Cgroup, Kernel, Modules, Sysctl};

use super::files::{conf_folders, names, read, word};

/// Parameters that some check looks at.
const PARAMETERS: [&str; 27] = [
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-arptables",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.file-max",
    "fs.nr_open",
    "kernel.pid_max",
    "kernel.threads-max",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    "kernel.osrelease",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "vm.max_map_count",
    "vm.swappiness",
    "user.max_user_namespaces",
];

/// Modules that some check looks at, and a file that exists only with the module, also when it is compiled in.
const MODULES: [(&str, &str); 9] = [
    ("overlay", ""),
    ("br_netfilter", "/proc/sys/net/bridge"),
    ("nf_conntrack", "/proc/sys/net/netfilter/nf_conntrack_max"),
    ("bridge", "/sys/module/bridge"),
    ("veth", ""),
    ("nf_tables", "/sys/module/nf_tables"),
    ("vxlan", "/sys/module/vxlan"),
    ("ip_vs", "/proc/net/ip_vs"),
    ("ip_tables", "/proc/net/ip_tables_names"),
];

pub(super) fn kernel() -> Kernel {
    let installed: BTreeSet<String> = names("/lib/modules")
        .unwrap_or_default()
        .into_iter()
        // A removed kernel may leave an almost empty folder.
        .filter(|r| Path::new("/lib/modules").join(r).join("kernel").exists())
        .chain(
            names("/boot")
                .unwrap_or_default()
                .iter()
                .filter_map(|n| n.strip_prefix("vmlinuz-").map(str::to_owned)),
        )
        .filter(|r| r.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let pages = word("/sys/kernel/mm/transparent_hugepage/enabled");
    Kernel {
        release: word("/proc/sys/kernel/osrelease"),
        installed: installed.into_iter().collect(),
        cmdline: word("/proc/cmdline"),
        transparent_hugepage: pages.split(['[', ']']).nth(1).unwrap_or_default().to_owned(),
        ..Kernel::default()
    }
}

pub(super) fn sysctl() -> Sysctl {
    let now = PARAMETERS.iter().filter_map(|key| {
        let value = read(Path::new("/proc/sys").join(key.replace('.', "/")))?;
        Some(((*key).to_owned(), value.trim().to_owned()))
    });
    Sysctl {
        now: now.collect(),
        files: conf_folders("sysctl.d"),
        sysctl_conf: read("/etc/sysctl.conf"),
        ..Sysctl::default()
    }
}

pub(super) fn modules() -> Modules {
    let listed = read("/proc/modules");
    let loaded: Vec<String> = listed
        .iter()
        .flat_map(|t| t.lines())
        .filter_map(|l| l.split(' ').next())
        .map(str::to_owned)
        .collect();
    let folder = Path::new("/lib/modules").join(word("/proc/sys/kernel/osrelease"));
    // These lists are longer than what `read` takes.
    let list = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let (compiled, dependencies) = (list("modules.builtin"), list("modules.dep"));
    let lies_in = |text: &str, module: &str| {
        text.lines().any(|line| {
            let path = line.split(':').next().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            file.split(".ko")
                .next()
                .is_some_and(|stem| stem.replace('-', "_") == module)
        })
    };
    let filesystems = read("/proc/filesystems").unwrap_or_default();
    // Without loadable modules nothing lists what is compiled in; what can be tried is tried.
    let tried = listed.is_none() && rustix::process::geteuid().is_root();
    let (namespace, veth, nftables) = if tried {
        crate::network_probe::run()
    } else {
        ("-".into(), "-".into(), "-".into())
    };
    let evident = |module: &str, file: &str| match module {
        "overlay" => filesystems.lines().any(|l| l.trim() == "nodev\toverlay"),
        // Containers see little of /sys; br_netfilter's parameters cannot be there without bridges.
        "bridge" => Path::new(file).exists() || Path::new("/proc/sys/net/bridge").exists(),
        "veth" => namespace.is_empty() && veth.is_empty(),
        "nf_tables" if tried => namespace.is_empty() && nftables.is_empty(),
        _ => !file.is_empty() && Path::new(file).exists(),
    };
    let mut found = Modules {
        loadable: listed.is_some(),
        files: conf_folders("modules-load.d"),
        ..Modules::default()
    };
    for (module, file) in MODULES {
        if loaded.iter().any(|m| m == module) {
            continue;
        }
        if lies_in(&compiled, module) || evident(module, file) {
            found.builtin.push(module.to_owned());
        } else if lies_in(&dependencies, module) {
            found.available.push(module.to_owned());
        }
    }
    found.loaded = loaded;
    found
}

pub(super) fn cgroup() -> Cgroup {
    let controllers = crate::local_engine::cgroup_controllers();
    let mounts = crate::local_engine::cgroup_mounts();
    let v1 = mounts.iter().any(|(kind, _, options)| {
        kind == "cgroup" && (!options.contains("name=") || options.contains("memory"))
    });
    let v2 = mounts.iter().any(|(kind, _, _)| kind == "cgroup2");
    let version = match (v1, v2) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "",
    };
    Cgroup {
        version: version.to_owned(),
        controllers,
        ..Cgroup::default()
    }
}
