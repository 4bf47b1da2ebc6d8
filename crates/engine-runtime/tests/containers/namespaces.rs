//! What a container shares, what it may do, and what it is made of.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use engine_runtime::proto::{IpcMode, Mount, MountSource, PidMode, Propagation};

use crate::world::{World, eventually};

fn out(log: &[String]) -> Vec<&str> {
    log.iter().filter_map(|l| l.strip_prefix("stdout F ")).collect()
}

pub async fn shares_what_is_asked(w: &mut World) {
    let mut holder = Command::new("unshare")
        .args(["-n", "sleep", "600"])
        .stdin(Stdio::null())
        .spawn()
        .expect("unshare");
    let netns = PathBuf::from(format!("/proc/{}/ns/net", holder.id()));
    let own = std::fs::read_link("/proc/self/ns/net").expect("netns");
    let has_its_own = || std::fs::read_link(&netns).is_ok_and(|of| of != own);
    assert!(
        eventually(has_its_own).await,
        "unshare gives no network namespace"
    );
    let wanted = std::fs::read_link(&netns).expect("netns");

    let mut target = w.spec("target", "readlink /proc/self/ns/net; ipcs >/dev/null; readlink /proc/self/ns/ipc; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; sleep 1000");
    target.netns = Some(netns);
    target
        .sysctls
        .insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
    w.client.create_start(target).await.expect("start");
    w.logged("target", "stdout F 0").await;
    let log = w.log("target");
    assert_eq!(out(&log)[0], wanted.to_string_lossy());
    let ipc = out(&log)[1].to_owned();
    holder.kill().expect("kill");
    holder.wait().expect("wait");

    let mut debug = w.spec("debug", "ps | grep -c '[s]leep 1000'; readlink /proc/self/ns/ipc");
    debug.pid = PidMode::Container("uid.target.0".into());
    debug.ipc = IpcMode::Container("uid.target.0".into());
    assert_eq!(w.complete(debug).await.code, 0);
    assert_eq!(out(&w.log("debug")), ["1", &ipc]);

    let mut host = w.spec("host", "ps | wc -l; hostname; readlink /proc/self/ns/net");
    host.pid = PidMode::Host;
    host.ipc = IpcMode::Host;
    host.hostname = None;
    assert_eq!(w.complete(host).await.code, 0);
    let log = w.log("host");
    let lines = out(&log);
    // In one of its own it would be four lines.
    assert!(lines[0].parse::<u32>().expect("number") > 4, "{lines:?}");
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname");
    assert_eq!(lines[1], name.trim());
    assert_eq!(
        lines[2],
        std::fs::read_link("/proc/self/ns/net")
            .expect("netns")
            .to_string_lossy()
    );

    // Two containers of one pod: each sees the other, neither is the first process, and one may end without the other.
    let folder = w.dir.join("nodes/n1/pods/uid");
    let mut first = w.spec("first", "echo $$; echo up; sleep 1001");
    first.pid = PidMode::Pod(folder.clone());
    w.client.create_start(first).await.expect("start");
    w.logged("first", "stdout F up").await;
    for name in ["second", "third"] {
        let mut other = w.spec(
            name,
            "ps | grep -c '[s]leep 1001'; ls -a /proc/1/root/ 2>&1 | wc -l",
        );
        other.pid = PidMode::Pod(folder.clone());
        assert_eq!(w.complete(other).await.code, 0);
        let log = w.log(name);
        assert_eq!(
            out(&log),
            ["1", "1"],
            "what holds the namespace gives nothing away"
        );
    }
    assert_ne!(out(&w.log("first"))[0], "1");
    let mut sysctl = w.spec("sysctl", "true");
    sysctl.sysctls.insert("kernel.panic".into(), "1".into());
    let error = w.client.create_start(sysctl).await.expect_err("not namespaced");
    assert!(error.to_string().contains("kernel.panic"), "{error}");
}

pub async fn privileges_and_devices(w: &mut World) {
    let script = "mount -t tmpfs none /tmp && echo mounted; echo 1 > /proc/sys/vm/drop_caches && echo written; ls /dev | wc -l";
    let mut privileged = w.spec("privileged", script);
    privileged.privileged = true;
    assert_eq!(w.complete(privileged).await.code, 0);
    let log = w.log("privileged");
    assert_eq!(out(&log)[..2], ["mounted", "written"], "{log:?}");
    assert!(out(&log)[2].parse::<u32>().expect("number") > 15, "{log:?}");

    // Nobody else reaches a device of the host, even if he can make its node.
    let script = "mount -t tmpfs none /tmp 2>/dev/null || echo no-mount; mknod /dev/k c 1 1 2>/dev/null; \
        (head -c 1 /dev/k >/dev/null) 2>/dev/null || echo no-memory; head -c 3 /dev/loop-control 2>/dev/null || echo no-loop; \
        ls -l /dev/null /dev/ptmx /dev/shm >/dev/null && echo devices";
    assert_eq!(w.complete(w.spec("plain", script)).await.code, 0);
    assert_eq!(
        out(&w.log("plain")),
        ["no-mount", "no-memory", "no-loop", "devices"]
    );

    if PathBuf::from("/dev/fuse").exists() {
        let mut fuse = w.spec("fuse", "stat -c %t:%T /dev/fuse; (: < /dev/fuse) && echo opened");
        fuse.devices = vec!["/dev/fuse".into()];
        assert_eq!(w.complete(fuse).await.code, 0);
        assert_eq!(out(&w.log("fuse")), ["a:e5", "opened"], "{:?}", w.log("fuse"));
    }
    let mut none = w.spec("none", "true");
    none.devices = vec!["/dev/nonexistent".into()];
    let error = w.client.create_start(none).await.expect_err("no such device");
    assert!(error.to_string().contains("/dev/nonexistent"), "{error}");
}

