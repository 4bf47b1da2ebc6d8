//! The profile that a container has when nothing else is asked for: what Docker and containerd allow by default.

use serde_json::{Value, json};

const ALLOWED: &str = include_str!("default.txt");

/// Flags of `clone` that make a namespace (`CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`).
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Execution domains that change nothing of safety: Linux, 32 bits, both with `UNAME26`, and asking only.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The profile for a container with these capabilities, as OCI describes profiles.
pub fn profile(capabilities: &[String]) -> Value {
    let has = |name: &str| name == "*" || capabilities.iter().any(|c| c == name);
    let names: Vec<&str> = ALLOWED
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(capability, _)| has(capability))
        .flat_map(|(_, names)| names.split(' '))
        .collect();
    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    let mut allow = |name: &str, arguments: Value| {
        rules.push(json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": arguments}));
    };
    for domain in PERSONALITIES {
        allow(
            "personality",
            json!([{"index": 0, "value": domain, "op": "SCMP_CMP_EQ"}]),
        );
    }
    // All but the kernel's cryptography and the virtual machine's host.
    for (family, op) in [
        (libc::AF_ALG, "SCMP_CMP_LT"),
        (libc::AF_NFC, "SCMP_CMP_EQ"),
        (libc::AF_VSOCK, "SCMP_CMP_GT"),
    ] {
        allow("socket", json!([{"index": 0, "value": family, "op": op}]));
    }
    if !has("CAP_SYS_ADMIN") {
        allow(
            "clone",
            json!([{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]),
        );
        // Its flags are behind a pointer; "not there" makes libraries fall back to `clone`.
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS}));
    }
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": libc::EPERM, "syscalls": rules})
}
