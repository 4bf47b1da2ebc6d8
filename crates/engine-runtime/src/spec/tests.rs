use super::*;
use crate::proto::Mount;
use std::path::PathBuf;

fn facts(layout: &Layout) -> Facts<'_> {
    Facts {
        layout,
        pid_target: None,
        ipc_target: None,
        netns: Some(9),
        home: "/root".into(),
        own_capabilities: u64::MAX,
        has_mqueue: true,
        oom_score_adj: Some(1000),
    }
}

fn legacy() -> Layout {
    Layout::Legacy {
        hierarchies: vec![("memory".into(), "/sys/fs/cgroup/memory".into())],
    }
}

fn spec() -> ContainerSpec {
    ContainerSpec {
        id: "uid.c.0".into(),
        dir: "/var/lib/x/c".into(),
        log_path: "/var/lib/x/c/0.log".into(),
        lower_dirs: vec!["/layer".into()],
        args: vec!["/bin/true".into()],
        cgroup: "cncfdemo/x/node/burstable/poduid/c".into(),
        ..ContainerSpec::default()
    }
}

fn capabilities(spec: &ContainerSpec, layout: &Layout) -> Vec<String> {
    let config = config(spec, &facts(layout)).expect("config");
    let all: Vec<String> =
        serde_json::from_value(config["process"]["capabilities"]["effective"].clone()).expect("list");
    let lent = config["annotations"][LENT].as_str().expect("text");
    all.into_iter()
        .filter(|c| !lent.split(' ').any(|l| l == c))
        .collect()
}

#[test]
fn libcontainer_reads_what_is_written() {
    let mut spec = spec();
    spec.hostname = Some("web-0".into());
    spec.limits.memory = Some(64 << 20);
    spec.limits.cpu_quota = Some(50_000);
    spec.mounts.push(Mount {
        destination: "/data".into(),
        source: MountSource::Bind {
            path: "/tmp".into(),
            propagation: Propagation::Private,
        },
        read_only: true,
    });
    let config = config(&spec, &facts(&legacy())).expect("config");
    let parsed: oci_spec::runtime::Spec = serde_json::from_value(config).expect("an OCI spec");
    let process = parsed.process().as_ref().expect("process");
    assert_eq!(process.no_new_privileges(), Some(false));
    assert!(
        process
            .capabilities()
            .as_ref()
            .expect("capabilities")
            .inheritable()
            .is_none()
    );
    let linux = parsed.linux().as_ref().expect("linux");
    let memory = linux
        .resources()
        .as_ref()
        .and_then(|r| r.memory().as_ref())
        .and_then(oci_spec::runtime::LinuxMemory::limit);
    assert_eq!(memory, Some(64 << 20));
    let namespaces = linux.namespaces().as_ref().expect("namespaces");
    assert_eq!(namespaces.len(), 5);
    let paths: Vec<_> = namespaces.iter().filter_map(|n| n.path().as_ref()).collect();
    assert_eq!(paths, [&PathBuf::from("/proc/self/fd/9")]);
}

#[test]
fn capabilities_follow_containerd() {
    let v1 = legacy();
    let v2 = Layout::Unified {
        root: PathBuf::from("/sys/fs/cgroup"),
    };
    assert_eq!(capabilities(&spec(), &v1).len(), 14);
    assert!(!capabilities(&spec(), &v2).contains(&"CAP_MKNOD".to_owned()));

    let mut only = spec();
    only.cap_drop = vec!["ALL".into()];
    only.cap_add = vec!["NET_BIND_SERVICE".into()];
    assert_eq!(capabilities(&only, &v1), ["CAP_NET_BIND_SERVICE"]);

    let mut without = spec();
    without.cap_add = vec!["all".into()];
    without.cap_drop = vec!["CAP_SYS_ADMIN".into()];
    let names = capabilities(&without, &v1);
    assert_eq!(names.len(), 40);
    assert!(!names.contains(&"CAP_SYS_ADMIN".to_owned()));

    let mut typo = spec();
    typo.cap_add = vec!["NET_ADMINN".into()];
    assert!(check(&typo).is_err());
}

#[test]
fn nobody_gets_what_we_lack() {
    let mut spec = spec();
    spec.privileged = true;
    let layout = legacy();
    let facts = Facts {
        own_capabilities: !(1 << 24),
        ..facts(&layout)
    };
    let config = config(&spec, &facts).expect("config");
    let names = config["process"]["capabilities"]["bounding"]
        .as_array()
        .expect("list")
        .len();
    assert_eq!(names, 40);
    assert!(config["linux"].get("maskedPaths").is_none());
}

#[test]
fn the_pod_overrides_the_environment() {
    let mut spec = spec();
    spec.hostname = Some("h".into());
    spec.env = vec!["HOME=/x".into(), "A=1".into(), "A=2=3".into()];
    let env = environment(&spec, "/root");
    assert_eq!(env[1..], ["HOME=/x", "HOSTNAME=h", "A=2=3"]);
}

#[test]
fn nonsense_is_refused() {
    for change in [
        (|s: &mut ContainerSpec| s.id = "../x".into()) as fn(&mut ContainerSpec),
        |s| s.args.clear(),
        |s| s.env = vec!["NOVALUE".into()],
        |s| s.cwd = "relative".into(),
        |s| s.lower_dirs.clear(),
        |s| s.dir = "relative".into(),
        |s| {
            s.mounts.push(Mount {
                destination: "/a/../..".into(),
                source: MountSource::Tmpfs {
                    size: None,
                    mode: None,
                },
                read_only: false,
            });
        },
    ] {
        let mut spec = spec();
        check(&spec).expect("good before");
        change(&mut spec);
        assert!(check(&spec).is_err(), "{spec:?}");
    }
}

#[test]
fn exec_keeps_what_it_does_not_change() {
    let config = config(&spec(), &facts(&legacy())).expect("config");
    let exec = ExecSpec {
        args: vec!["ls".into()],
        env: vec!["A=1".into()],
        user: Some(User {
            uid: 5,
            gid: 6,
            additional_gids: vec![],
        }),
        tty: true,
        ..ExecSpec::default()
    };
    let process = exec_process(&config, &exec, "/home/five");
    assert_eq!(process["user"]["uid"], 5);
    assert_eq!(process["capabilities"], config["process"]["capabilities"]);
    assert_eq!(process["cwd"], "/");
    let env = process["env"].as_array().expect("env");
    assert!(env.contains(&json!("HOME=/home/five")) && env.contains(&json!("TERM=xterm")));
    serde_json::from_value::<oci_spec::runtime::Process>(process).expect("an OCI process");
}
