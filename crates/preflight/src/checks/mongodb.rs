//! What MongoDB asks of its node.
use crate::check::{Check, Judge, Profile, Verdict};
use crate::fix;

const MONGODB: &[Profile] = &[Profile::Mongodb];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "mongodb-avx",
        title: "the processor has AVX",
        looks_at: "flags in /proc/cpuinfo",
        story: "MongoDB 5.0 and later are built for AVX. Old processors and virtual machines with a generic processor model lack it.",
        later: "mongod ends with \"illegal instruction\" as soon as it starts, which looks like any crash loop",
        fix: "give the virtual machine the host's processor model (cpu host-passthrough), or use MongoDB 4.4, or another node",
        undo: "none needed",
        verify: "grep -c avx /proc/cpuinfo",
        profiles: MONGODB,
        judge: Judge::Machine(|facts, _| {
            if !matches!(facts.machine.arch.as_str(), "x86_64" | "") {
                return Verdict::skip(format!("AVX is of x86-64; this is {}", facts.machine.arch));
            }
            if facts.cpu.flags.iter().any(|f| f == "avx") {
                Verdict::pass("there")
            } else {
                Verdict::fail("the processor has no AVX")
            }
        }),
    },
    Check {
        id: "mongodb-max-map-count",
        title: "a process may have enough memory maps",
        looks_at: "vm.max_map_count now and after a reboot",
        story: "WiredTiger maps files and its connections' stacks; the kernel's 65530 is too few for many connections.",
        later: "mongod warns at start, and ends under many connections",
        fix: "set vm.max_map_count = 262144 in /etc/sysctl.d",
        undo: "remove the file, or cncfdemo doctor undo",
        verify: "sysctl vm.max_map_count",
        profiles: MONGODB,
        judge: Judge::Machine(|facts, _| {
            const KEY: &str = "vm.max_map_count";
            let enough = |v: &str| v.trim().parse::<u64>().is_ok_and(|n| n >= 102_400);
            let now = facts.sysctl_now(KEY).unwrap_or_default();
            let boot =
                crate::sysctl::after_boot(&facts.sysctl.files, KEY).map_or("65530".to_owned(), |s| s.value);
            if enough(now) && enough(&boot) {
                return Verdict::pass(format!("{KEY} = {now}, also after a reboot"));
            }
            Verdict::warn(format!("{KEY} is {now} now and will be {boot} after a reboot")).changes(
                fix::sysctls(facts, "mongodb-max-map-count", &[(KEY, "262144".to_owned())]),
            )
        }),
    },
    Check {
        id: "mongodb-hugepages",
        title: "transparent huge pages suit MongoDB",
        looks_at: "/sys/kernel/mm/transparent_hugepage/enabled",
        story: "Before 8.0 MongoDB asks for them to be off (its memory is touched here and there); from 8.0 on, for `always`.",
        later: "latency peaks that no query explains",
        fix: "transparent_hugepage=never on the kernel's command line (8.0 and later: always)",
        undo: "take the parameter away",
        verify: "cat /sys/kernel/mm/transparent_hugepage/enabled",
        profiles: MONGODB,
        judge: Judge::Machine(|facts, _| match facts.kernel.transparent_hugepage.as_str() {
            "" => Verdict::skip("this kernel has none"),
            "madvise" => Verdict::pass("madvise: only who asks for them"),
            "never" => Verdict::pass("never: as MongoDB before 8.0 asks"),
            other => Verdict::warn(format!("{other}: right for 8.0 and later, wrong before")),
        }),
    },
];
