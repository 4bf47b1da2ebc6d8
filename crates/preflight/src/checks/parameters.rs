//! Kernel parameters: what they are now, and what they will be after a reboot.
use super::NODES;
use crate::check::{Check, Judge, Verdict, Wanted};
use crate::facts::Facts;
use crate::{fix, sysctl};

/// One parameter that has to hold.
struct Need {
    key: &'static str,
    /// Whether a value will do.
    good: fn(&str) -> bool,
    /// What `--fix` sets.
    value: &'static str,
    /// The kernel's own default, where it does not depend on the machine. Without one, and without a file that sets the
    /// parameter, the value of now is taken for the kernel's own.
    default: Option<&'static str>,
}

fn number(value: &str) -> i64 {
    value.trim().parse().unwrap_or(-1)
}

/// Judges parameters now and after a reboot, and what would mend them.
fn judge(facts: &Facts, id: &str, needs: &[Need], bad: fn(String) -> Verdict) -> Verdict {
    let mut wrong = Vec::new();
    let mut mended = Vec::new();
    for need in needs {
        let Some(now) = facts.sysctl_now(need.key) else {
            return Verdict::fail(format!("{} does not exist: its module is not loaded", need.key));
        };
        let (boot, because) = match sysctl::after_boot(&facts.sysctl.files, need.key) {
            Some(set) => {
                let losers: Vec<String> = sysctl::mentions(&facts.sysctl.files, need.key)
                    .into_iter()
                    .filter(|m| m.path != set.path && (need.good)(&m.value))
                    .map(|m| format!("{} sets {}, but ", m.path, m.value))
                    .collect();
                (
                    set.value,
                    format!(
                        "{}{}:{} sets it",
                        losers.last().map_or("", String::as_str),
                        set.path,
                        set.line
                    ),
                )
            }
            None => {
                let in_vain = facts.sysctl.sysctl_conf.as_deref().is_some_and(|text| {
                    text.lines().any(|l| l.trim_start().starts_with(need.key)) && !text.is_empty()
                });
                let because = if in_vain {
                    "/etc/sysctl.conf sets it, which systemd does not read"
                } else {
                    "no file in sysctl.d sets it"
                };
                (need.default.unwrap_or(now).to_owned(), because.to_owned())
            }
        };
        match ((need.good)(now), (need.good)(&boot)) {
            (true, true) => continue,
            (true, false) => wrong.push(format!(
                "{} is {now} now and will be {boot} after a reboot ({because})",
                need.key
            )),
            (false, true) => wrong.push(format!("{} is {now} now ({because} to {boot} at boot)", need.key)),
            (false, false) => wrong.push(format!(
                "{} is {now} now and after a reboot ({because})",
                need.key
            )),
        }
        mended.push((need.key, need.value.to_owned()));
    }
    if wrong.is_empty() {
        let seen: Vec<String> = needs
            .iter()
            .map(|n| format!("{} = {}", n.key, facts.sysctl_now(n.key).unwrap_or_default()))
            .collect();
        return Verdict::pass(format!("{}, also after a reboot", seen.join(", ")));
    }
    bad(wrong.join("; ")).changes(fix::sysctls(facts, id, &mended))
}

