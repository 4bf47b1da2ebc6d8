//! System calls that containers may not make.

use engine_runtime::proto::{ContainerSpec, Seccomp, User};

use crate::world::World;

const STATUS: &str = "grep -E '^(Seccomp|CapEff|CapBnd|NoNewPrivs):' /proc/self/status; busybox unshare -U true && echo unshared";

pub async fn system_calls_are_filtered(w: &mut World) {
    let own = if w.is_unified {
        "00000000a00425fb"
    } else {
        "00000000a80425fb"
    };
    // What the filter took to load is not the container's.
    let out = run(w, "filtered", STATUS, |_| {}).await;
    assert_eq!(
        out[..4],
        [
            format!("CapEff:\t{own}"),
            format!("CapBnd:\t{own}"),
            "NoNewPrivs:\t0".into(),
            "Seccomp:\t2".into()
        ]
    );
    assert!(out[4].ends_with("Operation not permitted"), "{out:?}");

    let out = run(w, "free", STATUS, |s| s.seccomp = Seccomp::Unconfined).await;
    assert_eq!(out[3..], ["Seccomp:\t0", "unshared"]);
    let out = run(w, "privileged", STATUS, |s| s.privileged = true).await;
    assert_eq!(out[3..], ["Seccomp:\t0", "unshared"]);

    // Somebody without any capability, by a profile in a file.
    let profile = w.dir.join("profile.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    std::fs::write(&profile, text).expect("write");
    let script = format!("{STATUS}; mkdir /tmp/x");
    let out = run(w, "local", &script, |s| {
        s.seccomp = Seccomp::Localhost(profile.clone());
        s.cap_drop = vec!["ALL".into()];
        s.user = User {
            uid: 1000,
            gid: 1000,
            additional_gids: Vec::new(),
        };
    })
    .await;
    let none = "0000000000000000";
    assert_eq!(
        out[..4],
        [
            format!("CapEff:\t{none}"),
            format!("CapBnd:\t{none}"),
            "NoNewPrivs:\t0".into(),
            "Seccomp:\t2".into()
        ]
    );
    assert!(
        out.last()
            .is_some_and(|line| line.ends_with("No space left on device")),
        "{out:?}"
    );

    let mut missing = w.spec("missing", "true");
    missing.seccomp = Seccomp::Localhost("/nonexistent.json".into());
    let error = w.client.create_start(missing).await.expect_err("must fail");
    assert!(
        error
            .to_string()
            .contains("cannot load seccomp profile \"/nonexistent.json\""),
        "{error}"
    );
}

/// What the script says on either stream.
async fn run(
    w: &mut World,
    name: &str,
    script: &str,
    change: impl FnOnce(&mut ContainerSpec),
) -> Vec<String> {
    let mut spec = w.spec(name, script);
    change(&mut spec);
    w.complete(spec).await;
    let log = w.log(name);
    let words = log.iter().map(|line| {
        let said = line.splitn(3, ' ').nth(2).unwrap_or_default();
        said.to_owned()
    });
    words.collect()
}
