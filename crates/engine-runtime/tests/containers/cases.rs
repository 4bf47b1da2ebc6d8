//! The tests.

use std::pin::Pin;
use std::time::{Duration, Instant};

use engine_runtime::Error;
use engine_runtime::proto::{
    ContainerSpec, ExecSpec, Limits, LogLimits, Mount, MountSource, Propagation, Status, User,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench;
use crate::namespaces::{
    is_made_of_many_layers, privileges_and_devices, scores_and_propagation, shares_what_is_asked,
};
use crate::world::{Case, World, kill};

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// By name.
        pub const ALL: &[(&str, Case)] = &[$((
            stringify!($name),
            |world| Box::pin($name(world)) as Pin<Box<dyn Future<Output = ()> + '_>>,
        )),*];
    };
}

cases![
    ends_with_its_code_and_log,
    failures_are_worded,
    is_isolated,
    mounts_and_users,
    shares_what_is_asked,
    privileges_and_devices,
    is_made_of_many_layers,
    scores_and_propagation,
    signals_and_kill_all,
    out_of_memory,
    exec_with_pipes,
    exec_with_terminal,
    attach_to_stdin,
    terminal_of_a_container,
    logs_rotate_and_floods_are_fair,
    survives_the_daemon,
    dies_while_it_creates,
    the_engine_is_kept,
    fifty_at_once,
    one_after_another,
];

async fn ends_with_its_code_and_log(w: &mut World) {
    let exit = w
        .complete(w.spec("c", "echo out; echo err >&2; printf unfinished; exit 3"))
        .await;
    assert_eq!(
        (exit.code, exit.signal, exit.oom_killed, exit.unknown),
        (3, None, false, false)
    );
    assert!(exit.finished_at >= exit.started_at && exit.started_at > 0);
    let mut log = w.log("c");
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F out", "stdout F unfinished"]);

    let list = w.client.list().await.expect("list");
    assert_eq!(
        (list.len(), list[0].status, list[0].exit.as_ref()),
        (1, Status::Exited, Some(&exit))
    );
    let kept = std::fs::read(list[0].dir.join("exit.json")).expect("exit.json");
    assert_eq!(
        serde_json::from_slice::<engine_runtime::proto::Exit>(&kept).expect("exit"),
        exit
    );

    // Who comes later hears of it too, and no longer once it is removed.
    assert_eq!(w.client.events().recv().await, Some(exit));
    w.client.remove("uid.c.0").await.expect("remove");
    w.client.remove("uid.c.0").await.expect("again");
    assert!(w.client.events().try_recv().is_err());
    assert!(list[0].log_path.exists(), "the log stays");
    assert!(!list[0].dir.join("upper").exists());
}

async fn failures_are_worded(w: &mut World) {
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

async fn is_isolated(w: &mut World) {
    let script = "hostname; echo $HOME $HOSTNAME; ps | wc -l; ls /dev | grep -c sd; id -u; \
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
            "4",
            "0",
            "0",
            "read-only",
            "0",
            "CapEff:\t00000000a80425fb",
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

async fn mounts_and_users(w: &mut World) {
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

async fn signals_and_kill_all(w: &mut World) {
    w.client
        .create_start(w.spec(
            "t",
            "trap 'echo caught; exit 7' TERM; echo up; while :; do sleep 0.05; done",
        ))
        .await
        .expect("start");
    w.logged("t", "stdout F up").await;
    w.client.signal("uid.t.0", 15).await.expect("signal");
    assert_eq!(w.exit_of("uid.t.0").await.code, 7);
    assert_eq!(w.log("t"), ["stdout F up", "stdout F caught"]);

    w.client
        .create_start(w.spec("k", "sleep 1000 & sleep 1000 & echo up; wait"))
        .await
        .expect("start");
    w.logged("k", "stdout F up").await;
    assert!(matches!(w.client.remove("uid.k.0").await, Err(Error::State(_))));
    w.client.kill_all("uid.k.0").await.expect("kill");
    let exit = w.exit_of("uid.k.0").await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), false));
}

async fn out_of_memory(w: &mut World) {
    if !w.has_limits {
        return println!("    skipped: this machine's cgroups have no memory controller to give");
    }
    let mut spec = w.spec(
        "oom",
        "dd if=/dev/zero of=/dev/null bs=200M count=1; echo survived",
    );
    spec.limits = Limits {
        memory: Some(32 << 20),
        cpu_shares: Some(100),
        cpu_quota: Some(100_000),
        ..Limits::default()
    };
    spec.args = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]
        .map(String::from)
        .to_vec();
    spec.oom_score_adj = Some(1000);
    let exit = w.complete(spec).await;
    assert_eq!((exit.code, exit.oom_killed), (137, true));
    let other = w.complete(w.spec("fine", "true")).await;
    assert!(!other.oom_killed);
}