const BRIDGE: [&str; 2] = [
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "bridge-netfilter",
        title: "packets over a bridge pass the packet filter, now and after a reboot",
        looks_at: "module br_netfilter, net.bridge.bridge-nf-call-iptables and -ip6tables now, and what replaying sysctl.d gives them after a reboot",
        story: "kube-proxy rewrites service addresses in the packet filter; packets between two pods of one node cross only a bridge. Distributions set these to 0, echo into /proc lasts until the next boot, /etc/sysctl.conf is not read by systemd, and a file with a later name wins over one's own.",
        later: "service addresses fail now and then, only for pods on the same node",
        fix: "load br_netfilter at boot (/etc/modules-load.d) and set both to 1 in the last file of /etc/sysctl.d",
        undo: "remove the files and run systemd-sysctl, or cncfdemo doctor undo",
        verify: "after a reboot: sysctl net.bridge.bridge-nf-call-iptables says 1",
        profiles: NODES,
        judge: Judge::Machine(bridge_netfilter),
    },
    Check {
        id: "bridge-netfilter-message",
        title: "kube-proxy's log does not complain of br-netfilter in vain",
        looks_at: "kube-proxy's log, and the parameters it complains about",
        story: "kube-proxy logged \"missing br-netfilter module or unset br-nf-call-iptables\" on CentOS 7 although both were set: it looks for a module, and takes a compiled-in one for a missing one.",
        later: "none: a known false positive, if the parameters are 1",
        fix: "nothing, if bridge-netfilter passes",
        undo: "none needed",
        verify: "bridge-netfilter passes",
        profiles: NODES,
        judge: Judge::Machine(|facts, wanted| {
            if facts.kubernetes.proxy_log.is_empty() {
                return Verdict::pass("no such message found");
            }
            match bridge_netfilter(facts, wanted).level {
                crate::Level::Pass => Verdict::pass(
                    "the message is there and is a false positive: module and parameters are set",
                ),
                _ => Verdict::fail("the message is there and is true").fix("see bridge-netfilter"),
            }
        }),
    },
    Check {
        id: "sysctl-unknown-key",
        title: "the bridge's parameters exist when sysctl runs at boot",
        looks_at: "the boot's log of sysctl, sysctl.d and modules-load.d",
        story: "\"net.bridge.bridge-nf-call-iptables is an unknown key\" is a race: sysctl ran before the module was there. systemd loads modules-load.d first; only a module named there is there in time.",
        later: "the parameter is set on one boot and not on another",
        fix: "name br_netfilter in /etc/modules-load.d",
        undo: "remove the file",
        verify: "after a reboot: journalctl -u systemd-sysctl names no unknown key",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            let sets = !sysctl::mentions(&facts.sysctl.files, BRIDGE[0]).is_empty();
            let in_time = facts.module_after_boot("br_netfilter");
            let told = facts
                .kubernetes
                .sysctl_log
                .iter()
                .any(|l| l.contains("net/bridge") || l.contains("net.bridge"));
            match (in_time, sets || told) {
                (true, _) => Verdict::pass("br_netfilter is there before sysctl runs"),
                (false, false) => Verdict::pass("nothing sets the bridge's parameters at boot"),
                (false, true) => Verdict::fail(if told {
                    "sysctl said at boot that net.bridge is an unknown key, and no modules-load.d file loads br_netfilter"
                } else {
                    "sysctl.d sets net.bridge parameters, but no modules-load.d file loads br_netfilter before"
                })
                .changes(fix::modules(facts, "bridge-netfilter", &["br_netfilter"])),
            }
        }),
    },
    Check {
        id: "forwarding",
        title: "the machine forwards packets, now and after a reboot",
        looks_at: "net.ipv4.ip_forward now, and what replaying sysctl.d gives it after a reboot",
        story: "Every packet of a pod is forwarded. Docker and some plugins switch it on when they start, and `sysctl --system` or a configuration tool switches it off again.",
        later: "pods reach nothing outside of their node, from the next reboot or sysctl run on",
        fix: "set net.ipv4.ip_forward = 1 in the last file of /etc/sysctl.d",
        undo: "remove the file and set it to 0, or cncfdemo doctor undo",
        verify: "after a reboot: sysctl net.ipv4.ip_forward says 1",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            judge(
                facts,
                "forwarding",
                &[Need {
                    key: "net.ipv4.ip_forward",
                    good: |v| number(v) == 1,
                    value: "1",
                    default: Some("0"),
                }],
                Verdict::fail,
            )
        }),
    },
    Check {
        id: "inotify",
        title: "enough inotify watches and instances",
        looks_at: "fs.inotify.max_user_instances and max_user_watches now and after a reboot",
        story: "Kubelet, runtime and many programs in pods watch files, all as the same user. 128 instances last for about 40 pods.",
        later: "\"too many open files\" from kubectl logs -f, or a pod that cannot start, on busy nodes only",
        fix: "set fs.inotify.max_user_instances = 8192 and fs.inotify.max_user_watches = 524288 in /etc/sysctl.d",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl fs.inotify.max_user_instances",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            judge(
                facts,
                "inotify",
                &[
                    Need {
                        key: "fs.inotify.max_user_instances",
                        good: |v| number(v) >= 512,
                        value: "8192",
                        default: Some("128"),
                    },
                    Need {
                        key: "fs.inotify.max_user_watches",
                        good: |v| number(v) >= 65_536,
                        value: "524288",
                        default: None,
                    },
                ],
                Verdict::warn,
            )
        }),
    },
    Check {
        id: "open-files",
        title: "enough open files for the whole machine",
        looks_at: "fs.file-max and fs.nr_open now and after a reboot",
        story: "Old tuning guides set fs.file-max to numbers that were large in 2005. The kernel's own default is larger.",
        later: "\"too many open files in system\" under load, in whichever program asks next",
        fix: "remove the lines that lower fs.file-max and fs.nr_open, or set both to 1048576 or more in /etc/sysctl.d",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl fs.file-max",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            judge(
                facts,
                "open-files",
                &[
                    Need {
                        key: "fs.file-max",
                        good: |v| v.trim().parse::<u64>().is_ok_and(|n| n >= 262_144),
                        value: "2097152",
                        default: None,
                    },
                    Need {
                        key: "fs.nr_open",
                        good: |v| number(v) >= 262_144,
                        value: "1048576",
                        default: None,
                    },
                ],
                Verdict::warn,
            )
        }),
    },
    Check {
        id: "pid-limit",
        title: "enough process numbers",
        looks_at: "kernel.pid_max and kernel.threads-max now and after a reboot",
        story: "Each thread takes a number; Java and Go programs have hundreds. The kernel's default of 32768 is for one person's machine; systemd raises it to 4194304 with a file that old or minimal systems lack.",
        later: "\"fork: resource temporarily unavailable\" on the whole node, from one pod's leak",
        fix: "set kernel.pid_max = 4194304 in /etc/sysctl.d, and podPidsLimit in kubelet's configuration",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl kernel.pid_max",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            judge(
                facts,
                "pid-limit",
                &[
                    Need {
                        key: "kernel.pid_max",
                        good: |v| number(v) > 32_768,
                        value: "4194304",
                        default: None,
                    },
                    Need {
                        key: "kernel.threads-max",
                        good: |v| number(v) >= 16_384,
                        value: "131072",
                        default: None,
                    },
                ],
                Verdict::warn,
            )
        }),
    },
    Check {
        id: "conntrack-size",
        title: "the connection table is large enough",
        looks_at: "net.netfilter.nf_conntrack_max now and after a reboot",
        story: "Every connection to a service takes an entry for up to five days (established) or two minutes (closed). kube-proxy raises the limit to 32768 a processor when it starts, but a lower one from sysctl.d that is applied later, or a plugin without kube-proxy, leaves it low.",
        later: "\"nf_conntrack: table full, dropping packet\" in the kernel's log; new connections hang at random",
        fix: "set net.netfilter.nf_conntrack_max = 262144 or more in /etc/sysctl.d",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl net.netfilter.nf_conntrack_max",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            if facts.sysctl_now("net.netfilter.nf_conntrack_max").is_none() {
                return Verdict::skip("nf_conntrack is not loaded, so there is no table yet");
            }
            judge(
                facts,
                "conntrack-size",
                &[Need {
                    key: "net.netfilter.nf_conntrack_max",
                    good: |v| number(v) >= 65_536,
                    value: "262144",
                    default: None,
                }],
                Verdict::warn,
            )
        }),
    },
    Check {
        id: "node-port-range",
        title: "outgoing connections do not take node ports",
        looks_at: "net.ipv4.ip_local_port_range and ip_local_reserved_ports, now and after a reboot",
        story: "Tuning guides widen the range of outgoing ports to 1024-65535. Node ports are 30000-32767: an outgoing connection may then sit on one.",
        later: "a NodePort that does not answer on one node, until that connection ends",
        fix: "set net.ipv4.ip_local_reserved_ports = 30000-32767 in /etc/sysctl.d",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl net.ipv4.ip_local_reserved_ports",
        profiles: NODES,
        judge: Judge::Machine(node_ports),
    },
    Check {
        id: "reverse-path",
        title: "packets that come back on another link are not dropped",
        looks_at: "net.ipv4.conf.all.rp_filter now and after a reboot",
        story: "Strict reverse path filtering (1) drops a packet whose answer would leave by another link. With an overlay, or with node ports on machines with two links, that is the usual case.",
        later: "node ports and pod traffic vanish without a trace on machines with more than one network",
        fix: "set net.ipv4.conf.all.rp_filter = 2 (loose) or 0 in the last file of /etc/sysctl.d",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl net.ipv4.conf.all.rp_filter",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            judge(
                facts,
                "reverse-path",
                &[Need {
                    key: "net.ipv4.conf.all.rp_filter",
                    good: |v| number(v) != 1,
                    value: "2",
                    default: Some("0"),
                }],
                Verdict::warn,
            )
        }),
    },
    Check {
        id: "kubelet-parameters",
        title: "the kernel parameters that kubelet insists on are set",
        looks_at: "protectKernelDefaults in kubelet's configuration; vm.overcommit_memory, vm.panic_on_oom, kernel.panic, kernel.panic_on_oops, kernel.keys.root_maxkeys, kernel.keys.root_maxbytes",
        story: "Kubelet sets these itself, except when told to protect the kernel's defaults, as hardening guides do: then it refuses to start when they differ.",
        later: "kubelet does not start after a reboot: \"invalid kernel flag\"",
        fix: "set them in /etc/sysctl.d: vm.overcommit_memory = 1, vm.panic_on_oom = 0, kernel.panic = 10, kernel.panic_on_oops = 1, kernel.keys.root_maxkeys = 1000000, kernel.keys.root_maxbytes = 25000000",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys",
        profiles: NODES,
        judge: Judge::Machine(|facts, _| {
            if facts.kubelet_setting("protectKernelDefaults").as_deref() != Some("true") {
                return Verdict::pass("kubelet sets them itself");
            }
            // A recording made before a parameter was looked at does not have it.
            let known: Vec<Need> = kubelet_needs()
                .into_iter()
                .filter(|need| facts.sysctl_now(need.key).is_some())
                .collect();
            judge(facts, "kubelet-parameters", &known, Verdict::fail)
        }),
    },
];

