//! The machines. A trap is one change of a healthy one, so that what is written here is what differs.
use preflight::{Change, Profile};
use serde_json::{Value, json};

/// The day of judging: 2026-11-22.
pub fn day() -> i64 {
    1_795_305_600
}

/// A healthy node: Debian 13, containerd 2, Kubernetes 1.36.
pub fn debian13() -> Value {
    json!({
        "format": "cncfdemo.doctor.facts/1",
        "recorded": day(),
        "machine": {
            "hostname": "worker-1", "machine_id": "3f1d2c4b5a69788796a5b4c3d2e1f001", "product_uuid": "4C4C4544-0051-3010-8052-B4C04F4D3232",
            "os": "debian 13", "os_name": "Debian GNU/Linux 13 (trixie)", "arch": "x86_64", "virtualisation": "qemu", "uptime": 90_000,
            "memory": 8_342_843_392u64,
        },
        "kernel": {"release": "6.12.48+deb13-amd64", "installed": ["6.12.41+deb13-amd64", "6.12.48+deb13-amd64"], "cmdline": "root=/dev/vda1 quiet", "transparent_hugepage": "madvise"},
        "cpu": {"count": 4, "flags": ["fpu", "sse4_2", "avx", "avx2"]},
        "sysctl": {
            "now": {
                "net.bridge.bridge-nf-call-iptables": "1", "net.bridge.bridge-nf-call-ip6tables": "1", "net.ipv4.ip_forward": "1",
                "net.ipv4.conf.all.rp_filter": "2", "net.ipv4.ip_local_port_range": "32768\t60999", "net.ipv4.ip_local_reserved_ports": "",
                "net.netfilter.nf_conntrack_max": "262144", "fs.inotify.max_user_instances": "8192", "fs.inotify.max_user_watches": "524288",
                "fs.file-max": "9223372036854775807", "fs.nr_open": "1048576", "kernel.pid_max": "4194304", "kernel.threads-max": "63345",
                "vm.overcommit_memory": "1", "kernel.panic": "10", "kernel.panic_on_oops": "1", "vm.panic_on_oom": "0", "kernel.keys.root_maxkeys": "1000000", "kernel.keys.root_maxbytes": "25000000", "vm.max_map_count": "1048576",
            },
            "files": [
                {"path": "/etc/sysctl.d/99-kubernetes.conf", "text": "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.ip_forward = 1\nfs.inotify.max_user_instances = 8192\nfs.inotify.max_user_watches = 524288\n"},
                {"path": "/usr/lib/sysctl.d/10-map-count.conf", "text": "vm.max_map_count=1048576\n"},
                {"path": "/usr/lib/sysctl.d/50-pid-max.conf", "text": "kernel.pid_max = 4194304\n"},
                {"path": "/usr/lib/sysctl.d/50-default.conf", "text": "net.ipv4.conf.default.rp_filter = 2\n-net.ipv4.conf.all.rp_filter = 2\nnet.ipv4.conf.*.rp_filter = 2\n"},
            ],
        },
        "modules": {
            "loadable": true, "loaded": ["overlay", "br_netfilter", "bridge", "nf_conntrack", "nf_tables", "veth"], "builtin": [], "available": ["vxlan"],
            "files": [{"path": "/etc/modules-load.d/kubernetes.conf", "text": "overlay\nbr_netfilter\n"}],
        },
        "cgroup": {"version": "v2", "controllers": ["cpu", "cpuset", "io", "memory", "pids"]},
        "process": {"euid": 0, "capabilities": 0x1_ffff_ffff_u64 | 0xff_ffff_ffff, "open_files": 1024, "open_files_hard": 524_288},
        "swap": {"active": [], "fstab": "UUID=1 / ext4 defaults 0 1\n# UUID=2 none swap sw 0 0\n", "units": []},
        "folders": [
            {"path": "/", "role": "root", "filesystem": "ext4", "bytes": 100u64 << 30, "free_bytes": 60u64 << 30, "inodes": 6_000_000, "free_inodes": 5_000_000},
            {"path": "/var/lib/containerd", "role": "images", "filesystem": "xfs", "entry_types": true, "bytes": 100u64 << 30, "free_bytes": 60u64 << 30, "inodes": 50_000_000, "free_inodes": 49_000_000},
        ],
        "network": {
            "links": [{"name": "eth0", "mtu": 1500, "kind": "physical", "address": "52:54:00:12:34:56"}, {"name": "flannel.1", "mtu": 1450, "kind": "vxlan", "address": "de:ad:be:ef:00:01"}],
            "default_link": "eth0",
            "listening": [{"port": 22, "program": "sshd"}, {"port": 10250, "program": "kubelet"}, {"port": 6443, "program": "kube-apiserver"}],
            "legacy_rules": false, "nft_tables": true, "iptables_version": "iptables v1.8.11 (nf_tables)",
        },
        "dns": {"resolv_conf": "search example.org\nnameserver 192.0.2.53\n"},
        "clock": {"synchronised": true, "keepers": ["systemd-timesyn"]},
        "systemd": {"running": true, "failed": [], "active": ["containerd.service", "kubelet.service"]},
        "tools": {"conntrack": "/usr/sbin/conntrack", "socat": "/usr/bin/socat", "ip": "/usr/bin/ip", "ethtool": "/usr/sbin/ethtool", "iptables": "/usr/sbin/iptables", "mount": "/usr/bin/mount"},
        "packages_changed": day() - 5 * 86_400,
        "selinux": {"mode": "disabled", "configured": ""},
        "runtime": {"containerd": {"version": "containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7", "config": "version = 3\ndisabled_plugins = []\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n  SystemdCgroup = true\n"}},
        "kubernetes": {
            "kubelet": "Kubernetes v1.36.1", "kubelet_config": "kind: KubeletConfiguration\ncgroupDriver: systemd\nfailSwapOn: true\n",
            "cni_plugins": ["bridge", "flannel", "host-local", "loopback", "portmap"],
            "cni_configs": [{"path": "/etc/cni/net.d/10-flannel.conflist", "text": "{\"name\":\"cbr0\",\"plugins\":[{\"type\":\"flannel\"},{\"type\":\"portmap\"}]}"}],
            "certificates": [{"path": "/etc/kubernetes/pki/apiserver.crt", "subject": "CN=kube-apiserver", "not_after": day() + 300 * 86_400}],
        },
        "proxy_files": [],
    })
}