pub async fn is_made_of_many_layers(w: &mut World) {
    let mut layers = Vec::new();
    for n in 0..60 {
        let layer = w
            .dir
            .join(format!("layers/{}", "x".repeat(60)))
            .join(format!("n:{n}"));
        std::fs::create_dir_all(layer.join("etc")).expect("create");
        std::fs::write(layer.join("etc/top"), n.to_string()).expect("write");
        std::fs::write(layer.join(format!("etc/from-{n}")), "").expect("write");
        layers.push(layer);
    }
    layers.push(w.layer.clone());
    let mut spec = w.spec("many", "cat /etc/top; echo; ls /etc | grep -c from; echo new > /etc/top; cat /etc/top; rm /bin/ls; /bin/ls 2>/dev/null || echo gone");
    spec.lower_dirs = layers;
    assert_eq!(w.complete(spec).await.code, 0);
    assert_eq!(out(&w.log("many")), ["0", "60", "new", "gone"]);
    assert!(w.layer.join("bin/ls").exists(), "layers are not written to");

    let mut few = w.spec("few", "true");
    few.lower_dirs = vec![w.dir.join("no-such-layer")];
    let error = w.client.create_start(few).await.expect_err("no layer");
    assert!(error.to_string().contains("no-such-layer"), "{error}");
}

pub async fn scores_and_propagation(w: &mut World) {
    let mut spec = w.spec("score", "cat /proc/self/oom_score_adj");
    spec.oom_score_adj = Some(-997);
    let started = w.client.create_start(spec).await.expect("start");
    w.exit_of("uid.score.0").await;
    let log = w.log("score");
    if out(&log) == ["-997"] {
        assert_eq!(started.warnings, Vec::<String>::new());
    } else {
        assert!(started.warnings[0].contains("CAP_SYS_RESOURCE"), "{started:?}");
    }
    let mut spec = w.spec("score2", "cat /proc/self/oom_score_adj");
    spec.oom_score_adj = Some(-500);
    let started = w.client.create_start(spec).await.expect("start");
    assert!(started.warnings.len() <= 1);
    w.exit_of("uid.score2.0").await;
    let mut spec = w.spec("score3", "cat /proc/self/oom_score_adj");
    spec.oom_score_adj = Some(900);
    assert_eq!(w.complete(spec).await.code, 0);
    assert_eq!(out(&w.log("score3")), ["900"]);

    // A mount made on the host later is seen with HostToContainer; one made in the container stays there.
    let shared = w.dir.join("shared");
    std::fs::create_dir_all(shared.join("sub")).expect("create");
    let mut spec = w.spec(
        "prop",
        "while [ ! -e /shared/sub/there ]; do sleep 0.02; done; echo seen",
    );
    spec.mounts = vec![Mount {
        destination: "/shared".into(),
        source: MountSource::Bind {
            path: shared.clone(),
            propagation: Propagation::HostToContainer,
        },
        read_only: false,
    }];
    let propagates = std::fs::read_to_string("/proc/self/mountinfo")
        .expect("mounts")
        .lines()
        .any(|l| l.split(' ').nth(4) == Some("/") && l.contains(" shared:"));
    w.client.create_start(spec).await.expect("start");
    // Its root is its own: the host's table of mounts does not grow by it.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let below = w.dir.to_string_lossy().into_owned();
    let roots = mounts
        .lines()
        .filter(|l| l.contains(&*below) && l.contains("/rootfs "));
    assert_eq!(roots.count(), 0, "{mounts}");
    if propagates {
        let mount = |args: &[&str]| {
            let status = Command::new(args[0]).args(&args[1..]).status().expect("mount");
            assert!(status.success());
        };
        let sub = shared.join("sub").to_string_lossy().into_owned();
        mount(&["mount", "-t", "tmpfs", "none", &sub]);
        std::fs::write(shared.join("sub/there"), "").expect("write");
        w.logged("prop", "stdout F seen").await;
        mount(&["umount", &sub]);

        // And with Bidirectional the host sees what the container mounts, and nothing else of it.
        let mut spec = w.spec(
            "both",
            "mount -t tmpfs none /shared/sub && echo in > /shared/sub/file",
        );
        spec.privileged = true;
        spec.mounts = vec![Mount {
            destination: "/shared".into(),
            source: MountSource::Bind {
                path: shared.clone(),
                propagation: Propagation::Bidirectional,
            },
            read_only: false,
        }];
        let count = || {
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            mounts.lines().filter(|l| l.contains(&*below)).count()
        };
        let before = count();
        assert_eq!(w.complete(spec).await.code, 0, "{:?}", w.log("both"));
        assert_eq!(
            std::fs::read_to_string(shared.join("sub/file")).expect("seen on the host"),
            "in\n"
        );
        mount(&["umount", &sub]);
        w.client.remove("uid.both.0").await.expect("remove");
        assert_eq!(count(), before);
    }
}
