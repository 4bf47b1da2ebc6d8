//! The container runtime and kubelet.
use super::NODES;
use crate::check::{Check, Judge, Verdict, Wanted};
use crate::facts::Facts;
use crate::fix::Change;
use crate::versions::{self, numbers};

const CONFIG: &str = "/etc/containerd/config.toml";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "runtime-version",
        title: "the container runtime goes with this Kubernetes",
        looks_at: "versions of Docker, containerd and CRI-O; a dated table",
        story: "The seed's `yum install docker` brought 1.12, which Kubernetes 1.4 did not support yet, and distributions work with some versions by luck. Today: kubelet has not spoken to Docker since 1.24, and needs containerd 2 from 1.36 on.",
        later: "kubelet refuses to start or misbehaves after an upgrade",
        fix: "pin runtime, operating system and Kubernetes together; for 1.36, containerd 2.0 or later, or CRI-O of the same minor version",
        undo: "install the old version again",
        verify: "containerd --version",
        profiles: NODES,
        judge: Judge::Machine(runtime_version),
    },
    Check {
        id: "containerd-cri",
        title: "containerd lets kubelet in",
        looks_at: "disabled_plugins in /etc/containerd/config.toml",
        story: "Docker's package of containerd comes with disabled_plugins = [\"cri\"], because Docker does not need it.",
        later: "kubeadm init stops with \"unknown service runtime.v1.RuntimeService\"",
        fix: "disabled_plugins = [] in /etc/containerd/config.toml, then systemctl restart containerd",
        undo: "put the line back, or cncfdemo doctor undo",
        verify: "crictl info",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let Some(containerd) = &facts.runtime.containerd else {
                return Verdict::skip("containerd is not installed");
            };
            let Some(config) = &containerd.config else {
                return Verdict::pass("containerd's own defaults");
            };
            let line = config
                .lines()
                .find(|l| l.trim_start().starts_with("disabled_plugins"));
            let Some(line) =
                line.filter(|l| l.contains("\"cri\"") || l.contains("io.containerd.grpc.v1.cri"))
            else {
                return Verdict::pass("the CRI plugin is on");
            };
            let verdict = Verdict::fail(format!("{CONFIG} disables the CRI plugin"));
            // A list over several lines is left to a person.
            let Some((head, list)) = line
                .split_once('[')
                .and_then(|(h, rest)| Some((h, rest.split_once(']')?.0)))
            else {
                return verdict;
            };
            let kept: Vec<&str> = list
                .split(',')
                .map(str::trim)
                .filter(|p| !p.is_empty() && !p.contains("cri"))
                .collect();
            let after = config.replacen(line, &format!("{head}[{}]", kept.join(", ")), 1);
            verdict.changes(vec![Change::WriteFile {
                path: CONFIG.to_owned(),
                before: Some(config.clone()),
                after,
            }])
        }),
    },
    Check {
        id: "cgroup-driver",
        title: "runtime and kubelet keep control groups the same way",
        looks_at: "SystemdCgroup in containerd's configuration, Docker's cgroup driver, cgroupDriver in kubelet's configuration",
        story: "With systemd as process 1 there must be one keeper of control groups. containerd's default configuration says SystemdCgroup = false, kubelet's default is systemd.",
        later: "pods restart at random under memory pressure, or their sandbox changes for ever",
        fix: "SystemdCgroup = true in /etc/containerd/config.toml and cgroupDriver: systemd for kubelet, then restart both",
        undo: "put the old value back, or cncfdemo doctor undo",
        verify: "crictl info | grep -i systemdcgroup",
        profiles: NODES,
        judge: Judge::Machine(cgroup_driver),
    },
    Check {
        id: "kubelet-version",
        title: "kubelet is not newer than the cluster, and not too old for it",
        looks_at: "kubelet --version against the Kubernetes version asked for",
        story: "A kubelet may be up to three minor versions older than its API server and never newer. Packages that are not held are upgraded with the rest.",
        later: "the node joins and then misses fields that it does not know",
        fix: "install the kubelet of the cluster's version, and hold it: apt-mark hold kubelet",
        undo: "apt-mark unhold kubelet",
        verify: "kubelet --version",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| {
            let Some((_, minor)) = facts.kubernetes.kubelet.as_deref().and_then(numbers) else {
                return Verdict::skip("kubelet is not installed yet");
            };
            let seen = format!("kubelet 1.{minor} for Kubernetes 1.{}", wanted.kubernetes);
            if minor > wanted.kubernetes {
                Verdict::fail(format!("{seen}: newer than the API server"))
            } else if minor + versions::KUBELET_BEHIND < wanted.kubernetes {
                Verdict::fail(format!(
                    "{seen}: more than {} versions behind",
                    versions::KUBELET_BEHIND
                ))
            } else {
                Verdict::pass(seen)
            }
        }),
    },
];