/// The seed's node, from its listings of `docker info`, `systemctl --failed` and sysctl.d.
pub fn centos7() -> Value {
    let mut m = debian13();
    m["machine"]["os"] = "centos 7".into();
    m["machine"]["os_name"] = "CentOS Linux 7 (Core)".into();
    m["kernel"] =
        json!({"release": "3.10.0-327.el7.x86_64", "installed": ["3.10.0-327.el7.x86_64"], "cmdline": "ro"});
    m["cgroup"]["version"] = "v1".into();
    m["runtime"] = json!({"docker": {
        "version": "1.10.3", "driver": "devicemapper", "cgroup_driver": "systemd", "root": "/var/lib/docker",
        "driver_status": {
            "Pool Name": "docker-202:1-9467182-pool", "Pool Blocksize": "65.54 kB", "Base Device Size": "10.74 GB", "Backing Filesystem": "xfs",
            "Data file": "/dev/loop0", "Metadata file": "/dev/loop1",
            "Data loop file": "/var/lib/docker/devicemapper/devicemapper/data", "Metadata loop file": "/var/lib/docker/devicemapper/devicemapper/metadata",
        },
        "warnings": ["bridge-nf-call-iptables is disabled", "bridge-nf-call-ip6tables is disabled"],
    }});
    m["systemd"] = json!({"running": true, "active": ["docker.service"], "failed": ["docker-storage-setup.service", "kdump.service", "network.service"]});
    m["modules"] = json!({"loadable": true, "loaded": ["bridge", "br_netfilter", "nf_conntrack", "veth", "nf_tables"], "available": ["overlay"], "files": []});
    m["sysctl"]["now"]["net.bridge.bridge-nf-call-iptables"] = "1".into();
    m["sysctl"]["files"][0]["text"] =
        "net.ipv4.ip_forward = 1\nfs.inotify.max_user_instances = 8192\n".into();
    m["sysctl"]["files"].as_array_mut().unwrap().push(json!({"path": "/usr/lib/sysctl.d/00-system.conf", "text":
        "# Kernel sysctl configuration file\n#\n# Disable netfilter on bridges.\nnet.bridge.bridge-nf-call-ip6tables = 0\nnet.bridge.bridge-nf-call-iptables = 0\nnet.bridge.bridge-nf-call-arptables = 0\n"}));
    m["selinux"] = json!({"mode": "enforcing", "configured": "enforcing", "kubelet_label": "system_u:object_r:var_lib_t:s0"});
    m["tools"] = json!({"ip": "/usr/sbin/ip", "mount": "/usr/bin/mount", "iptables": "/usr/sbin/iptables", "ethtool": "/usr/sbin/ethtool"});
    m["kubernetes"] = json!({"kubelet": "Kubernetes v1.4.0", "cni_plugins": ["loopback", "weave-net"], "cni_configs": [{"path": "/etc/cni/net.d/10-weave.conf", "text": "{\"type\":\"weave-net\"}"}]});
    m["network"]["nft_tables"] = false.into();
    m["network"]["iptables_version"] = "iptables v1.4.21".into();
    m
}

