//! What is acknowledged is counted, once, while masters of the store are killed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]
mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::{Redis, Tally};

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    slowest_ms: AtomicU64,
}

/// A client as SDKs are: a request is sent, with its own time, until it is acknowledged.
async fn client(tally: Arc<Tally>, number: usize, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        sent += 1;
        let device = format!("device-{number}-{}", sent % 40);
        let path = format!(
            "/i?app_key=demo&device_id={device}&begin_session=1&timestamp={}",
            kit::unique_ms()
        );
        let begun = Instant::now();
        while tally.get(&path).await.0 != 200 {
            counts.refused.fetch_add(1, Ordering::AcqRel);
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "not acknowledged within 60 s"
            );
        }
        counts.acknowledged.fetch_add(1, Ordering::AcqRel);
        counts
            .slowest_ms
            .fetch_max(begun.elapsed().as_millis() as u64, Ordering::AcqRel);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_or_counted_twice_when_masters_are_killed() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let tally = Arc::new(Tally::start(&redis).await);
    let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..24)
        .map(|n| {
            tokio::spawn(client(
                Arc::clone(&tally),
                n,
                Arc::clone(&counts),
                Arc::clone(&stop),
            ))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;

    // A master is lost for good, its replica takes over.
    let first = redis.masters()[0];
    redis.kill(first);
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(redis.masters().len(), 3, "no replica has taken over");
    redis.restart(first);
    kit::until("replicas follow again", || {
        redis
            .masters()
            .iter()
            .all(|m| kit::replicas_of(redis.ports[*m]) == 1)
    })
    .await;

    // A master is restarted at once, as a container is: it comes back before anybody takes over, with what is in its file.
    let second = redis.masters()[1];
    redis.kill(second);
    redis.restart(second);
    tokio::time::sleep(Duration::from_secs(3)).await;

    stop.store(true, Ordering::Release);
    for client in clients {
        client.await.unwrap();
    }
    let acknowledged = counts.acknowledged.load(Ordering::Acquire);
    let day = tally
        .read("/o/analytics/sessions?app_id=000000000000000000000001&period=today")
        .await;
    eprintln!(
        "acknowledged {acknowledged}, counted {}, answered otherwise first {}, slowest {} ms",
        day[0]["t"],
        counts.refused.load(Ordering::Acquire),
        counts.slowest_ms.load(Ordering::Acquire),
    );
    assert!(
        acknowledged > 1000,
        "only {acknowledged} requests: the test has shown nothing"
    );
    assert_eq!(day[0]["t"], acknowledged);
    assert_eq!(
        day[0]["n"],
        tally
            .read("/o?app_id=000000000000000000000001&method=total_users")
            .await
    );
}

/// Without a store that takes them, only so many requests wait, and the next is told to come again.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_so() {
    let Some(mut redis) = Redis::start_with("no", false).await else {
        return;
    };
    let tally = Arc::new(Tally::start_with(&redis, |config| config.queue = 8).await);
    for member in 0..3 {
        redis.kill(member);
    }
    let asked = (0..64).map(|n| {
        let tally = Arc::clone(&tally);
        async move {
            let path = format!("GET /i?app_key=demo&device_id={n}&begin_session=1 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            let begun = Instant::now();
            (tally.raw(path.as_bytes()).await, begun.elapsed())
        }
    });
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|((code, _), _)| *code == 503));
    let at_once = answers
        .iter()
        .filter(|(_, took)| *took < Duration::from_secs(2))
        .count();
    assert_eq!(at_once, 56, "{answers:?}");
    assert!(tally.get("/metrics").await.1.contains("tally_refused_total 56"));
    assert_eq!(tally.get("/healthz").await.0, 200);
}
