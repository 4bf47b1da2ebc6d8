//! Output, input, terminals, further processes.

use std::time::{Duration, Instant};

use engine_runtime::proto::{ExecSpec, LogLimits, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bench;
use crate::world::{PATIENCE, World};

pub async fn exec_with_pipes(w: &mut World) {
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
    // It may do what the container may and no more: neither does it keep what was lent to load the filter of system calls, nor is it
    // without that.
    let same = |field: &str| {
        format!("[ \"$(grep ^{field} /proc/1/status)\" = \"$(grep ^{field} /proc/self/status)\" ]")
    };
    let script = format!("{} && {}", same("Cap"), same("Seccomp:"));
    let mut exec = w.client.exec(simple(&["sh", "-c", &script])).await.expect("exec");
    assert_eq!(exec.wait().await.expect("exit"), 0);
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
        std::fs::read_dir(w.dir.join("run/live/execs"))
            .expect("execs")
            .count(),
        0,
        "no litter"
    );
    let state: Vec<_> = std::fs::read_dir(w.dir.join("run/live/oci/uid.e.0"))
        .expect("state")
        .flatten()
        .collect();
    assert!(state.len() <= 4, "{state:?}");
}

pub async fn exec_with_terminal(w: &mut World) {
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

pub async fn attach_to_stdin(w: &mut World) {
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

pub async fn terminal_of_a_container(w: &mut World) {
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

pub async fn logs_rotate_and_floods_are_fair(w: &mut World) {
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
    // Were the flood read to its end first, it would be never.
    assert!(quiet < PATIENCE);
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