/// A machine with one trap.
pub struct Machine {
    pub name: &'static str,
    pub profile: Profile,
    /// The check that finds it, alone.
    pub finds: &'static str,
    /// A part of what it says.
    pub says: &'static str,
    /// Whether `--fix` can mend it.
    pub mendable: bool,
    pub trap: fn(&mut Value),
}

const fn machine(
    name: &'static str,
    finds: &'static str,
    says: &'static str,
    mendable: bool,
    trap: fn(&mut Value),
) -> Machine {
    Machine {
        name,
        profile: Profile::Node,
        finds,
        says,
        mendable,
        trap,
    }
}

fn file(m: &mut Value, path: &str, text: &str) {
    m["sysctl"]["files"]
        .as_array_mut()
        .unwrap()
        .push(json!({"path": path, "text": text}));
}

fn now(m: &mut Value, key: &str, value: &str) {
    m["sysctl"]["now"][key] = value.into();
}

pub const MACHINES: &[Machine] = &[
    machine(
        "docker on loopback files",
        "storage-driver",
        "loopback",
        false,
        |m| {
            m["runtime"]["docker"] = json!({"version": "28.0", "driver": "devicemapper", "cgroup_driver": "systemd", "driver_status": {"Data loop file": "/var/lib/docker/x"}});
        },
    ),
    machine("vfs copies images", "storage-driver", "vfs", false, |m| {
        m["runtime"]["docker"] = json!({"version": "28.0", "driver": "vfs"})
    }),
    machine(
        "overlay loaded by hand",
        "overlay-module",
        "nothing loads it at boot",
        true,
        |m| m["modules"]["files"][0]["text"] = "br_netfilter\n".into(),
    ),
    machine(
        "overlay masked in modules-load.d",
        "overlay-module",
        "nothing loads it at boot",
        true,
        |m| {
            m["modules"]["files"] = json!([
                {"path": "/usr/lib/modules-load.d/o.conf", "text": "overlay"}, {"path": "/etc/modules-load.d/o.conf", "link": "/dev/null", "text": null},
                {"path": "/etc/modules-load.d/k.conf", "text": "br_netfilter"},
            ]);
        },
    ),
    machine("XFS of an old mkfs", "xfs-ftype", "ftype=0", false, |m| {
        m["folders"][1]["entry_types"] = false.into()
    }),
    machine("disk nearly full", "disk-space", "eviction", false, |m| {
        m["folders"][1]["free_bytes"] = json!(6u64 << 30)
    }),
    machine("no inodes", "inodes", "inodes", false, |m| {
        m["folders"][0]["free_inodes"] = 10_000.into()
    }),
    machine("too little memory", "memory", "in all", false, |m| {
        m["machine"]["memory"] = json!(512 << 20)
    }),
    machine(
        "a later file wins",
        "bridge-netfilter",
        "99-z-hardening.conf:1 sets it",
        true,
        |m| {
            file(
                m,
                "/usr/lib/sysctl.d/99-z-hardening.conf",
                "net.bridge.bridge-nf-call-iptables = 0",
            )
        },
    ),
    machine(
        "echo into /proc",
        "forwarding",
        "will be 0 after a reboot",
        true,
        |m| {
            m["sysctl"]["files"][0]["text"] = m["sysctl"]["files"][0]["text"]
                .as_str()
                .unwrap()
                .replace("net.ipv4.ip_forward = 1\n", "")
                .into();
        },
    ),
    machine(
        "sysctl.conf is not read",
        "forwarding",
        "which systemd does not read",
        true,
        |m| {
            m["sysctl"]["files"][0]["text"] = m["sysctl"]["files"][0]["text"]
                .as_str()
                .unwrap()
                .replace("net.ipv4.ip_forward = 1\n", "")
                .into();
            m["sysctl"]["sysctl_conf"] = "net.ipv4.ip_forward=1\n".into();
        },
    ),
    machine("set back by hand", "forwarding", "is 0 now", true, |m| {
        now(m, "net.ipv4.ip_forward", "0")
    }),
    machine(
        "a glob hits the bridge",
        "bridge-netfilter",
        "after a reboot",
        true,
        |m| {
            m["sysctl"]["files"][0]["text"] = m["sysctl"]["files"][0]["text"]
                .as_str()
                .unwrap()
                .replace("net.bridge.bridge-nf-call-ip6tables = 1\n", "")
                .into();
            file(
                m,
                "/etc/sysctl.d/10-l.conf",
                "net/bridge/bridge-nf-call-*6tables = 0",
            );
        },
    ),
    machine(
        "few inotify instances",
        "inotify",
        "max_user_instances",
        true,
        |m| {
            now(m, "fs.inotify.max_user_instances", "128");
            m["sysctl"]["files"][0]["text"] = m["sysctl"]["files"][0]["text"]
                .as_str()
                .unwrap()
                .replace("fs.inotify.max_user_instances = 8192\n", "")
                .into();
        },
    ),
    machine("an old tuning guide", "open-files", "fs.file-max", true, |m| {
        file(m, "/etc/sysctl.d/99-z-tuning.conf", "fs.file-max = 65535")
    }),
    machine("32768 processes", "pid-limit", "kernel.pid_max", true, |m| {
        now(m, "kernel.pid_max", "32768");
        m["sysctl"]["files"]
            .as_array_mut()
            .unwrap()
            .retain(|f| !f["path"].as_str().unwrap().contains("pid-max"));
    }),
    machine(
        "small connection table",
        "conntrack-size",
        "nf_conntrack_max",
        true,
        |m| {
            now(m, "net.netfilter.nf_conntrack_max", "32768");
            file(
                m,
                "/etc/sysctl.d/50-c.conf",
                "net.netfilter.nf_conntrack_max=32768",
            );
        },
    ),
    machine(
        "wide range of outgoing ports",
        "node-port-range",
        "outgoing",
        true,
        |m| {
            now(m, "net.ipv4.ip_local_port_range", "1024\t65535");
            file(
                m,
                "/etc/sysctl.d/tune.conf",
                "net.ipv4.ip_local_port_range = 1024 65535",
            );
        },
    ),
    machine(
        "strict reverse path filter",
        "reverse-path",
        "rp_filter",
        true,
        |m| {
            now(m, "net.ipv4.conf.all.rp_filter", "1");
            file(m, "/etc/sysctl.d/99-cis.conf", "net.ipv4.conf.all.rp_filter=1");
        },
    ),
    machine(
        "hardened kubelet",
        "kubelet-parameters",
        "kernel.panic",
        true,
        |m| {
            m["kubernetes"]["kubelet_config"] = "protectKernelDefaults: true\n".into();
            now(m, "kernel.panic", "0");
            file(
                m,
                "/etc/sysctl.d/k.conf",
                "vm.overcommit_memory=1\nkernel.panic_on_oops=1",
            );
        },
    ),
    machine(
        "hardened kubelet, fewer keys",
        "kubelet-parameters",
        "kernel.keys.root_maxkeys is 200 now",
        true,
        |m| {
            m["kubernetes"]["kubelet_config"] = "protectKernelDefaults: true\n".into();
            now(m, "kernel.keys.root_maxkeys", "200");
            file(
                m,
                "/etc/sysctl.d/k.conf",
                "vm.overcommit_memory=1\nkernel.panic=10\nkernel.panic_on_oops=1\nkernel.keys.root_maxkeys=200",
            );
        },
    ),
    machine(
        "two packet filters",
        "iptables-mixed",
        "iptables-legacy",
        false,
        |m| m["network"]["legacy_rules"] = true.into(),
    ),
    machine("firewalld", "firewall", "firewalld", false, |m| {
        m["systemd"]["active"] = json!(["firewalld.service"])
    }),
    machine("a port is taken", "ports", "10250 by nginx", false, |m| {
        m["network"]["listening"][1]["program"] = "nginx".into()
    }),
    machine("a node port is taken", "ports", "30080 by java", false, |m| {
        m["network"]["listening"]
            .as_array_mut()
            .unwrap()
            .push(json!({"port": 30080, "program": "java"}))
    }),
    machine(
        "overlay as large as the network",
        "mtu",
        "flannel.1 has MTU 1500",
        false,
        |m| m["network"]["links"][1]["mtu"] = 1500.into(),
    ),
    machine("stub resolver for pods", "resolv-loop", "127.0.0.53", true, |m| {
        m["dns"] =
            json!({"resolv_conf": "nameserver 127.0.0.53\n", "upstream_conf": "nameserver 192.0.2.53\n"});
    }),
    machine("dnsmasq on loopback", "resolv-loop", "127.0.0.1", false, |m| {
        m["dns"]["resolv_conf"] = "nameserver 127.0.0.1\n".into()
    }),
    machine("proxy for everything", "proxy", "10.96.0.0/12", true, |m| {
        m["proxy_files"] = json!([{"path": "/etc/systemd/system/containerd.service.d/proxy.conf", "text": "[Service]\nEnvironment=\"HTTPS_PROXY=http://proxy:3128\"\nEnvironment=\"NO_PROXY=localhost,127.0.0.1\"\n"}]);
    }),
    machine("no loopback plugin", "cni", "loopback", false, |m| {
        m["kubernetes"]["cni_plugins"] = json!(["bridge", "flannel", "portmap"])
    }),
    machine("a plugin is missing", "cni", "flannel", false, |m| {
        m["kubernetes"]["cni_plugins"] = json!(["loopback", "portmap"])
    }),
    machine("left-over plugin", "cni", "2 configurations", false, |m| {
        m["kubernetes"]["cni_configs"]
            .as_array_mut()
            .unwrap()
            .push(json!({"path": "/etc/cni/net.d/87-old.conflist", "text": "{}"}));
    }),
    machine("cgroup v1", "cgroup-version", "does not start", false, |m| {
        m["cgroup"]["version"] = "v1".into()
    }),
    machine(
        "Raspberry Pi without memory",
        "cgroup-controllers",
        "memory",
        false,
        |m| m["cgroup"]["controllers"] = json!(["cpu", "cpuset", "pids"]),
    ),
    machine(
        "swap on",
        "swap",
        "also after a reboot",
        true,
        |m| m["swap"] = json!({"active": ["/dev/vda2"], "fstab": "UUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n"}),
    ),
    machine("swap comes back", "swap", "switches it on at boot", true, |m| {
        m["swap"]["fstab"] = "/swapfile none swap defaults 0 0\n".into()
    }),
    machine("swap by a unit", "swap", "dev-zram0.swap", false, |m| {
        m["swap"]["units"] = json!(["dev-zram0.swap"])
    }),
    machine("old kernel", "kernel-version", "4.19", false, |m| {
        m["kernel"]["release"] = "4.15.0-20-generic".into();
        m["kernel"]["installed"] = json!(["4.15.0-20-generic"]);
    }),
    machine("ageing kernel", "kernel-version", "from 5.4 on", false, |m| {
        m["kernel"]["release"] = "4.19.0-27-amd64".into();
        m["kernel"]["installed"] = json!(["4.19.0-27-amd64"]);
    }),
    machine("cloud kernel", "kernel-modules", "nf_tables", false, |m| {
        m["modules"]["loaded"] = json!(["overlay", "br_netfilter", "bridge", "nf_conntrack", "veth"])
    }),
    machine(
        "a newer kernel waits",
        "kernel-pending",
        "is installed",
        false,
        |m| {
            m["kernel"]["installed"]
                .as_array_mut()
                .unwrap()
                .push("6.12.57+deb13-amd64".into())
        },
    ),
    machine("sandbox", "capabilities", "CAP_SYS_RESOURCE", false, |m| {
        m["process"]["capabilities"] = json!(0x1ff_ffff_ffff_u64 & !(1 << 24))
    }),
    machine(
        "containerd 1.7 with 1.36",
        "runtime-version",
        "needs 2.0",
        false,
        |m| m["runtime"]["containerd"]["version"] = "containerd containerd.io 1.7.27 05044ec0a9".into(),
    ),
    machine(
        "docker's containerd",
        "containerd-cri",
        "disables the CRI plugin",
        true,
        |m| m["runtime"]["containerd"]["config"] = "disabled_plugins = [\"cri\"]\n".into(),
    ),
    machine("two keepers of cgroups", "cgroup-driver", "cgroupfs", true, |m| {
        m["runtime"]["containerd"]["config"] =
            "version = 3\n[a.b]\n            SystemdCgroup = false\n".into();
    }),
    machine("kubelet too new", "kubelet-version", "newer", false, |m| {
        m["kubernetes"]["kubelet"] = "Kubernetes v1.37.0".into()
    }),
    machine("kubelet too old", "kubelet-version", "behind", false, |m| {
        m["kubernetes"]["kubelet"] = "Kubernetes v1.32.0".into()
    }),
    machine(
        "SELinux without labels",
        "selinux",
        "container-selinux is not installed",
        false,
        |m| m["selinux"] = json!({"mode": "enforcing", "configured": "enforcing"}),
    ),
    machine("no socat", "missing-tools", "socat", false, |m| {
        drop(m["tools"].as_object_mut().unwrap().remove("socat"))
    }),
    machine("a failed unit", "failed-units", "kdump", false, |m| {
        m["systemd"]["failed"] = json!(["kdump.service"])
    }),
    machine("an old image", "image-age", "days ago", false, |m| {
        m["packages_changed"] = json!(day() - 200 * 86_400)
    }),
    machine("nobody keeps the clock", "clock", "not in step", false, |m| {
        m["clock"] = json!({"synchronised": false, "keepers": []})
    }),
    machine("localhost", "hostname", "localhost", false, |m| {
        m["machine"]["hostname"] = "localhost.localdomain".into()
    }),
    machine("upper case", "hostname", "Worker_1", false, |m| {
        m["machine"]["hostname"] = "Worker_1".into()
    }),
    machine("no machine-id", "machine-id", "empty", false, |m| {
        m["machine"]["machine_id"] = "".into()
    }),
    machine(
        "certificates of last year",
        "certificates",
        "expires in 3 days",
        false,
        |m| m["kubernetes"]["certificates"][0]["not_after"] = json!(day() + 3 * 86_400),
    ),
    Machine {
        profile: Profile::Mongodb,
        ..machine("no AVX", "mongodb-avx", "AVX", false, |m| {
            m["cpu"]["flags"] = json!(["fpu", "sse4_2"])
        })
    },
    Machine {
        profile: Profile::Mongodb,
        ..machine("few memory maps", "mongodb-max-map-count", "65530", true, |m| {
            now(m, "vm.max_map_count", "65530");
            m["sysctl"]["files"]
                .as_array_mut()
                .unwrap()
                .retain(|f| !f["path"].as_str().unwrap().contains("map-count"));
        })
    },
    Machine {
        profile: Profile::Mongodb,
        ..machine("huge pages always", "mongodb-hugepages", "always", false, |m| {
            m["kernel"]["transparent_hugepage"] = "always".into()
        })
    },
];

