//! What is acknowledged is counted, once, while masters of the store are killed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]
mod kit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::crowd::Crowd;
use kit::{Redis, Tally};

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_or_counted_twice_when_masters_are_killed() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let tally = Arc::new(Tally::start(&redis).await);
    let crowd = Crowd::start(&tally, 24);
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

    assert!(
        crowd.end(&tally).await > 1000,
        "too few requests: the test has shown nothing"
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