fn runtime_version(facts: &Facts, wanted: &Wanted) -> Verdict {
    let minor = wanted.kubernetes;
    let runtime = &facts.runtime;
    if let Some(version) = &runtime.crio {
        return match numbers(version) {
            Some((1, m)) if m + 1 < minor || m > minor + 1 => Verdict::warn(format!(
                "CRI-O 1.{m} with Kubernetes 1.{minor}: they are made to have the same minor version"
            )),
            Some(_) => Verdict::pass(format!("CRI-O {version}")),
            None => Verdict::skip("CRI-O's version is unknown"),
        };
    }
    if let Some(docker) = &runtime.docker
        && minor < versions::WITHOUT_DOCKER
    {
        let (old, too_new) = versions::DOCKER_TOO_NEW;
        return match numbers(&docker.version) {
            Some(v) if minor <= old && v >= too_new => Verdict::fail(format!(
                "Docker {} is not supported by Kubernetes 1.{minor} yet",
                docker.version
            )),
            _ => Verdict::pass(format!("Docker {}", docker.version)),
        };
    }
    match (&runtime.containerd, &runtime.docker) {
        (Some(containerd), _) => match numbers(&containerd.version) {
            Some((major, m)) if major < 2 && minor >= versions::WITHOUT_CONTAINERD_1 => {
                Verdict::fail(format!(
                    "containerd {major}.{m}, and Kubernetes 1.{minor} needs 2.0 or later (1.37 does not start without)"
                ))
            }
            Some((major, m)) if major < 2 && minor + 1 >= versions::WITHOUT_CONTAINERD_1 => Verdict::warn(
                format!("containerd {major}.{m}: Kubernetes 1.{minor} is the last that takes it"),
            ),
            Some((major, m)) => Verdict::pass(format!("containerd {major}.{m}")),
            None => Verdict::skip("containerd's version is unknown"),
        },
        (None, Some(docker)) => Verdict::fail(format!(
            "only Docker {}, and kubelet 1.{minor} does not speak to it",
            docker.version
        )),
        (None, None) if facts.is_node() => Verdict::fail("kubelet is installed, and no container runtime"),
        (None, None) => Verdict::skip("no container runtime is installed yet"),
    }
}

/// `key = value` anywhere in TOML, without its quotes. Enough for single settings whose name is unique.
pub(super) fn toml_value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line
            .trim()
            .strip_prefix(key)?
            .trim_start()
            .strip_prefix('=')?
            .trim();
        Some(
            value
                .split('#')
                .next()
                .unwrap_or_default()
                .trim()
                .trim_matches(['"', '\''])
                .to_owned(),
        )
    })
}

fn cgroup_driver(facts: &Facts, _: &Wanted) -> Verdict {
    if !facts.systemd.running {
        return Verdict::skip("systemd is not process 1 here");
    }
    let kubelet = facts.kubelet_setting("cgroupDriver");
    let kubelet = kubelet.as_deref().unwrap_or("systemd");
    if let Some(config) = facts.runtime.containerd.as_ref().and_then(|c| c.config.as_ref()) {
        let runtime = match toml_value(config, "SystemdCgroup").as_deref() {
            Some("true") => "systemd",
            // containerd 2 takes kubelet's word over CRI where nothing is set.
            None => return Verdict::pass("containerd leaves it to its default"),
            Some(_) => "cgroupfs",
        };
        if runtime == kubelet {
            return Verdict::pass(format!("both use {kubelet}"));
        }
        let verdict = Verdict::fail(format!("containerd uses {runtime}, kubelet {kubelet}"));
        let line = config
            .lines()
            .find(|l| l.trim_start().starts_with("SystemdCgroup"));
        return match (line, runtime) {
            (Some(line), "cgroupfs") if config.matches("SystemdCgroup").count() == 1 => {
                let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
                let after = config.replacen(line, &format!("{indent}SystemdCgroup = true"), 1);
                verdict.changes(vec![Change::WriteFile {
                    path: CONFIG.to_owned(),
                    before: Some(config.clone()),
                    after,
                }])
            }
            _ => verdict,
        };
    }
    match &facts.runtime.docker {
        Some(docker)
            if facts.is_node() && !docker.cgroup_driver.is_empty() && docker.cgroup_driver != kubelet =>
        {
            Verdict::fail(format!("Docker uses {}, kubelet {kubelet}", docker.cgroup_driver))
        }
        _ => Verdict::skip("no runtime with a configuration of its own"),
    }
}
