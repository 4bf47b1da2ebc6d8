//! Machines that are to be one cluster, judged together.
use std::collections::BTreeMap;

use super::NODES;
use crate::check::{Check, Judge, Verdict};
use crate::facts::Facts;

/// Groups machines by a value; those without one are left out.
fn by<'a>(machines: &'a [Facts], value: impl Fn(&'a Facts) -> String) -> BTreeMap<String, Vec<&'a str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for facts in machines {
        let value = value(facts);
        if !value.is_empty() {
            groups.entry(value).or_default().push(&facts.machine.hostname);
        }
    }
    groups
}

fn same<'a>(machines: &'a [Facts], what: &str, value: impl Fn(&'a Facts) -> String) -> Option<String> {
    let groups = by(machines, value);
    (groups.len() > 1).then(|| {
        let parts: Vec<String> = groups
            .iter()
            .map(|(v, hosts)| format!("{v} on {}", hosts.join(", ")))
            .collect();
        format!("{what}: {}", parts.join("; "))
    })
}

/// A value of a machine that no other may have.
type Pick = fn(&Facts) -> String;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "fleet-unique",
        title: "every machine has a name and ids of its own",
        looks_at: "host name, machine-id, product_uuid and hardware addresses of all machines",
        story: "Clones share what the image carried.",
        later: "two nodes take turns being one; addresses appear twice",
        fix: "give each its own: hostnamectl set-hostname; truncate -s 0 /etc/machine-id and reboot; a new UUID in the hypervisor",
        undo: "none needed",
        verify: "record both again and judge them together",
        profiles: NODES,
        judge: Judge::Fleet(|machines, _| {
            let mut twice = Vec::new();
            let kinds: [(&str, Pick); 3] = [
                ("host name", |f| f.machine.hostname.clone()),
                ("machine-id", |f| f.machine.machine_id.clone()),
                ("product_uuid", |f| f.machine.product_uuid.to_lowercase()),
            ];
            for (name, pick) in kinds {
                twice.extend(
                    by(machines, pick)
                        .into_iter()
                        .filter(|(_, hosts)| hosts.len() > 1)
                        .map(|(_, hosts)| format!("the same {name}: {}", hosts.join(", "))),
                );
            }
            let macs = by(machines, |f| {
                f.network
                    .links
                    .iter()
                    .find(|l| l.name == f.network.default_link)
                    .map_or(String::new(), |l| l.address.clone())
            });
            twice.extend(
                macs.into_iter()
                    .filter(|(_, hosts)| hosts.len() > 1)
                    .map(|(_, hosts)| format!("the same hardware address: {}", hosts.join(", "))),
            );
            if twice.is_empty() {
                Verdict::pass(format!("{} machines, all different", machines.len()))
            } else {
                Verdict::fail(twice.join("; "))
            }
        }),
    },
    Check {
        id: "fleet-versions",
        title: "all machines have the same versions",
        looks_at: "versions of kubelet, runtime and kernel, and the cgroup version, of all machines",
        story: "\"Seemingly identical clusters, deployed minutes apart, will have divergent behaviour.\"",
        later: "a pod works on one node and not on another",
        fix: "make all machines from one image, and pin the versions",
        undo: "none needed",
        verify: "record them again and judge them together",
        profiles: NODES,
        judge: Judge::Fleet(|machines, _| {
            let differences: Vec<String> = [
                same(machines, "kubelet", |f| {
                    f.kubernetes.kubelet.clone().unwrap_or_default()
                }),
                same(machines, "containerd", |f| {
                    f.runtime
                        .containerd
                        .as_ref()
                        .map(|c| c.version.clone())
                        .unwrap_or_default()
                }),
                same(machines, "Docker", |f| {
                    f.runtime
                        .docker
                        .as_ref()
                        .map(|c| c.version.clone())
                        .unwrap_or_default()
                }),
                same(machines, "kernel", |f| f.kernel.release.clone()),
                same(machines, "cgroup", |f| f.cgroup.version.clone()),
            ]
            .into_iter()
            .flatten()
            .collect();
            if differences.is_empty() {
                Verdict::pass("equal")
            } else {
                Verdict::warn(differences.join("; "))
            }
        }),
    },
    Check {
        id: "fleet-clock",
        title: "the machines' clocks agree",
        looks_at: "each machine's clock against the collector's, where facts were collected at once",
        story: "Leases and certificates compare the clocks of different machines.",
        later: "leaders change without reason; certificates are not yet valid",
        fix: "let one time source keep all of them (chrony or systemd-timesyncd)",
        undo: "none needed",
        verify: "record them again and judge them together",
        profiles: NODES,
        judge: Judge::Fleet(|machines, _| {
            let offsets: Vec<(i64, &str)> = machines
                .iter()
                .filter_map(|f| {
                    Some((
                        f.recorded.saturating_sub(f.recorded_by_collector?),
                        f.machine.hostname.as_str(),
                    ))
                })
                .collect();
            let (Some(first), Some(last)) = (offsets.iter().min(), offsets.iter().max()) else {
                return Verdict::skip("recorded one by one: no common clock to compare with");
            };
            let apart = last.0.saturating_sub(first.0);
            let seen = format!("{apart} s between {} and {}", first.1, last.1);
            match apart {
                a if a > 5 => Verdict::fail(seen),
                a if a > 1 => Verdict::warn(seen),
                _ => Verdict::pass(seen),
            }
        }),
    },
    Check {
        id: "fleet-mtu",
        title: "all machines' networks carry packets of the same size",
        looks_at: "MTU of each machine's default link",
        story: "Clouds give different machine types different MTUs. Plugins take one machine's for all.",
        later: "large packets vanish between some pairs of nodes",
        fix: "set the same MTU on all links, or the smallest one in the plugin's configuration",
        undo: "set it back",
        verify: "ip link on each",
        profiles: NODES,
        judge: Judge::Fleet(|machines, _| {
            let mtu = |f: &Facts| {
                f.network
                    .links
                    .iter()
                    .find(|l| l.name == f.network.default_link)
                    .map_or(String::new(), |l| l.mtu.to_string())
            };
            match same(machines, "MTU", mtu) {
                None => Verdict::pass("equal"),
                Some(seen) => Verdict::fail(seen),
            }
        }),
    },
];
