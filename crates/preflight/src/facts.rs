//! The facts of one machine, as one JSON document. Whatever a newer program wrote into it and this one does not know
//! stays in `more` and is written back.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::LocalEngineFacts;

/// Name and version of the document's form.
pub const FORMAT: &str = "cncfdemo.doctor.facts/1";

macro_rules! document {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* })*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// What this version does not know.
            #[serde(flatten)]
            pub more: BTreeMap<String, Value>,
        }
    )* };
}
pub(crate) use document;

document! {
    /// Everything that is known of one machine.
    Facts {
        /// [`FORMAT`].
        format: String,
        /// When it was recorded, seconds since 1970 by the machine's own clock.
        recorded: i64,
        /// When somebody else's clock said it was recorded (filled in where several machines are asked at once).
        recorded_by_collector: Option<i64>,
        /// What could not be looked at, and why.
        unseen: BTreeMap<String, String>,
        /// Who it is.
        machine: Machine,
        /// The kernel.
        kernel: Kernel,
        /// Processor.
        cpu: Cpu,
        /// Kernel parameters.
        sysctl: Sysctl,
        /// Kernel modules.
        modules: Modules,
        /// Control groups.
        cgroup: Cgroup,
        /// Capabilities and limits of the process that looked.
        process: Process,
        /// Memory that is on disk.
        swap: Swap,
        /// Folders that matter, and the file systems under them.
        folders: Vec<Folder>,
        /// Links, ports and rules.
        network: Network,
        /// Name resolution.
        dns: Dns,
        /// Clock.
        clock: Clock,
        /// systemd.
        systemd: Systemd,
        /// Programs found, name to path.
        tools: BTreeMap<String, String>,
        /// Packages of interest, name to version.
        packages: BTreeMap<String, String>,
        /// Newest change to the package database, seconds since 1970.
        packages_changed: Option<i64>,
        /// SELinux.
        selinux: Selinux,
        /// Container runtimes.
        runtime: Runtime,
        /// Kubernetes' own files.
        kubernetes: Kubernetes,
        /// Files that set proxies for services: path and text.
        proxy_files: Vec<ConfFile>,
        /// What the embedded engine needs, tried; only where asked for.
        local_engine: Option<LocalEngineFacts>,
    }

    /// Who a machine is.
    Machine {
        /// Host name.
        hostname: String,
        /// `/etc/machine-id`.
        machine_id: String,
        /// DMI product UUID.
        product_uuid: String,
        /// `ID` and `VERSION_ID` of os-release.
        os: String,
        /// `PRETTY_NAME` of os-release.
        os_name: String,
        /// Architecture.
        arch: String,
        /// Kind of virtual machine, or empty.
        virtualisation: String,
        /// Kind of container that the process is in, or empty.
        container: String,
        /// Seconds since boot.
        uptime: u64,
        /// Bytes of memory.
        memory: u64,
    }

    /// The kernel.
    Kernel {
        /// Release, as `uname -r` says it.
        release: String,
        /// Releases whose modules or images are installed.
        installed: Vec<String>,
        /// Command line.
        cmdline: String,
        /// Transparent huge pages: `always`, `madvise` or `never`.
        transparent_hugepage: String,
    }

    /// Processor.
    Cpu {
        /// Processors.
        count: u32,
        /// Flags.
        flags: Vec<String>,
    }

    /// A file of configuration.
    ConfFile {
        /// Path.
        path: String,
        /// What a symbolic link points to.
        link: Option<String>,
        /// Text; absent where it could not be read.
        text: Option<String>,
    }

    /// Kernel parameters.
    Sysctl {
        /// Values of now, keys with dots.
        now: BTreeMap<String, String>,
        /// Every file of the sysctl.d folders.
        files: Vec<ConfFile>,
        /// `/etc/sysctl.conf`, which systemd does not read unless a link in sysctl.d leads there.
        sysctl_conf: Option<String>,
    }

    /// Kernel modules.
    Modules {
        /// Whether this kernel can load modules at all.
        loadable: bool,
        /// Loaded.
        loaded: Vec<String>,
        /// Of those that matter: compiled in, or there without a module (their parameters or file systems exist).
        builtin: Vec<String>,
        /// Of those that matter: lie ready to be loaded.
        available: Vec<String>,
        /// Every file of the modules-load.d folders.
        files: Vec<ConfFile>,
    }

    /// Control groups.
    Cgroup {
        /// `v1`, `v2` or `hybrid`.
        version: String,
        /// Controllers, of all hierarchies.
        controllers: Vec<String>,
    }

    /// Capabilities and limits of the process that looked.
    Process {
        /// Effective user.
        euid: u32,
        /// Effective capabilities, as in `/proc/self/status`.
        capabilities: u64,
        /// Soft limit of open files.
        open_files: u64,
        /// Hard limit of open files.
        open_files_hard: u64,
    }

    /// Memory on disk.
    Swap {
        /// Active devices and files.
        active: Vec<String>,
        /// `/etc/fstab`.
        fstab: Option<String>,
        /// systemd units that would activate swap at boot.
        units: Vec<String>,
    }

    /// A folder and the file system under it.
    Folder {
        /// Path.
        path: String,
        /// What it is for: `images`, `state`, `root`, `etcd`.
        role: String,
        /// File system type.
        filesystem: String,
        /// Bytes in all.
        bytes: u64,
        /// Bytes free.
        free_bytes: u64,
        /// Inodes in all; 0 where the file system has no fixed number.
        inodes: u64,
        /// Inodes free.
        free_inodes: u64,
        /// Whether entries carry their type (XFS: made with ftype=1).
        entry_types: Option<bool>,
    }

    /// Links, ports and rules.
    Network {
        /// Links.
        links: Vec<Link>,
        /// Link of the default route.
        default_link: String,
        /// Listening TCP ports with the program, where it could be told.
        listening: Vec<Port>,
        /// Whether rules made by the old iptables kernel interface exist (`/proc/net/ip_tables_names` is not empty).
        legacy_rules: bool,
        /// Whether any nftables table exists.
        nft_tables: bool,
        /// What `iptables --version` says.
        iptables_version: String,
        /// Whether a packet filter with bridges was seen to be needed: bridge links exist.
        bridges: Vec<String>,
    }

    /// A network link.
    Link {
        /// Name.
        name: String,
        /// MTU.
        mtu: u32,
        /// `physical`, `bridge`, `vxlan`, `wireguard`, `tunnel`, `veth`, `other`.
        kind: String,
        /// Hardware address.
        address: String,
    }

    /// A listening port.
    Port {
        /// Number.
        port: u16,
        /// Program, or empty.
        program: String,
        /// Whether on loopback only.
        loopback: bool,
    }

    /// Name resolution.
    Dns {
        /// `/etc/resolv.conf`.
        resolv_conf: Option<String>,
        /// Where the link leads.
        resolv_link: Option<String>,
        /// systemd-resolved's file with the true servers.
        upstream_conf: Option<String>,
    }

    /// Clock.
    Clock {
        /// Whether the kernel says that it is kept in step.
        synchronised: Option<bool>,
        /// Estimated error in microseconds.
        error_micros: Option<i64>,
        /// Programs seen that keep it.
        keepers: Vec<String>,
    }

    /// systemd.
    Systemd {
        /// Whether it is process 1.
        running: bool,
        /// Failed units.
        failed: Vec<String>,
        /// Units of interest that are active.
        active: Vec<String>,
    }

    /// SELinux.
    Selinux {
        /// `enforcing`, `permissive` or `disabled`.
        mode: String,
        /// What `/etc/selinux/config` sets for the next boot.
        configured: String,
        /// Label of `/var/lib/kubelet`, where it exists.
        kubelet_label: Option<String>,
    }

    /// Container runtimes.
    Runtime {
        /// Docker.
        docker: Option<Docker>,
        /// containerd.
        containerd: Option<Containerd>,
        /// CRI-O's version.
        crio: Option<String>,
    }

    /// Docker, by its own API or its configuration.
    Docker {
        /// Version.
        version: String,
        /// Storage driver.
        driver: String,
        /// Storage driver's details.
        driver_status: BTreeMap<String, String>,
        /// `systemd` or `cgroupfs`.
        cgroup_driver: String,
        /// Warnings that it gives itself.
        warnings: Vec<String>,
        /// Root folder.
        root: String,
    }

    /// containerd.
    Containerd {
        /// Version.
        version: String,
        /// `/etc/containerd/config.toml`.
        config: Option<String>,
    }

    /// Kubernetes' own files.
    Kubernetes {
        /// kubelet's version.
        kubelet: Option<String>,
        /// `/var/lib/kubelet/config.yaml`.
        kubelet_config: Option<String>,
        /// Files in `/opt/cni/bin`; absent where the folder is missing.
        cni_plugins: Option<Vec<String>>,
        /// Files in `/etc/cni/net.d`; absent where the folder is missing.
        cni_configs: Option<Vec<ConfFile>>,
        /// Certificates below `/etc/kubernetes` and `/var/lib/kubelet`.
        certificates: Vec<Certificate>,
        /// Last lines of kube-proxy's log that name br-netfilter.
        proxy_log: Vec<String>,
        /// Lines of the boot's log in which sysctl complains of unknown keys.
        sysctl_log: Vec<String>,
    }

    /// A certificate.
    Certificate {
        /// Path.
        path: String,
        /// Name it is for.
        subject: String,
        /// End, seconds since 1970.
        not_after: i64,
    }
}

impl Facts {
    /// A parameter's value of now.
    pub fn sysctl_now(&self, key: &str) -> Option<&str> {
        self.sysctl.now.get(key).map(String::as_str)
    }

    /// Whether a module is there now.
    pub fn module_present(&self, name: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|m| m == name);
        has(&self.modules.loaded) || has(&self.modules.builtin)
    }

    /// Whether a module will be there after a reboot: compiled in, or named in modules-load.d.
    pub fn module_after_boot(&self, name: &str) -> bool {
        self.modules.builtin.iter().any(|m| m == name)
            || crate::conf::modules_at_boot(&self.modules.files, &self.kernel.cmdline)
                .iter()
                .any(|m| m == name)
    }

    /// Whether any Kubernetes node software is here already.
    pub fn is_node(&self) -> bool {
        self.kubernetes.kubelet.is_some() || self.kubernetes.kubelet_config.is_some()
    }

    /// A value of kubelet's configuration at the top level of the YAML.
    pub fn kubelet_setting(&self, name: &str) -> Option<String> {
        let text = self.kubernetes.kubelet_config.as_deref()?;
        text.lines().find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(':')?.trim();
            Some(value.trim_matches(['"', '\'']).to_owned())
        })
    }
}
