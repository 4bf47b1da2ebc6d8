//! Facts of this machine, for `preflight`. Looks only. Programs that have to be asked are asked side by side, each with a
//! limit of time.
mod files;
mod kernel;
mod kubernetes;
mod network;
mod programs;
mod system;

use std::path::PathBuf;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use preflight::Facts;
use preflight::facts::{ConfFile, FORMAT};

/// What to look at.
#[derive(Debug, Clone)]
pub struct Collect {
    /// The state folder of cncfdemo.
    pub state_dir: PathBuf,
    /// Whether to try what the embedded engine needs, too.
    pub local_engine: bool,
}

/// The files of sysctl.d in all places, as `preflight::sysctl` replays them.
pub fn sysctl_files() -> Vec<ConfFile> {
    files::conf_folders("sysctl.d")
}

/// Looks at this machine.
pub fn collect(options: &Collect) -> Facts {
    thread::scope(|scope| {
        // Each of these waits for another program.
        let systemd = scope.spawn(programs::systemd);
        let docker = scope.spawn(programs::docker);
        let containerd = scope.spawn(programs::containerd);
        let crio = scope.spawn(|| programs::first_line("crio", &["--version"]));
        let kubelet = scope.spawn(|| programs::first_line("kubelet", &["--version"]));
        let iptables = scope.spawn(|| programs::first_line("iptables", &["--version"]));
        let local_engine = options
            .local_engine
            .then(|| scope.spawn(|| crate::local_engine_facts(&options.state_dir)));

        let mut facts = Facts {
            format: FORMAT.to_owned(),
            recorded: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs() as i64),
            machine: system::machine(),
            kernel: kernel::kernel(),
            cpu: system::cpu(),
            sysctl: kernel::sysctl(),
            modules: kernel::modules(),
            cgroup: kernel::cgroup(),
            process: system::process(),
            swap: system::swap(),
            network: network::network(),
            dns: network::dns(),
            clock: system::clock(),
            tools: programs::tools(),
            packages_changed: system::packages_changed(),
            selinux: system::selinux(),
            proxy_files: kubernetes::proxy_files(),
            kubernetes: kubernetes::kubernetes(),
            ..Facts::default()
        };
        facts.runtime.docker = docker.join().unwrap_or_default();
        facts.runtime.containerd = containerd.join().unwrap_or_default();
        facts.runtime.crio = crio.join().unwrap_or_default();
        facts.kubernetes.kubelet = kubelet.join().unwrap_or_default();
        facts.network.iptables_version = iptables.join().ok().flatten().unwrap_or_default();
        facts.systemd = systemd.join().unwrap_or_default();
        facts.local_engine = local_engine.and_then(|t| t.join().ok());
        if facts.selinux.mode == "enforcing"
            && let Some(version) = programs::first_line("rpm", &["-q", "container-selinux"])
                .filter(|l| !l.contains("not installed"))
        {
            facts.packages.insert("container-selinux".to_owned(), version);
        }
        facts.folders = system::folders(&facts.runtime, &options.state_dir);
        if facts.process.euid != 0 {
            let why = "not root: sockets' programs, rules of the old packet filter and private keys' folders cannot be seen";
            facts.unseen.insert("root".to_owned(), why.to_owned());
        }
        facts
    })
}
