//! Events do not stay: each goes an hour after it was last written (kube-apiserver `--event-ttl`), the oldest earlier when there are more
//! than a cluster on one machine should keep in memory.
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use engine_store::{Precondition, Stored};
use futures::StreamExt as _;
use schema::KindInfo;

use crate::{api::Api, keys};

const TTL: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(60);
/// Upstream has no such limit, but keeps them on disk; an event whose tree was asked for takes some 10 kB of memory here.
const MOST: usize = 3000;
/// Deletions at once: they share fsyncs.
const AT_ONCE: usize = 64;

/// Removes what is due, every minute, as long as the API server lives.
pub async fn run(api: Weak<Api>) {
    let mut clock = Clock::default();
    loop {
        tokio::time::sleep(EVERY).await;
        let (Some(api), Some(events)) = (api.upgrade(), schema::by_resource("", "v1", "events")) else {
            return;
        };
        let old = clock.tick(Instant::now(), api.store.revision());
        let all = api.store.list(&keys::prefix(events, "")).items;
        sweep(&api, events, due(all, old, MOST)).await;
    }
}

/// Which revision was the newest an hour ago: what was written up to it is old. That needs no look at the events' own times, which
/// their writers set.
#[derive(Default)]
struct Clock {
    marks: VecDeque<(Instant, u64)>,
}

impl Clock {
    fn tick(&mut self, now: Instant, revision: u64) -> u64 {
        self.marks.push_back((now, revision));
        let young = self
            .marks
            .partition_point(|(at, _)| now.duration_since(*at) >= TTL);
        let old = self.marks.drain(..young).next_back();
        old.map_or(0, |(_, revision)| revision)
    }
}

/// The old ones, and of the others the oldest beyond the limit.
fn due(mut events: Vec<Arc<Stored>>, old: u64, most: usize) -> Vec<Arc<Stored>> {
    events.sort_by_key(|event| event.revision);
    let excess = events.len().saturating_sub(most);
    let expired = events.partition_point(|event| event.revision <= old);
    events.truncate(expired.max(excess));
    events
}

async fn sweep(api: &Api, kind: &'static KindInfo, due: Vec<Arc<Stored>>) {
    let removals = due.into_iter().map(|event| async move {
        let unchanged = Precondition::Revision(event.revision);
        api.erase(kind, &event.key, unchanged).await
    });
    let mut removals = std::pin::pin!(futures::stream::iter(removals).buffer_unordered(AT_ONCE));
    while let Some(removed) = removals.next().await {
        // One that was written again meanwhile is young again.
        if let Err(error) = removed {
            tracing::debug!(%error, "an old event stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn old_events_go_and_so_do_the_oldest_of_too_many() {
        let store = engine_store::Config::default().build().unwrap();
        for n in 0..5 {
            let key = format!("/events/{n}");
            store
                .put(&key, json!({"metadata": {}}), Precondition::None)
                .await
                .unwrap();
        }
        // Written again: the youngest now.
        store
            .put("/events/0", json!({"metadata": {}}), Precondition::None)
            .await
            .unwrap();
        let due = |old, most| -> Vec<String> {
            let due = due(store.list("/events/").items, old, most);
            due.iter().map(|event| event.key.to_string()).collect()
        };
        assert_eq!(due(0, 10), [""; 0]);
        assert_eq!(due(3, 10), ["/events/1", "/events/2"]);
        assert_eq!(due(0, 4), ["/events/1"]);
    }

    #[test]
    fn the_clock_gives_the_revision_of_an_hour_ago() {
        let mut clock = Clock::default();
        let start = Instant::now();
        assert_eq!(clock.tick(start, 10), 0);
        assert_eq!(clock.tick(start + TTL / 2, 20), 0);
        assert_eq!(clock.tick(start + TTL, 30), 10);
        assert_eq!(clock.tick(start + TTL * 2, 40), 30);
    }
}