async fn exec_with_pipes(w: &mut World) {
    let mut spec = w.spec("e", "echo up; sleep 1000");
    spec.env = vec!["FROM=container".into()];
    w.client.create_start(spec).await.expect("start");
    w.logged("e", "stdout F up").await;
    let script = "cat; echo $FROM $AND >&2; hostname; ps | grep -c '[s]leep 1000'; exit 5";
    let spec = ExecSpec {
        id: "uid.e.0".into(),
        args: ["sh", "-c", script].map(String::from).to_vec(),
        env: vec!["AND=exec".into()],
        stdin: true,
        ..ExecSpec::default()
    };
    let mut exec = w.client.exec(spec).await.expect("exec");
    let mut stdin = exec.stdin.take().expect("stdin");
    stdin.write_all(b"typed\n").await.expect("write");
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    exec.stdout
        .take()
        .expect("stdout")
        .read_to_string(&mut out)
        .await
        .expect("read");
    exec.stderr
        .take()
        .expect("stderr")
        .read_to_string(&mut err)
        .await
        .expect("read");
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("typed\npod-0\n1\n", "container exec\n")
    );
    assert_eq!(exec.wait().await.expect("exit"), 5);

    let simple = |args: &[&str]| ExecSpec {
        id: "uid.e.0".into(),
        args: args.iter().map(ToString::to_string).collect(),
        ..ExecSpec::default()
    };
    let error = w.client.exec(simple(&["nope"])).await.err().expect("must fail");
    assert_eq!(
        error.to_string(),
        r#"exec: "nope": executable file not found in $PATH: unknown"#
    );
    let error = w
        .client
        .exec(simple(&["/bin/broken"]))
        .await
        .err()
        .expect("must fail");
    assert!(error.to_string().contains("exec format error"), "{error}");

    let mut slow = w.client.exec(simple(&["sleep", "1000"])).await.expect("exec");
    slow.signal(9).await.expect("signal");
    assert_eq!(slow.wait().await.expect("exit"), 137);

    let mut who = simple(&["sh", "-c", "id -u; echo $HOME; pwd"]);
    who.user = Some(User {
        uid: 1000,
        gid: 1000,
        additional_gids: vec![],
    });
    who.cwd = Some("/tmp".into());
    let mut exec = w.client.exec(who).await.expect("exec");
    let mut out = String::new();
    exec.stdout
        .take()
        .expect("stdout")
        .read_to_string(&mut out)
        .await
        .expect("read");
    assert_eq!(out, "1000\n/home/web\n/tmp\n");

    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        let mut exec = w.client.exec(simple(&["true"])).await.expect("exec");
        assert_eq!(exec.wait().await.expect("exit"), 0);
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    println!("    exec to exit: {}", bench::summary(times));
    assert_eq!(
        std::fs::read_dir(w.dir.join("run/execs")).expect("execs").count(),
        0,
        "no litter"
    );
    let state: Vec<_> = std::fs::read_dir(w.dir.join("run/oci/uid.e.0"))
        .expect("state")
        .flatten()
        .collect();
    assert!(state.len() <= 4, "{state:?}");
}

async fn exec_with_terminal(w: &mut World) {
    w.client
        .create_start(w.spec("e", "sleep 1000"))
        .await
        .expect("start");
    let spec = ExecSpec {
        id: "uid.e.0".into(),
        args: ["sh", "-c", "read go; tty; stty size; echo $TERM; exit 4"]
            .map(String::from)
            .to_vec(),
        tty: true,
        stdin: true,
        ..ExecSpec::default()
    };
    let mut exec = w.client.exec(spec).await.expect("exec");
    let mut terminal = exec.terminal.take().expect("terminal");
    terminal.resize(101, 33).expect("resize");
    terminal.write_all(b"go\n").await.expect("type");
    let mut out = Vec::new();
    terminal.read_to_end(&mut out).await.expect("read");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "go\r\n/dev/pts/0\r\n33 101\r\nxterm\r\n"
    );
    assert_eq!(exec.wait().await.expect("exit"), 4);
}

