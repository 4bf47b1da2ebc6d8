//! Links, filters, ports and names.
use super::NODES;
use crate::check::{Check, Judge, Profile, Verdict, Wanted};
use crate::facts::{ConfFile, Facts};
use crate::fix::Change;

/// Ranges that a cluster uses unless told otherwise: kubeadm's services, flannel's and kubeadm's usual pods.
const CLUSTER_RANGES: [&str; 2] = ["10.96.0.0/12", "10.244.0.0/16"];

/// Where systemd-resolved keeps the true servers.
const TRUE_FILE: &str = "/run/systemd/resolve/resolv.conf";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "iptables-mixed",
        title: "rules are made by one kernel interface only",
        looks_at: "/proc/net/ip_tables_names, nftables tables, iptables --version",
        story: "The kernel has two packet filters that both see every packet. When kubelet's iptables writes to one and a plugin's image to the other, each is right and together they are wrong.",
        later: "services work from some pods and not from others; rules seem to be there and have no effect",
        fix: "update-alternatives --set iptables /usr/sbin/iptables-nft (the same for ip6tables), flush the old rules with iptables-legacy -F and -t nat -F, reboot",
        undo: "update-alternatives --set iptables /usr/sbin/iptables-legacy",
        verify: "after a reboot: /proc/net/ip_tables_names is empty",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let said_legacy = facts.network.iptables_version.contains("legacy");
            match (facts.network.legacy_rules, facts.network.nft_tables) {
                (true, true) => {
                    Verdict::fail("rules exist in the old interface (iptables-legacy) and in nftables")
                }
                (false, true) if said_legacy => {
                    Verdict::warn("nftables has tables, and iptables here writes to the old interface")
                }
                (true, false) if facts.network.iptables_version.contains("nf_tables") => {
                    Verdict::warn("rules exist in the old interface, and iptables here writes to nftables")
                }
                (true, false) => Verdict::pass("only the old interface is used"),
                (false, true) => Verdict::pass("only nftables is used"),
                (false, false) => Verdict::pass("no rules yet"),
            }
        }),
    },
    Check {
        id: "firewall",
        title: "no other firewall manager rewrites the rules",
        looks_at: "active units firewalld, ufw, nftables",
        story: "firewalld and ufw keep their own idea of the rules and drop what is forwarded. Reloading nftables.service flushes everybody's rules, kube-proxy's too.",
        later: "pods of different nodes do not reach each other; services break whenever the firewall reloads",
        fix: "systemctl disable --now firewalld (or ufw), or open 6443, 10250, 2379-2380, 30000-32767 and the plugin's ports and trust the pods' range",
        undo: "systemctl enable --now firewalld",
        verify: "systemctl is-active firewalld ufw",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            if !facts.systemd.running {
                return Verdict::skip("systemd does not run here, so units cannot be asked");
            }
            let names = ["firewalld.service", "ufw.service", "nftables.service"];
            let active: Vec<&str> = facts
                .systemd
                .active
                .iter()
                .map(String::as_str)
                .filter(|u| names.contains(u))
                .collect();
            if active.is_empty() {
                Verdict::pass("none is active")
            } else {
                Verdict::warn(format!("{} is active", active.join(", ")))
            }
        }),
    },
    Check {
        id: "ports",
        title: "the ports of Kubernetes are free",
        looks_at: "listening TCP sockets",
        story: "A component that finds its port taken exits, and its manager starts it again, for ever.",
        later: "kubelet or API server restarts in a loop; a node port answers with somebody else's program",
        fix: "end or move the program that listens there",
        undo: "start it again",
        verify: "ss -ltn",
        profiles: NODES,
        judge: Judge::Machine(ports),
    },
    Check {
        id: "mtu",
        title: "the overlay's packets fit into the network's",
        looks_at: "links: MTU of overlay links against that of the default route's link",
        story: "An overlay wraps each packet: 50 bytes for VXLAN, 60 to 80 for WireGuard. When its links promise as much as the network carries, small packets pass and full ones vanish.",
        later: "ping and DNS work, downloads and TLS handshakes hang",
        fix: "set the plugin's MTU to the network's minus 50 (VXLAN) or 80 (WireGuard)",
        undo: "set it back",
        verify: "ping -M do -s 1400 to a pod on another node",
        profiles: NODES,
        judge: Judge::Machine(mtu),
    },
    Check {
        id: "resolv-loop",
        title: "the cluster's DNS gets true upstream servers",
        looks_at: "resolv.conf, systemd-resolved's file, resolvConf in kubelet's configuration",
        story: "CoreDNS asks the servers of the node's resolv.conf. A stub on 127.0.0.53 is, inside CoreDNS' pod, CoreDNS itself.",
        later: "CoreDNS crashes with \"Loop detected\", or every lookup takes seconds; names stop resolving",
        fix: "resolvConf: /run/systemd/resolve/resolv.conf in /var/lib/kubelet/config.yaml, then restart kubelet",
        undo: "put the old value back, or cncfdemo doctor undo",
        verify: "the CoreDNS pods are ready",
        profiles: NODES,
        judge: Judge::Machine(resolv_loop),
    },
    Check {
        id: "proxy",
        title: "proxies are not used for the cluster's own addresses",
        looks_at: "/etc/environment and the systemd drop-ins of kubelet and runtime",
        story: "A proxy set for image pulls is used for everything the process asks, unless NO_PROXY names the cluster's ranges.",
        later: "kubelet or a plugin asks the proxy for a service address and gets 403 or a time-out",
        fix: "add 10.96.0.0/12,10.244.0.0/16 (or your ranges), .svc and .cluster.local to NO_PROXY in the same file",
        undo: "put the old line back, or cncfdemo doctor undo",
        verify: "systemctl show containerd -p Environment",
        profiles: NODES,
        judge: Judge::Machine(proxy),
    },
    Check {
        id: "cni",
        title: "network plugins and one configuration are in place",
        looks_at: "/opt/cni/bin, /etc/cni/net.d",
        story: "The runtime takes the first file by name in net.d. A left-over of another plugin wins silently; a plugin named there and missing in /opt/cni/bin fails each pod. Kubernetes 1.3.5 broke this once by needing more binaries than before.",
        later: "nodes stay NotReady, pods without addresses; or pods of one node on another network",
        fix: "install the containernetworking plugins into /opt/cni/bin, and keep one configuration in /etc/cni/net.d",
        undo: "put the files back",
        verify: "the node is Ready",
        profiles: NODES,
        judge: Judge::Machine(cni),
    },
];