/// What kubelet asks of the kernel (kubelet 1.36.2, `pkg/kubelet/cm/container_manager_linux.go`), and the kernel's own defaults.
fn kubelet_needs() -> [Need; 6] {
    let need = |key, good, value, default| Need {
        key,
        good,
        value,
        default: Some(default),
    };
    [
        need("vm.overcommit_memory", |v| number(v) == 1, "1", "0"),
        need("vm.panic_on_oom", |v| number(v) == 0, "0", "0"),
        need("kernel.panic", |v| number(v) == 10, "10", "0"),
        need("kernel.panic_on_oops", |v| number(v) == 1, "1", "0"),
        need(
            "kernel.keys.root_maxkeys",
            |v| number(v) == 1_000_000,
            "1000000",
            "1000000",
        ),
        need(
            "kernel.keys.root_maxbytes",
            |v| number(v) == 25_000_000,
            "25000000",
            "25000000",
        ),
    ]
}

fn bridge_netfilter(facts: &Facts, _: &Wanted) -> Verdict {
    let need = |key| Need {
        key,
        good: |v| number(v) == 1,
        value: "1",
        default: Some("1"),
    };
    let boot = facts.module_after_boot("br_netfilter");
    let modules = fix::modules(facts, "bridge-netfilter", &["br_netfilter"]);
    let all = || BRIDGE.map(|key| (key, "1".to_owned()));
    if facts.sysctl_now(BRIDGE[0]).is_none() {
        if !facts.module_present("br_netfilter")
            && !facts.modules.available.iter().any(|m| m == "br_netfilter")
        {
            return Verdict::fail("this kernel has no module br_netfilter");
        }
        let mut changes = modules;
        changes.extend(fix::sysctls(facts, "bridge-netfilter", &all()));
        return Verdict::fail("module br_netfilter is not loaded, so packets over a bridge pass no filter")
            .changes(changes);
    }
    let verdict = judge(facts, "bridge-netfilter", &BRIDGE.map(need), Verdict::fail);
    if boot {
        return verdict;
    }
    let seen = match verdict.level {
        crate::Level::Pass => "br_netfilter is loaded now, but nothing loads it at boot".to_owned(),
        _ => format!("{}; and nothing loads br_netfilter at boot", verdict.seen),
    };
    let mut changes = modules;
    changes.extend(if verdict.changes.is_empty() {
        fix::sysctls(facts, "bridge-netfilter", &all())
    } else {
        verdict.changes
    });
    Verdict::fail(seen).changes(changes)
}