async fn attach_to_stdin(w: &mut World) {
    let mut spec = w.spec("once", "while read line; do echo got $line; done; echo end");
    (spec.stdin, spec.stdin_once) = (true, true);
    w.client.create_start(spec).await.expect("start");
    let mut attached = w.client.attach("uid.once.0", true).await.expect("attach");
    let mut stdin = attached.stdin.take().expect("stdin");
    stdin.write_all(b"one\ntwo\n").await.expect("write");
    w.logged("once", "stdout F got two").await;
    drop(stdin);
    let mut out = String::new();
    attached.stdout.read_to_string(&mut out).await.expect("read");
    assert_eq!(out, "got one\ngot two\nend\n");
    assert_eq!(w.exit_of("uid.once.0").await.code, 0);

    let mut spec = w.spec("many", "while read line; do echo got $line; done; echo end");
    spec.stdin = true;
    w.client.create_start(spec).await.expect("start");
    for n in ["one", "two"] {
        let mut attached = w.client.attach("uid.many.0", true).await.expect("attach");
        let mut stdin = attached.stdin.take().expect("stdin");
        stdin.write_all(format!("{n}\n").as_bytes()).await.expect("write");
        w.logged("many", &format!("stdout F got {n}")).await;
    }
    assert!(!w.log("many").contains(&"stdout F end".to_owned()));
}

async fn terminal_of_a_container(w: &mut World) {
    let mut spec = w.spec(
        "tty",
        "echo ready; read line; echo got $line; tty; stty size; exit 6",
    );
    (spec.tty, spec.stdin) = (true, true);
    w.client.create_start(spec).await.expect("start");
    w.logged("tty", "stdout F ready\r").await;
    w.client.resize("uid.tty.0", 90, 20).await.expect("resize");
    let mut attached = w.client.attach("uid.tty.0", true).await.expect("attach");
    assert!(attached.tty && attached.stderr.is_none());
    attached
        .stdin
        .take()
        .expect("stdin")
        .write_all(b"hello\n")
        .await
        .expect("type");
    assert_eq!(w.exit_of("uid.tty.0").await.code, 6);
    let mut out = String::new();
    attached.stdout.read_to_string(&mut out).await.expect("read");
    assert_eq!(out, "hello\r\ngot hello\r\n/dev/pts/0\r\n20 90\r\n");
}

async fn logs_rotate_and_floods_are_fair(w: &mut World) {
    let mut flood = w.spec("flood", "yes 0123456789012345678901234567890123456789");
    flood.log_limits = LogLimits {
        max_size: 1 << 20,
        max_files: 3,
    };
    let folder = flood.dir.clone();
    w.client.create_start(flood).await.expect("start");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    let exit = w.complete(w.spec("quiet", "echo here")).await;
    assert_eq!(
        (exit.code, w.log("quiet").as_slice()),
        (0, &["stdout F here".to_owned()][..])
    );
    let quiet = started.elapsed();
    let pid = w.client.ping().await.expect("ping").pid;
    println!(
        "    beside a flood: start to exit {:.1} ms, daemon {} KiB",
        quiet.as_secs_f64() * 1e3,
        bench::resident(pid)
    );
    assert!(quiet < Duration::from_secs(2));
    w.client.kill_all("uid.flood.0").await.expect("kill");
    w.exit_of("uid.flood.0").await;
    let logs: Vec<_> = std::fs::read_dir(folder)
        .expect("folder")
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("0.log"))
        .map(|e| e.metadata().expect("size").len())
        .collect();
    assert!(logs.len() <= 3 && logs.iter().all(|l| *l <= 1 << 20), "{logs:?}");

    let exit = w
        .complete(w.spec(
            "long",
            "head -c 40000 /dev/zero | sed s/./x/g 2>/dev/null || yes x | head -c 40000",
        ))
        .await;
    assert!(exit.code >= 0);
}