fn ports(facts: &Facts, wanted: &Wanted) -> Verdict {
    let all: &[u16] = match wanted.profile {
        Profile::ControlPlane => &[6443, 10250, 10257, 10259, 2379, 2380],
        _ => &[10250],
    };
    let ours = [
        "kubelet", "kube-", "etcd", "k3s", "microk8s", "rke2", "cncfdemo", "k0s",
    ];
    let mut taken = Vec::new();
    for port in &facts.network.listening {
        let node_port = (30_000..=32_767).contains(&port.port) && !port.loopback;
        if (all.contains(&port.port) || node_port) && !ours.iter().any(|o| port.program.starts_with(o)) {
            let program = if port.program.is_empty() {
                "an unknown program"
            } else {
                &port.program
            };
            taken.push(format!("{} by {program}", port.port));
        }
    }
    taken.sort();
    taken.dedup();
    if taken.is_empty() {
        Verdict::pass("its ports and all node ports are free, or Kubernetes' own")
    } else {
        Verdict::fail(format!("taken: {}", taken.join(", ")))
    }
}

fn mtu(facts: &Facts, _: &Wanted) -> Verdict {
    let links = &facts.network.links;
    let Some(under) = links.iter().find(|l| l.name == facts.network.default_link) else {
        return Verdict::skip("there is no default route to compare with");
    };
    for link in links {
        let cost = match link.kind.as_str() {
            "vxlan" => 50,
            "wireguard" => 60,
            "tunnel" => 20,
            _ => continue,
        };
        if link.mtu + cost > under.mtu {
            return Verdict::fail(format!(
                "{} has MTU {} and wraps {cost} bytes around each packet; {} carries {}",
                link.name, link.mtu, under.name, under.mtu
            ))
            .fix(format!(
                "set the MTU of {} to {} in its plugin's configuration",
                link.name,
                under.mtu.saturating_sub(cost)
            ));
        }
    }
    Verdict::pass(format!("{} carries {}", under.name, under.mtu))
}

