//! What a container is to those in it.

use engine_runtime::Error;
use engine_runtime::proto::{ContainerSpec, Mount, MountSource, Propagation, User};

use crate::world::World;

pub async fn failures_are_worded(w: &mut World) {
    let run = async |args: &[&str], change: fn(&mut ContainerSpec)| {
        let mut spec = w.spec("f", "");
        spec.args = args.iter().map(ToString::to_string).collect();
        change(&mut spec);
        let error = w.client.create_start(spec).await.expect_err("must fail");
        assert_eq!(w.client.list().await.expect("list"), [], "nothing is left of it");
        error
    };
    let start = |e: Error| match e {
        Error::Start(text) => text,
        other => panic!("not a start error: {other:?}"),
    };
    let same = |_: &mut ContainerSpec| {};
    assert_eq!(
        start(run(&["nope"], same).await),
        r#"exec: "nope": executable file not found in $PATH: unknown"#
    );
    assert_eq!(
        start(run(&["/nope"], same).await),
        r#"exec: "/nope": stat /nope: no such file or directory: unknown"#
    );
    assert_eq!(
        start(run(&["/etc/passwd"], same).await),
        r#"exec: "/etc/passwd": permission denied: unknown"#
    );
    let missing = |s: &mut ContainerSpec| {
        s.mounts.push(Mount {
            destination: "/x".into(),
            source: MountSource::Bind {
                path: "/nonexistent/source".into(),
                propagation: Propagation::Private,
            },
            read_only: false,
        });
    };
    let text = start(run(&["true"], missing).await);
    assert!(text.contains("/nonexistent/source"), "{text}");
    let netns = |s: &mut ContainerSpec| s.netns = Some("/nonexistent/netns".into());
    let text = run(&["true"], netns).await.to_string();
    assert!(text.contains("netns"), "{text}");

    // Found, allowed, but not a program: it was started, and the log says why it ended.
    let mut broken = w.spec("broken", "");
    broken.args = vec!["/bin/broken".into()];
    let exit = w.complete(broken).await;
    assert_eq!(exit.code, 255);
    assert_eq!(w.log("broken"), ["stderr F exec /bin/broken: exec format error"]);

    assert!(matches!(
        w.client.signal("nobody.c.0", 15).await,
        Err(Error::NotFound(_))
    ));
    assert!(matches!(
        w.client.signal("uid.broken.0", 15).await,
        Err(Error::State(_))
    ));
}

pub async fn is_isolated(w: &mut World) {
    let script = "hostname; echo $HOME $HOSTNAME; ps >/ps; wc -l </ps; ls /dev | grep -c sd; id -u; \
        (echo 1 > /proc/sys/kernel/printk) 2>/dev/null || echo read-only; \
        cat /proc/kcore | wc -c; grep -E 'CapEff|NoNewPrivs' /proc/self/status; grep Cpus_allowed: /proc/self/status | wc -l; \
        grep -E 'SigBlk|SigIgn' /proc/self/status; ls -la /proc/self/fd | wc -l; touch /x && echo writable; pwd";
    let mut spec = w.spec("i", script);
    spec.no_new_privs = true;
    spec.cwd = "/made/for/it".into();
    let exit = w.complete(spec).await;
    assert_eq!(exit.code, 0);
    let log = w.log("i");
    let out: Vec<_> = log.iter().filter_map(|l| l.strip_prefix("stdout F ")).collect();
    assert_eq!(
        out,
        [
            "pod-0",
            "/root pod-0",
            "3",
            "0",
            "0",
            "read-only",
            "0",
            // Without MKNOD on pure v2.
            if w.is_unified {
                "CapEff:\t00000000a00425fb"
            } else {
                "CapEff:\t00000000a80425fb"
            },
            "NoNewPrivs:\t1",
            "1",
            "SigBlk:\t0000000000000000",
            "SigIgn:\t0000000000000000",
            "7",
            "writable",
            "/made/for/it"
        ],
        "{log:?}"
    );
    let mut sealed = w.spec(
        "ro",
        "touch /x; id -u; id -G; echo $HOME; grep CapEff /proc/self/status",
    );
    sealed.read_only_root_fs = true;
    sealed.user = User {
        uid: 1000,
        gid: 1000,
        additional_gids: vec![2000],
    };
    w.complete(sealed).await;
    let mut log = w.log("ro");
    log.sort();
    assert!(log[0].contains("Read-only file system"), "{log:?}");
    assert_eq!(
        log[1..],
        [
            "stdout F /home/web",
            "stdout F 1000",
            "stdout F 1000 2000",
            "stdout F CapEff:\t0000000000000000"
        ]
    );
}

pub async fn mounts_and_users(w: &mut World) {
    let volume = w.dir.join("volume");
    std::fs::create_dir_all(volume.join("deep")).expect("create");
    std::fs::write(volume.join("deep/file"), "content\n").expect("write");
    let script = "cat /data/deep/file; (touch /data/x) 2>/dev/null || echo data-ro; echo yes > /rw/made; \
        cat /etc/hosts; stat -f -c %s /scratch; grep -c ' /scratch ' /proc/mounts; echo done > /dev/stdout; echo failed > /dev/termination-log";
    let mut spec = w.spec("m", script);
    let bind = |destination: &str, path: &std::path::Path, read_only| Mount {
        destination: destination.into(),
        source: MountSource::Bind {
            path: path.to_path_buf(),
            propagation: Propagation::Private,
        },
        read_only,
    };
    std::fs::write(w.dir.join("hosts"), "10.0.0.1 pod\n").expect("write");
    std::fs::write(w.dir.join("message"), "").expect("write");
    std::fs::create_dir(w.dir.join("rw")).expect("create");
    for (path, mode) in [("rw", 0o777), ("message", 0o666)] {
        std::fs::set_permissions(
            w.dir.join(path),
            std::os::unix::fs::PermissionsExt::from_mode(mode),
        )
        .expect("chmod");
    }
    spec.mounts = vec![
        bind("/data", &volume, true),
        bind("/rw", &w.dir.join("rw"), false),
        bind("/etc/hosts", &w.dir.join("hosts"), false),
        bind("/dev/termination-log", &w.dir.join("message"), false),
        Mount {
            destination: "/scratch".into(),
            source: MountSource::Tmpfs {
                size: Some(1 << 20),
                mode: None,
            },
            read_only: false,
        },
    ];
    // Not root, and yet /dev/stdout can be opened anew.
    spec.user = User {
        uid: 1000,
        gid: 1000,
        additional_gids: vec![],
    };
    let exit = w.complete(spec).await;
    assert_eq!(exit.code, 0, "{:?}", w.log("m"));
    let log = w.log("m");
    let out: Vec<_> = log.iter().filter_map(|l| l.strip_prefix("stdout F ")).collect();
    assert_eq!(
        out,
        ["content", "data-ro", "10.0.0.1 pod", "4096", "1", "done"],
        "{log:?}"
    );
    assert_eq!(
        std::fs::read_to_string(w.dir.join("rw/made")).expect("made"),
        "yes\n"
    );
    assert_eq!(
        std::fs::read_to_string(w.dir.join("message")).expect("message"),
        "failed\n"
    );
}
