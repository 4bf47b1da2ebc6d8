//! Clients that send until they are acknowledged, and count.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::JoinHandle;

use super::Tally;

/// Clients as SDKs are: a request is sent, with its own time, until it is acknowledged.
pub struct Crowd {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    slowest_ms: AtomicU64,
}

impl Crowd {
    pub fn start(tally: &Arc<Tally>, clients: usize) -> Crowd {
        let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let clients = (0..clients).map(|number| {
            tokio::spawn(client(
                Arc::clone(tally),
                number,
                Arc::clone(&counts),
                Arc::clone(&stop),
            ))
        });
        Crowd {
            clients: clients.collect(),
            counts,
            stop,
        }
    }

    /// Waits until so many more requests have been acknowledged.
    pub async fn more(&self, count: u64) {
        let enough = self.counts.acknowledged.load(Ordering::Acquire) + count;
        super::until("more requests are acknowledged", || {
            self.counts.acknowledged.load(Ordering::Acquire) >= enough
        })
        .await;
    }

    /// Ends the clients; what they had acknowledged is exactly what the store has counted. Gives how much that is.
    pub async fn end(self, tally: &Tally) -> u64 {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.await.unwrap();
        }
        let acknowledged = self.counts.acknowledged.load(Ordering::Acquire);
        let day = tally
            .read("/o/analytics/sessions?app_id=000000000000000000000001&period=today")
            .await;
        eprintln!(
            "acknowledged {acknowledged}, counted {}, answered otherwise first {}, slowest {} ms",
            day[0]["t"],
            self.counts.refused.load(Ordering::Acquire),
            self.counts.slowest_ms.load(Ordering::Acquire),
        );
        assert_eq!(day[0]["t"], acknowledged);
        let users = tally
            .read("/o?app_id=000000000000000000000001&method=total_users")
            .await;
        assert_eq!(day[0]["n"], users);
        acknowledged
    }
}

async fn client(tally: Arc<Tally>, number: usize, counts: Arc<Counts>, stop: Arc<AtomicBool>) {
    let mut sent = 0;
    while !stop.load(Ordering::Acquire) {
        sent += 1;
        let device = format!("device-{number}-{}", sent % 40);
        let path = format!(
            "/i?app_key=demo&device_id={device}&begin_session=1&timestamp={}",
            super::unique_ms()
        );
        let begun = Instant::now();
        while tally.get(&path).await.0 != 200 {
            counts.refused.fetch_add(1, Ordering::AcqRel);
            assert!(
                begun.elapsed() < super::PATIENCE,
                "not acknowledged within {:?}",
                super::PATIENCE
            );
        }
        counts.acknowledged.fetch_add(1, Ordering::AcqRel);
        let took = begun.elapsed().as_millis() as u64;
        counts.slowest_ms.fetch_max(took, Ordering::AcqRel);
    }
}