fn servers(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|l| l.trim().strip_prefix("nameserver"))
        .map(str::trim)
        .collect()
}

fn resolv_loop(facts: &Facts, _: &Wanted) -> Verdict {
    let Some(text) = facts.dns.resolv_conf.as_deref() else {
        return Verdict::fail("there is no /etc/resolv.conf");
    };
    let found = servers(text);
    if found.is_empty() {
        return Verdict::warn("/etc/resolv.conf names no server");
    }
    let Some(stub) = found.iter().find(|s| s.starts_with("127.") || **s == "::1") else {
        return Verdict::pass("/etc/resolv.conf names true servers");
    };
    let upstream = facts
        .dns
        .upstream_conf
        .as_deref()
        .is_some_and(|t| servers(t).iter().any(|s| !s.starts_with("127.")));
    let setting = facts.kubelet_setting("resolvConf");
    if setting
        .as_deref()
        .is_some_and(|s| s != "/etc/resolv.conf" && !s.is_empty())
    {
        return Verdict::pass(format!(
            "/etc/resolv.conf names the stub {stub}, and kubelet uses {}",
            setting.unwrap_or_default()
        ));
    }
    let seen = format!("/etc/resolv.conf names {stub}, which a pod would take for itself");
    match (&facts.kubernetes.kubelet_config, upstream) {
        (Some(config), true) => {
            let mut lines: Vec<String> = config
                .lines()
                .filter(|l| !l.starts_with("resolvConf:"))
                .map(str::to_owned)
                .collect();
            lines.push(format!("resolvConf: {TRUE_FILE}"));
            Verdict::fail(seen).changes(vec![Change::WriteFile {
                path: "/var/lib/kubelet/config.yaml".to_owned(),
                before: Some(config.clone()),
                after: lines.join("\n") + "\n",
            }])
        }
        // kubeadm finds systemd-resolved by itself and sets resolvConf.
        (None, true) => Verdict::pass(format!(
            "/etc/resolv.conf names the stub {stub}; {TRUE_FILE} has the true servers, and kubeadm uses it"
        )),
        (_, false) => Verdict::fail(seen)
            .fix("name the true servers in a file of its own, and give it to kubelet as resolvConf"),
    }
}

fn proxy(facts: &Facts, _: &Wanted) -> Verdict {
    for file in &facts.proxy_files {
        let text = file.text.as_deref().unwrap_or_default();
        let line = |name: &str| {
            text.lines().find(|l| {
                let l = l
                    .trim()
                    .trim_start_matches("Environment=")
                    .trim_start_matches("export ")
                    .trim_start_matches(['"', '\'']);
                l.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
                    && l[name.len()..].starts_with('=')
            })
        };
        if line("http_proxy").is_none() && line("https_proxy").is_none() {
            continue;
        }
        let exceptions = line("no_proxy");
        let missing: Vec<&str> = CLUSTER_RANGES
            .into_iter()
            .chain([".svc"])
            .filter(|r| !exceptions.is_some_and(|l| excepts(l, r)))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let verdict = Verdict::fail(format!(
            "{} sets a proxy, and its NO_PROXY lacks {}",
            file.path,
            missing.join(", ")
        ));
        return match proxy_change(file, exceptions, &missing) {
            Some(change) => verdict.changes(vec![change]),
            None => verdict,
        };
    }
    Verdict::pass(
        if facts.proxy_files.iter().any(|f| {
            f.text
                .as_deref()
                .is_some_and(|t| t.to_lowercase().contains("_proxy="))
        }) {
            "the proxy's exceptions name the cluster's ranges"
        } else {
            "no proxy is set for services"
        },
    )
}

