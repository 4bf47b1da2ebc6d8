//! How fast it is.

use std::time::{Duration, Instant};

use engine_runtime::proto::Status;

use crate::bench;
use crate::world::{World, eventually};

pub async fn fifty_at_once(w: &mut World) {
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

pub async fn one_after_another(w: &mut World) {
    let (mut starts, mut removes) = (Vec::new(), Vec::new());
    let daemon = w.client.ping().await.expect("ping").pid;
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{daemon}/fd"))
            .expect("fds")
            .count()
    };
    let (mut before, mut memory) = (0, 0);
    for n in 0..60 {
        if n == 10 {
            (before, memory) = (descriptors(), bench::resident(daemon));
        }
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
    // An answer is sent a moment before the worker's socket is closed.
    assert!(
        eventually(|| descriptors() <= before).await,
        "descriptors leak: {} after {before}",
        descriptors()
    );
    println!(
        "    daemon grew by {} KiB over 50 containers",
        bench::resident(daemon).saturating_sub(memory)
    );
    println!("    create and start: {}", bench::summary(starts));
    println!("    remove: {}", bench::summary(removes));
}