async fn survives_the_daemon(w: &mut World) {
    w.client
        .create_start(w.spec("s", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done"))
        .await
        .expect("start");
    w.client
        .create_start(w.spec("q", "trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"))
        .await
        .expect("start");
    w.client
        .create_start(w.spec("gone", "sleep 0.3; exit 5"))
        .await
        .expect("start");
    w.logged("s", "stdout F line 5").await;
    w.logged("q", "stdout F up").await;
    let first = w.kill_daemon().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    w.start_daemon();
    let second = w.client.ping().await.expect("reconnected").pid;
    assert_ne!(first, second);

    let exit = w.exit_of("uid.gone.0").await;
    // Unless init was slow to reap it, nobody knows.
    println!(
        "    ended in the absence: code {} unknown {}",
        exit.code, exit.unknown
    );
    assert!(
        (exit.code, exit.unknown) == (5, false) || (exit.code, exit.unknown) == (137, true),
        "{exit:?}"
    );
    let running = w.client.list().await.expect("list");
    assert_eq!(running.iter().filter(|i| i.status == Status::Running).count(), 2);

    // Nothing of the log is lost, and it goes on.
    w.logged("s", "stdout F line 60").await;
    let log = w.log("s");
    let expected: Vec<_> = (1..=log.len()).map(|n| format!("stdout F line {n}")).collect();
    assert_eq!(log, expected);

    w.client.signal("uid.q.0", 15).await.expect("signal");
    let exit = w.exit_of("uid.q.0").await;
    println!(
        "    adopted container: code {} unknown {}",
        exit.code, exit.unknown
    );
    assert!(exit.code == 9 || exit.unknown, "{exit:?}");

    let exec = ExecSpec {
        id: "uid.s.0".into(),
        args: vec!["true".into()],
        ..ExecSpec::default()
    };
    assert_eq!(
        w.client
            .exec(exec)
            .await
            .expect("exec")
            .wait()
            .await
            .expect("exit"),
        0
    );
}

/// However often the daemon dies in the middle, no container is lost, doubled or left behind.
async fn dies_while_it_creates(w: &mut World) {
    for round in 0..6_u64 {
        let mut starts = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (client, spec) = (w.client.clone(), w.spec(&format!("r{round}n{n}"), "sleep 1000"));
            starts.spawn(async move { (spec.id.clone(), client.create_start(spec).await) });
        }
        tokio::time::sleep(Duration::from_millis(3 + 5 * round)).await;
        w.kill_daemon().await;
        w.start_daemon();
        let results = starts.join_all().await;
        let alive = w.client.list().await.expect("list");
        for (id, result) in results {
            let known = alive.iter().find(|i| i.id == id);
            match result {
                // What was acknowledged runs on.
                Ok(_) => assert_eq!(known.expect("known").status, Status::Running),
                Err(Error::Lost) => {}
                Err(e) => panic!("{id}: {e}"),
            }
        }
        for info in alive.iter().filter(|i| i.status == Status::Running) {
            assert!(
                std::path::Path::new(&format!("/proc/{}", info.pid)).exists(),
                "{info:?}"
            );
        }
    }
}

async fn the_engine_is_kept(w: &mut World) {
    assert_eq!(w.client.ping().await.expect("ping").engine_pid, 0);
    std::fs::write(w.dir.join("run/enabled"), "").expect("enable");
    // A second start changes nothing but makes the first look.
    let me = std::env::current_exe().expect("own path");
    let second = std::process::Command::new(me)
        .arg("__runtime")
        .arg(&w.dir)
        .arg(&w.name)
        .status()
        .expect("start");
    assert!(second.success());
    let engine = async |other_than: i32| {
        for _ in 0..300 {
            let pid = w.client.ping().await.expect("ping").engine_pid;
            if pid != 0 && pid != other_than {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no engine");
    };
    let first = engine(0).await;
    kill(first);
    let second = engine(first).await;
    w.kill_daemon().await;
    w.start_daemon();
    assert_eq!(engine(0).await, second, "the engine is adopted");
    kill(second);
    let third = engine(second).await;
    std::fs::remove_file(w.dir.join("run/enabled")).expect("disable");
    kill(third);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(w.client.ping().await.expect("ping").engine_pid, 0);
}

async fn fifty_at_once(w: &mut World) {
    let started = Instant::now();
    let mut starts = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (client, spec) = (w.client.clone(), w.spec(&format!("c{n}"), "echo up; sleep 1000"));
        starts.spawn(async move {
            let asked = Instant::now();
            client.create_start(spec).await.expect("start");
            asked.elapsed().as_secs_f64() * 1e3
        });
    }
    let times = starts.join_all().await;
    let all = started.elapsed();
    let pid = w.client.ping().await.expect("ping").pid;
    println!(
        "    50 at once in {:.0} ms ({}), daemon {} KiB resident",
        all.as_secs_f64() * 1e3,
        bench::summary(times),
        bench::resident(pid)
    );
    for n in 0..50 {
        w.logged(&format!("c{n}"), "stdout F up").await;
    }
    let started = Instant::now();
    for n in 0..50 {
        w.client.kill_all(&format!("uid.c{n}.0")).await.expect("kill");
    }
    for n in 0..50 {
        let id = format!("uid.c{n}.0");
        while w
            .client
            .list()
            .await
            .expect("list")
            .iter()
            .any(|i| i.id == id && i.status == Status::Running)
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        w.client.remove(&id).await.expect("remove");
    }
    println!(
        "    killed and removed in {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
}

async fn one_after_another(w: &mut World) {
    let (mut starts, mut removes) = (Vec::new(), Vec::new());
    for n in 0..30 {
        let spec = w.spec(&format!("c{n}"), "true");
        let id = spec.id.clone();
        let started = Instant::now();
        w.client.create_start(spec).await.expect("start");
        starts.push(started.elapsed().as_secs_f64() * 1e3);
        assert_eq!(w.exit_of(&id).await.code, 0);
        let started = Instant::now();
        w.client.remove(&id).await.expect("remove");
        removes.push(started.elapsed().as_secs_f64() * 1e3);
    }
    println!("    create and start: {}", bench::summary(starts));
    println!("    remove: {}", bench::summary(removes));
}
