//! What is acknowledged is counted, once, while masters of the store are killed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]
mod kit;

use std::sync::Arc;

use kit::crowd::Crowd;
use kit::{Redis, Tally};

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_write_is_lost_or_counted_twice_when_masters_are_killed() {
    let Some(mut redis) = Redis::start().await else {
        return;
    };
    let tally = Arc::new(Tally::start(&redis).await);
    let crowd = Crowd::start(&tally, 24);
    crowd.more(300).await;

    // A master is lost for good, its replica takes over.
    let first = redis.masters()[0];
    redis.kill(first);
    kit::until("a replica takes over", || redis.masters().len() == 3).await;
    crowd.more(300).await;
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
    crowd.more(400).await;
    crowd.end(&tally).await;
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
            tally.raw(path.as_bytes()).await
        }
    });
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|(code, _)| *code == 503), "{answers:?}");
    let told = "too many requests wait";
    let full = answers.iter().filter(|(_, text)| text.contains(told)).count();
    // Those that wait give up after some seconds and make room, so that on a slow machine some more get in.
    assert!((32..=56).contains(&full), "{full}: {answers:?}");
    let counted = format!("tally_refused_total {full}\n");
    assert!(tally.get("/metrics").await.1.contains(&counted), "{counted}");
    assert_eq!(tally.get("/healthz").await.0, 200);
}
