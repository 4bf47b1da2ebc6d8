//! The rest of the machine: security labels, tools, units, updates, clock, names, certificates.
use super::NODES;
use crate::check::{Check, Judge, Verdict};
use crate::versions;

const DAY: i64 = 86_400;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "selinux",
        title: "SELinux lets pods read their secrets",
        looks_at: "SELinux' mode now and after a reboot, the label of /var/lib/kubelet, container-selinux",
        story: "In enforcing mode, files that kubelet mounts into pods must carry a label that containers may read. The seed's remedy: chcon -Rt svirt_sandbox_file_t /var/lib/kubelet; today the package container-selinux brings the rules.",
        later: "secrets are unreadable in pods: the DNS add-on cannot authenticate, names stop resolving",
        fix: "install container-selinux, then restorecon -R /var/lib/kubelet (without the package: semanage fcontext -a -t container_file_t '/var/lib/kubelet(/.*)?' and restorecon)",
        undo: "semanage fcontext -d '/var/lib/kubelet(/.*)?', restorecon -R /var/lib/kubelet",
        verify: "ls -Zd /var/lib/kubelet shows container_file_t or container_var_lib_t",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let s = &facts.selinux;
            let enforcing = s.mode == "enforcing" || s.configured == "enforcing";
            if !enforcing {
                return Verdict::pass(if s.mode.is_empty() || s.mode == "disabled" {
                    "not in use"
                } else {
                    "permissive"
                });
            }
            if let Some(docker) = &facts.runtime.docker
                && docker.driver.starts_with("overlay")
                && facts.kernel.release.starts_with("3.")
            {
                return Verdict::fail(format!(
                    "enforcing with Docker on {} and kernel {}",
                    docker.driver, facts.kernel.release
                ));
            }
            let labelled = s.kubelet_label.as_deref().map(|l| {
                [
                    "container_file_t",
                    "container_var_lib_t",
                    "svirt_sandbox_file_t",
                    "kubelet_var_lib_t",
                ]
                .iter()
                .any(|t| l.contains(t))
            });
            let package = facts.packages.contains_key("container-selinux");
            let when = if s.mode == "enforcing" {
                "enforcing"
            } else {
                "enforcing from the next boot on"
            };
            match (labelled, package) {
                (Some(true), _) => {
                    Verdict::pass(format!("{when}; /var/lib/kubelet is labelled for containers"))
                }
                (Some(false), _) => Verdict::fail(format!(
                    "{when}, and /var/lib/kubelet is labelled {}",
                    s.kubelet_label.as_deref().unwrap_or_default()
                )),
                (None, true) => Verdict::pass(format!("{when}, with container-selinux")),
                (None, false) => Verdict::fail(format!("{when}, and container-selinux is not installed")),
            }
        }),
    },
    Check {
        id: "missing-tools",
        title: "the programs that Kubernetes calls are installed",
        looks_at: "conntrack, socat, ip, ethtool, iptables or nft, mount",
        story: "The seed found conntrack-tools, socat and bridge-utils to be undocumented needs. Each is missed by another feature.",
        later: "port-forward, services and network plugins fail one by one",
        fix: "Debian: apt-get install conntrack socat iproute2 ethtool iptables mount; RHEL: dnf install conntrack-tools socat iproute ethtool iptables-nft",
        undo: "remove the packages",
        verify: "command -v conntrack socat ip ethtool iptables mount",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| {
            let has = |name: &str| facts.tools.contains_key(name);
            let mut missing: Vec<&str> = ["ip", "mount"].into_iter().filter(|t| !has(t)).collect();
            if !has("iptables") && !has("nft") {
                missing.push("iptables or nft");
            }
            let mut less: Vec<&str> = ["socat", "ethtool"].into_iter().filter(|t| !has(t)).collect();
            // kube-proxy speaks to the kernel itself from 1.32 on; before, kubeadm insists on the program.
            if !has("conntrack") {
                if wanted.kubernetes < versions::WITHOUT_CONNTRACK {
                    missing.push("conntrack")
                } else {
                    less.push("conntrack")
                }
            }
            match (missing.is_empty(), less.is_empty()) {
                (true, true) => Verdict::pass("all there"),
                (false, _) => Verdict::fail(format!(
                    "missing: {}",
                    missing.into_iter().chain(less).collect::<Vec<_>>().join(", ")
                )),
                (true, false) => Verdict::warn(format!("missing: {}", less.join(", "))),
            }
        }),
    },
    Check {
        id: "failed-units",
        title: "no unit has failed",
        looks_at: "systemctl --failed",
        story: "docker-storage-setup.service had failed on every node of the seed's cluster, weeks before anybody looked. What fails at install is masked by what comes after.",
        later: "whatever the unit was for; far from the cause",
        fix: "systemctl status UNIT, mend it, systemctl reset-failed",
        undo: "none needed",
        verify: "systemctl --failed lists nothing",
        profiles: NODES,
        judge: Judge::Machine(
            |facts, _| match (facts.systemd.running, facts.systemd.failed.as_slice()) {
                (false, _) => Verdict::skip("systemd does not run here"),
                (true, []) => Verdict::pass("none"),
                (true, failed) => {
                    let ours = [
                        "docker",
                        "containerd",
                        "kubelet",
                        "crio",
                        "systemd-sysctl",
                        "systemd-modules-load",
                        "network",
                    ];
                    let seen = format!("failed: {}", failed.join(", "));
                    if failed.iter().any(|u| ours.iter().any(|o| u.starts_with(o))) {
                        Verdict::fail(seen)
                    } else {
                        Verdict::warn(seen)
                    }
                }
            },
        ),
    },
    Check {
        id: "image-age",
        title: "updates have been applied lately",
        looks_at: "newest change of the package database",
        story: "Machine images that are named by id grow old. The seed took the newest by creation date and updated it as the first step.",
        later: "deprecated images, known holes, and versions that differ between nodes made at different times",
        fix: "apply updates (apt-get upgrade, dnf upgrade), or build on the newest image",
        undo: "none needed",
        verify: "the package database changed today",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| match facts.packages_changed {
            None => Verdict::skip("no package database is seen here"),
            Some(then) => {
                let days = wanted.now.saturating_sub(then) / DAY;
                let seen = format!("{}: packages last changed {days} days ago", facts.machine.os_name);
                if days > 120 {
                    Verdict::warn(seen)
                } else {
                    Verdict::pass(seen)
                }
            }
        }),
    },
    Check {
        id: "clock",
        title: "the clock is kept in step",
        looks_at: "the kernel's clock state (adjtimex), and programs that keep it",
        story: "Certificates, leases and elections compare times of different machines.",
        later: "\"certificate is not yet valid\"; leaders change without reason",
        fix: "systemctl enable --now systemd-timesyncd (or chrony)",
        undo: "systemctl disable --now systemd-timesyncd",
        verify: "timedatectl says synchronized: yes",
        profiles: NODES,
        judge: Judge::Machine(
            |facts, _| match (facts.clock.synchronised, facts.clock.keepers.is_empty()) {
                (None, _) => Verdict::skip("the kernel was not asked"),
                (Some(true), _) => Verdict::pass("in step"),
                (Some(false), false) => Verdict::warn(format!(
                    "not in step yet; {} runs",
                    facts.clock.keepers.join(", ")
                )),
                (Some(false), true) if !facts.machine.container.is_empty() => {
                    Verdict::skip("in a container the host keeps the clock")
                }
                (Some(false), true) => Verdict::fail("not in step, and no program keeps it"),
            },
        ),
    },
    Check {
        id: "hostname",
        title: "the host name can be a node's name",
        looks_at: "host name",
        story: "The node's name is the host name: lower-case letters, digits, dashes and dots, and not `localhost`, which cloned images share.",
        later: "the node does not register, or takes another node's place",
        fix: "hostnamectl set-hostname NAME (and make cloud-init keep it: preserve_hostname: true)",
        undo: "hostnamectl set-hostname with the old name",
        verify: "hostname",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let name = facts.machine.hostname.as_str();
            let fine = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            };
            if name.is_empty() {
                Verdict::skip("the host name is unknown")
            } else if name == "localhost" || name.starts_with("localhost.") || name == "(none)" {
                Verdict::fail(format!("the host name is `{name}`"))
            } else if !name.split('.').all(fine) || name.len() > 253 {
                Verdict::fail(format!("`{name}` cannot be a node's name"))
            } else {
                Verdict::pass(name)
            }
        }),
    },
    Check {
        id: "machine-id",
        title: "the machine has an id",
        looks_at: "/etc/machine-id",
        story: "An image taken without clearing the id gives every clone the same; one taken with an empty, read-only /etc gives none. Plugins and DHCP derive addresses from it.",
        later: "two nodes get the same address or name",
        fix: "systemd-machine-id-setup (on clones: truncate -s 0 /etc/machine-id first)",
        undo: "none needed",
        verify: "cat /etc/machine-id",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| match facts.machine.machine_id.as_str() {
            "" | "uninitialized" => Verdict::fail("/etc/machine-id is empty or missing"),
            id if facts.machine.machine_id.starts_with("redacted-")
                || (id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit())) =>
            {
                Verdict::pass("there")
            }
            _ => Verdict::fail("/etc/machine-id is not an id"),
        }),
    },
    Check {
        id: "certificates",
        title: "no certificate is about to expire",
        looks_at: "certificates below /etc/kubernetes/pki and /var/lib/kubelet/pki",
        story: "kubeadm's certificates last a year, and are renewed by an upgrade. Clusters that are never upgraded die on their first birthday.",
        later: "kubectl and every component: \"x509: certificate has expired\"",
        fix: "kubeadm certs renew all, then restart the control plane's pods; for kubelet: rotateCertificates: true",
        undo: "none needed",
        verify: "kubeadm certs check-expiration",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| {
            let Some(first) = facts.kubernetes.certificates.iter().min_by_key(|c| c.not_after) else {
                return Verdict::skip("no certificates here");
            };
            let days = first.not_after.saturating_sub(wanted.now).div_euclid(DAY);
            match days {
                d if d < 0 => Verdict::fail(format!("{} expired {} days ago", first.path, -d)),
                d if d < 7 => Verdict::fail(format!("{} expires in {d} days", first.path)),
                d if d < 30 => Verdict::warn(format!("{} expires in {d} days", first.path)),
                d => Verdict::pass(format!(
                    "{} of them, the first expires in {d} days",
                    facts.kubernetes.certificates.len()
                )),
            }
        }),
    },
];
