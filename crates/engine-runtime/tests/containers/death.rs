//! Ends: of containers, of the daemon, of the engine.

use std::time::{Duration, Instant};

use engine_runtime::Error;
use engine_runtime::proto::{ExecSpec, Limits, Status};

use crate::world::{PATIENCE, World, eventually, kill};

pub async fn ends_with_its_code_and_log(w: &mut World) {
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
    assert_eq!(log, ["stderr F err", "stdout F out", "stdout P unfinished"]);

    let list = w.client.list().await.expect("list");
    assert_eq!(
        (list.len(), list[0].status, list[0].exit.as_ref()),
        (1, Status::Exited, Some(&exit))
    );
    let live = w.dir.join("run/live/containers/uid.c.0");
    let kept = std::fs::read(live.join("exit.json")).expect("exit.json");
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
    assert!(!list[0].dir.join("upper").exists() && !live.exists());
}

pub async fn signals_and_kill_all(w: &mut World) {
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

pub async fn out_of_memory(w: &mut World) {
    if !w.has_limits {
        return println!("    skipped: this machine's cgroups have no memory controller to give");
    }
    if std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1) {
        return println!("    skipped: this machine has swap, so that no memory is no end");
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

pub async fn survives_the_daemon(w: &mut World) {
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

/// Versions before `run/live` kept everything in the container's folder: what one of them left is ended, not forgotten.
pub async fn ends_what_an_older_version_left(w: &mut World) {
    let spec = w.spec("old", "echo up; sleep 1000");
    let (id, dir) = (spec.id.clone(), spec.dir.clone());
    w.client.create_start(spec).await.expect("start");
    w.logged("old", "stdout F up").await;
    let pid = w.client.list().await.expect("list")[0].pid;
    w.kill_daemon().await;
    let run = w.dir.join("run");
    let live = run.join("live/containers").join(&id);
    for file in ["spec.json", "state.json"] {
        std::fs::copy(live.join(file), dir.join(file)).expect("copy");
    }
    std::fs::remove_dir_all(live).expect("remove");
    std::fs::create_dir(run.join("containers")).expect("create");
    std::os::unix::fs::symlink(&dir, run.join("containers").join(&id)).expect("link");

    w.start_daemon();
    assert_eq!(w.client.list().await.expect("list"), []);
    let gone = || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        !dir.join("upper").exists()
            && !run.join("containers").exists()
            && (state.is_empty() || state.contains("State:\tZ"))
    };
    assert!(eventually(gone).await, "its files stay, or it runs on");
    assert!(w.log("old").contains(&"stdout F up".to_owned()), "the log stays");
}

/// However often the daemon dies in the middle, no container is lost, doubled or left behind.
pub async fn dies_while_it_creates(w: &mut World) {
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
                // What was lost can be had again at once, and the cleaning does not take the new one for the old.
                Err(Error::Lost) if known.is_none() => begin_again(w, &id).await,
                Err(Error::Lost) => {}
                Err(e) => panic!("{id}: {e}"),
            }
        }
        w.cleaned().await;
        let alive = w.client.list().await.expect("list");
        for info in alive.iter().filter(|i| i.status == Status::Running) {
            assert!(
                std::path::Path::new(&format!("/proc/{}", info.pid)).exists(),
                "{info:?}"
            );
        }
    }
}

async fn begin_again(w: &World, id: &str) {
    let name = id.split('.').nth(1).expect("name");
    let mut result = w.client.create_start(w.spec(name, "sleep 1000")).await;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && matches!(result, Err(Error::State(_))) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        result = w.client.create_start(w.spec(name, "sleep 1000")).await;
    }
    result.unwrap_or_else(|e| panic!("{id}: {e}"));
}

pub async fn the_engine_is_kept(w: &mut World) {
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
    let becomes = async |is: &dyn Fn(i32) -> bool| {
        let begun = Instant::now();
        loop {
            let pid = w.client.ping().await.expect("ping").engine_pid;
            if is(pid) {
                return pid;
            }
            assert!(begun.elapsed() < PATIENCE, "the engine's process is {pid}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let engine = async |other_than: i32| becomes(&|pid| pid != 0 && pid != other_than).await;
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
    becomes(&|pid| pid == 0).await;
    // Longer than the pause after which it would be started again.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(w.client.ping().await.expect("ping").engine_pid, 0);
}

/// A start that hangs is given up, and nothing of it stays.
pub async fn starts_are_limited(w: &mut World) {
    let spec = w.spec("frozen", "true");
    w.client
        .ensure_cgroup(&spec.cgroup, Limits::default())
        .await
        .expect("cgroup");
    let (file, value) = if w.is_unified {
        ("cgroup.freeze", "1")
    } else {
        ("freezer.state", "FROZEN")
    };
    let root = if w.is_unified {
        "/sys/fs/cgroup"
    } else {
        "/sys/fs/cgroup/freezer"
    };
    std::fs::write(std::path::Path::new(root).join(&spec.cgroup).join(file), value).expect("freeze");
    let group = spec.cgroup.clone();
    let error = w.client.create_start(spec).await.expect_err("it cannot start");
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    assert_eq!(w.client.list().await.expect("list"), []);
    let gone = || !std::path::Path::new(root).join(&group).exists();
    assert!(eventually(gone).await, "its cgroup is left");
    assert_eq!(w.complete(w.spec("fine", "true")).await.code, 0);
}