/// Whether a NO_PROXY line excepts a range: by name, or as part of a larger one that begins the same way (10.0.0.0/8).
fn excepts(line: &str, range: &str) -> bool {
    let list = line
        .split_once('=')
        .map_or("", |(_, list)| list.split_once('=').map_or(list, |(_, l)| l));
    list.trim_matches(['"', '\''])
        .split(',')
        .map(str::trim)
        .any(|e| e == range || e == "*" || e == "10.0.0.0/8" && range.starts_with("10."))
}

fn proxy_change(file: &ConfFile, exceptions: Option<&str>, missing: &[&str]) -> Option<Change> {
    let before = file.text.clone()?;
    if file.link.is_some() {
        return None;
    }
    let line = exceptions?;
    let quote = line.chars().last().filter(|c| ['"', '\''].contains(c));
    let bare = quote.map_or(line, |q| line.trim_end_matches(q));
    let quote = quote.map(String::from).unwrap_or_default();
    let comma = if bare.ends_with('=') { "" } else { "," };
    let after = before.replacen(line, &format!("{bare}{comma}{}{quote}", missing.join(",")), 1);
    Some(Change::WriteFile {
        path: file.path.clone(),
        before: Some(before),
        after,
    })
}

fn cni(facts: &Facts, _: &Wanted) -> Verdict {
    let Some(plugins) = &facts.kubernetes.cni_plugins else {
        return if facts.is_node() {
            Verdict::fail("/opt/cni/bin is missing")
        } else {
            Verdict::skip("Kubernetes is not installed yet, and no network plugin either")
        };
    };
    if !plugins.iter().any(|p| p == "loopback") {
        return Verdict::fail("/opt/cni/bin has no loopback plugin");
    }
    let configs: Vec<&ConfFile> = facts
        .kubernetes
        .cni_configs
        .iter()
        .flatten()
        .filter(|f| {
            [".conf", ".conflist", ".json"]
                .iter()
                .any(|end| f.path.ends_with(end))
        })
        .collect();
    let Some(first) = configs.iter().min_by(|a, b| a.path.cmp(&b.path)) else {
        return if facts.is_node() {
            Verdict::warn(
                "/etc/cni/net.d has no configuration yet; the node is NotReady until its plugin writes one",
            )
        } else {
            Verdict::pass("plugins are there; no configuration yet")
        };
    };
    let Ok(document) = serde_json::from_str::<serde_json::Value>(first.text.as_deref().unwrap_or_default())
    else {
        return Verdict::fail(format!(
            "{} is not valid JSON, and is the one that the runtime takes",
            first.path
        ));
    };
    let chain = document["plugins"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![document.clone()]);
    for plugin in &chain {
        let Some(name) = plugin["type"].as_str() else {
            return Verdict::fail(format!("{} names a plugin without a type", first.path));
        };
        if !plugins.iter().any(|p| p == name) {
            return Verdict::fail(format!(
                "{} names the plugin {name}, which is not in /opt/cni/bin",
                first.path
            ));
        }
    }
    if configs.len() > 1 {
        return Verdict::warn(format!(
            "{} configurations in /etc/cni/net.d: only {} is used",
            configs.len(),
            first.path
        ));
    }
    Verdict::pass(format!("{} plugins, configuration {}", plugins.len(), first.path))
}