/// Does on a document what `host` does on a machine.
pub fn apply(document: &mut Value, changes: &[Change]) {
    for change in changes {
        match change {
            Change::SetSysctl { key, value } => document["sysctl"]["now"][key] = value.as_str().into(),
            Change::LoadModule { name } => document["modules"]["loaded"]
                .as_array_mut()
                .unwrap()
                .push(name.as_str().into()),
            Change::SwapOff { device } => document["swap"]["active"]
                .as_array_mut()
                .unwrap()
                .retain(|d| d != device),
            Change::WriteFile { path, after, .. } => {
                let list = |m: &mut Value| {
                    let files = m["files"].as_array_mut().unwrap();
                    files.retain(|f| f["path"] != path.as_str());
                    files.push(json!({"path": path, "text": after}));
                };
                match path.as_str() {
                    p if p.contains("/sysctl.d/") => list(&mut document["sysctl"]),
                    p if p.contains("/modules-load.d/") => list(&mut document["modules"]),
                    "/etc/fstab" => document["swap"]["fstab"] = after.as_str().into(),
                    "/etc/containerd/config.toml" => {
                        document["runtime"]["containerd"]["config"] = after.as_str().into()
                    }
                    "/var/lib/kubelet/config.yaml" => {
                        document["kubernetes"]["kubelet_config"] = after.as_str().into()
                    }
                    p => {
                        let proxy = document["proxy_files"]
                            .as_array_mut()
                            .unwrap()
                            .iter_mut()
                            .find(|f| f["path"] == p);
                        proxy.unwrap_or_else(|| panic!("{p} is no file that is known"))["text"] =
                            after.as_str().into();
                    }
                }
            }
        }
    }
}

/// Starts the machine anew: parameters become what the files say.
pub fn reboot(document: &mut Value) {
    let facts: preflight::Facts = serde_json::from_value(document.clone()).unwrap();
    for key in facts.sysctl.now.keys() {
        if let Some(set) = preflight::sysctl::after_boot(&facts.sysctl.files, key) {
            document["sysctl"]["now"][key] = set.value.into();
        }
    }
}
