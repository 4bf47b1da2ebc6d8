//! Recorded machines: healthy ones, in which nothing is found, and each trap alone, in which nothing else is found.
//! The facts are written from what real machines say; the one of the seed from the seed's own listings.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may end where it stands"
)]
#[allow(dead_code, reason = "shared by several tests")]
mod recorded;

use preflight::{Facts, Finding, Level, Profile, Wanted, judge, judge_fleet};
use recorded::{MACHINES, centos7, day, debian13};
use serde_json::{Value, json};

type Trap<'a> = &'a dyn Fn(&mut Value);

fn wanted(profile: Profile) -> Wanted {
    Wanted::new(profile, day())
}

fn bad(findings: &[Finding]) -> Vec<&str> {
    findings
        .iter()
        .filter(|f| f.level >= Level::Warn)
        .map(|f| f.id.as_str())
        .collect()
}

fn facts(document: Value) -> Facts {
    serde_json::from_value(document).unwrap()
}

#[test]
fn healthy_machines_have_nothing() {
    let mut compiled_in = debian13();
    compiled_in["modules"] = json!({"loadable": false, "builtin": ["overlay", "br_netfilter", "nf_conntrack", "bridge", "veth", "nf_tables"]});
    let mut crio = debian13();
    crio["runtime"] = json!({"crio": "crio version 1.36.1"});
    let mut fresh = debian13();
    fresh["kubernetes"] = json!({});
    fresh["runtime"] = json!({});
    let mut resolved = debian13();
    resolved["dns"] =
        json!({"resolv_conf": "nameserver 127.0.0.53\n", "upstream_conf": "nameserver 192.0.2.53\n"});
    resolved["kubernetes"]["kubelet_config"] =
        "kind: KubeletConfiguration\nresolvConf: /run/systemd/resolve/resolv.conf\n".into();
    for (name, machine) in [
        ("debian13", debian13()),
        ("compiled_in", compiled_in),
        ("crio", crio),
        ("fresh", fresh),
        ("resolved", resolved),
    ] {
        for profile in [Profile::Node, Profile::ControlPlane] {
            let findings = judge(&facts(machine.clone()), &wanted(profile));
            let found: Vec<_> = findings
                .iter()
                .filter(|f| f.level >= Level::Warn)
                .map(|f| (&f.id, &f.seen))
                .collect();
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }
    let findings = judge(&facts(debian13()), &wanted(Profile::Mongodb));
    assert_eq!(bad(&findings), Vec::<&str>::new());
}

#[test]
fn each_trap_is_found_alone() {
    assert!(MACHINES.len() >= 30, "{}", MACHINES.len());
    for machine in MACHINES {
        let mut document = debian13();
        (machine.trap)(&mut document);
        let findings = judge(&facts(document), &wanted(machine.profile));
        let shown: Vec<_> = findings
            .iter()
            .filter(|f| f.level >= Level::Warn)
            .map(|f| (&f.id, f.level, &f.seen))
            .collect();
        assert_eq!(bad(&findings), [machine.finds], "{}: {shown:?}", machine.name);
        let finding = findings.iter().find(|f| f.id == machine.finds).unwrap();
        assert!(
            finding.seen.contains(machine.says),
            "{}: {}",
            machine.name,
            finding.seen
        );
        assert_eq!(
            finding.changes.is_empty(),
            !machine.mendable,
            "{}: {:?}",
            machine.name,
            finding.changes
        );
    }
}

/// Doing what `--fix` would do, on the facts, makes the finding go away: now and after a reboot.
#[test]
fn what_fix_would_do_mends_it() {
    for machine in MACHINES.iter().filter(|m| m.mendable) {
        let mut document = debian13();
        (machine.trap)(&mut document);
        let broken = facts(document.clone());
        let findings = judge(&broken, &wanted(machine.profile));
        let finding = findings.iter().find(|f| f.id == machine.finds).unwrap();
        recorded::apply(&mut document, &finding.changes);
        let found = judge(&facts(document.clone()), &wanted(machine.profile));
        assert_eq!(bad(&found), Vec::<&str>::new(), "{}", machine.name);
        recorded::reboot(&mut document);
        let found = judge(&facts(document), &wanted(machine.profile));
        assert_eq!(bad(&found), Vec::<&str>::new(), "{} after a reboot", machine.name);
    }
}

/// The seed's CentOS 7, judged for the seed's Kubernetes 1.4.
#[test]
fn the_seeds_machine_has_the_seeds_traps() {
    let findings = judge(
        &facts(centos7()),
        &Wanted {
            kubernetes: 4,
            ..wanted(Profile::Node)
        },
    );
    let fails: Vec<&str> = findings
        .iter()
        .filter(|f| f.level == Level::Fail)
        .map(|f| f.id.as_str())
        .collect();
    assert_eq!(
        fails,
        [
            "storage-driver",
            "overlay-module",
            "bridge-netfilter",
            "sysctl-unknown-key",
            "selinux",
            "missing-tools",
            "failed-units"
        ]
    );
    let seen = |id: &str| findings.iter().find(|f| f.id == id).unwrap().seen.clone();
    assert!(seen("storage-driver").contains("loopback"));
    assert!(seen("failed-units").contains("docker-storage-setup.service"));
    // Docker 1.10.3 was fine for 1.4; 1.12 came too late.
    assert_eq!(
        findings.iter().find(|f| f.id == "runtime-version").unwrap().level,
        Level::Pass
    );
    let mut newer = centos7();
    newer["runtime"]["docker"]["version"] = "1.12.1".into();
    let findings = judge(
        &facts(newer),
        &Wanted {
            kubernetes: 4,
            ..wanted(Profile::Node)
        },
    );
    assert_eq!(
        findings.iter().find(|f| f.id == "runtime-version").unwrap().level,
        Level::Fail
    );
}

#[test]
fn the_false_positive_is_told_from_the_true_message() {
    let mut machine = debian13();
    machine["kubernetes"]["proxy_log"] = json!([
        "proxier.go:205] missing br-netfilter module or unset br-nf-call-iptables; proxy may not work as intended"
    ]);
    let findings = judge(&facts(machine), &wanted(Profile::Node));
    let finding = findings
        .iter()
        .find(|f| f.id == "bridge-netfilter-message")
        .unwrap();
    assert!(finding.level == Level::Pass && finding.seen.contains("false positive"));
}

#[test]
fn several_machines_are_judged_together() {
    let other = |name: &str, trap: &dyn Fn(&mut Value)| {
        let mut machine = debian13();
        machine["machine"]["hostname"] = name.into();
        machine["machine"]["machine_id"] = format!("{:0>32}", name.len() * 7 + 11).into();
        machine["machine"]["product_uuid"] = format!("uuid-{name}").into();
        machine["network"]["links"][0]["address"] = format!("52:54:00:00:00:{:02x}", name.len()).into();
        trap(&mut machine);
        facts(machine)
    };
    let cases: [(&str, Trap); 6] = [
        ("", &|_| {}),
        ("fleet-unique", &|m| {
            m["machine"]["machine_id"] = debian13()["machine"]["machine_id"].clone()
        }),
        ("fleet-unique", &|m| {
            m["machine"]["product_uuid"] = debian13()["machine"]["product_uuid"].clone()
        }),
        ("fleet-versions", &|m| {
            m["kernel"]["release"] = "6.12.99-amd64".into()
        }),
        ("fleet-clock", &|m| m["recorded"] = json!(day() + 100)),
        ("fleet-mtu", &|m| m["network"]["links"][0]["mtu"] = 8951.into()),
    ];
    for (finds, trap) in cases {
        let mut first = facts(debian13());
        let mut second = other("worker-two", trap);
        (first.recorded_by_collector, second.recorded_by_collector) = (Some(day()), Some(day()));
        let findings = judge_fleet(&[first, second], &wanted(Profile::Node));
        let found: Vec<&str> = findings
            .iter()
            .filter(|f| f.machine.is_empty() && f.level >= Level::Warn)
            .map(|f| f.id.as_str())
            .collect();
        assert_eq!(found.join(","), finds);
    }
}

#[test]
fn every_check_says_all_that_it_must() {
    let mut ids = std::collections::BTreeSet::new();
    for check in preflight::checks() {
        assert!(ids.insert(check.id), "{} is there twice", check.id);
        for (field, text) in [
            ("title", check.title),
            ("looks_at", check.looks_at),
            ("story", check.story),
            ("later", check.later),
            ("fix", check.fix),
            ("undo", check.undo),
            ("verify", check.verify),
        ] {
            assert!(!text.is_empty(), "{} has no {field}", check.id);
        }
    }
}

/// The reference pages in the repository are those that the checks give.
#[test]
fn the_reference_pages_are_up_to_date() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/doctor");
    for (name, text) in preflight::reference() {
        let found = std::fs::read_to_string(dir.join(&name)).unwrap_or_default();
        assert!(
            found == text,
            "docs/reference/doctor/{name} is old: cncfdemo doctor explain --write docs/reference/doctor"
        );
    }
}