fn node_ports(facts: &Facts, _: &Wanted) -> Verdict {
    const RANGE: &str = "net.ipv4.ip_local_port_range";
    const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
    let Some(now) = facts.sysctl_now(RANGE) else {
        return Verdict::skip("the range is unknown");
    };
    let overlaps = |range: &str, reserved: &str| {
        let mut ends = range.split_whitespace().map(number);
        let (low, high) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
        low <= 32_767 && high >= 30_000 && !covers(reserved, low.max(30_000), high.min(32_767))
    };
    let boot = |key: &str, default: &str| {
        sysctl::after_boot(&facts.sysctl.files, key).map_or(default.to_owned(), |s| s.value)
    };
    let (range_boot, reserved_boot) = (boot(RANGE, "32768 60999"), boot(RESERVED, ""));
    let is_now = overlaps(now, facts.sysctl_now(RESERVED).unwrap_or_default());
    let will_be = overlaps(&range_boot, &reserved_boot);
    let when = match (is_now, will_be) {
        (false, false) => {
            return Verdict::pass(format!(
                "{} and {RESERVED} keep 30000-32767 free",
                now.replace(char::is_whitespace, "-")
            ));
        }
        (true, true) => "now and after a reboot",
        (true, false) => "now",
        (false, true) => "after a reboot",
    };
    // What others reserved stays reserved.
    let mut keep: Vec<&str> = Vec::new();
    for list in [facts.sysctl_now(RESERVED).unwrap_or_default(), &reserved_boot] {
        keep.extend(list.split(',').map(str::trim).filter(|p| !p.is_empty()));
    }
    keep.push("30000-32767");
    keep.sort_unstable();
    keep.dedup();
    Verdict::warn(format!(
        "outgoing connections may take node ports {when}: {RANGE} is {}",
        range_boot.replace(char::is_whitespace, "-")
    ))
    .changes(fix::sysctls(
        facts,
        "node-port-range",
        &[(RESERVED, keep.join(","))],
    ))
}

/// Whether a list such as `8080,30000-32767` holds all of a range.
fn covers(list: &str, low: i64, high: i64) -> bool {
    let mut ranges: Vec<(i64, i64)> = list
        .split(',')
        .filter_map(|part| {
            let (a, b) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            Some((a.parse().ok()?, b.parse().ok()?))
        })
        .collect();
    ranges.sort_unstable();
    let mut at = low;
    for (a, b) in ranges {
        if a <= at && b >= at {
            at = b.saturating_add(1);
        }
    }
    at > high
}
