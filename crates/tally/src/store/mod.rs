//! The counters of all apps in a Redis Cluster. What is written where is in `plan`; how a batch is applied in `batch.lua`.
//!
//! What is promised: a write that is acknowledged has been applied once, by the master, which has written it to its append-only
//! file, and by a replica as long as the cluster has one alive for that shard. Killing one master loses none of these. What is not
//! acknowledged may or may not have been applied; an SDK that sends it again with its time in milliseconds is recognised.
mod batch;
mod lane;
mod reader;
mod reads;
mod slots;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::RedisError;

use crate::metrics::Metrics;
use crate::plan::{Change, Uid};
use crate::{App, Request};
use batch::{Op, Outcome};
use reader::Reader;
pub(crate) use reads::Sums;
use writer::{Writer, WriterConfig};

/// A write that has waited for so long is answered with an error. A fail-over takes some three seconds.
const PATIENCE: Duration = Duration::from_secs(6);
/// A device that has become another, which has become another, … so often.
const MAX_MOVES: usize = 16;

/// Why the store did not take a write or answer a read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis refused or did not answer.
    #[error("the store does not answer: {0}")]
    Redis(#[from] RedisError),
    /// It has not become usable in time.
    #[error("the store is not ready after {seconds} s: {reason}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// The last thing it said.
        reason: String,
    },
    /// As many writes wait as may.
    #[error("too many requests wait for the store")]
    Full,
    /// A write was not settled in time.
    #[error("the store has not acknowledged within {0} s")]
    Slow(u64),
    /// Redis takes the write for wrong.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// A device has been merged in a circle, or the store has been written to by something else.
    #[error("the store has no end of other ids for this device")]
    Circle,
    /// The writer has ended.
    #[error("the store is closed")]
    Stopped,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Counted.
    Counted,
    /// It had been counted before; this was a retry.
    Duplicate,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    reader: Reader,
    writer: Writer,
}

impl Store {
    /// Connects to a cluster by any of its nodes (`HOST:PORT`). At most `queue` writes wait for it, and each for `replicas` replicas.
    pub(crate) async fn connect(
        nodes: &[String],
        queue: usize,
        replicas: usize,
        metrics: &Metrics,
    ) -> Result<Store, StoreError> {
        first_that_answers(nodes).await?;
        let writer = Writer::start(nodes.to_vec(), WriterConfig { queue, replicas }, metrics.clone());
        Ok(Store {
            reader: Reader::new(writer.clone()),
            writer,
        })
    }

    /// Writes what a request brings. When it returns, it is acknowledged as promised above.
    pub async fn write(
        &self,
        app: &Arc<App>,
        request: &Request,
        now: jiff::Timestamp,
    ) -> Result<Written, StoreError> {
        let write = async {
            if let Some(old) = &request.old_device_id {
                self.merge(app, Uid::of(&app.key, old), Uid::of(&app.key, &request.device_id))
                    .await?;
            }
            if !request.counts() {
                return Ok(Written::Counted);
            }
            self.count(Change::of(app, request, now)).await
        };
        tokio::time::timeout(PATIENCE, write)
            .await
            .unwrap_or(Err(StoreError::Slow(PATIENCE.as_secs())))
    }

    async fn count(&self, mut change: Change) -> Result<Written, StoreError> {
        for _ in 0..MAX_MOVES {
            match self.writer.submit(Op::Count(Box::new(change.clone()))).await? {
                Outcome::Moved(uid) => change.uid = uid,
                Outcome::Duplicate => return Ok(Written::Duplicate),
                Outcome::Done => return Ok(Written::Counted),
                other => return Err(StoreError::Refused(format!("{other:?}"))),
            }
        }
        Err(StoreError::Circle)
    }

    /// Makes two ids one device. An id that is new becomes another name of the old one; of two that are known the old one
    /// is absorbed, and there is one user less. Each step can be repeated, so a merge that was cut off is finished by the SDK's retry.
    async fn merge(&self, app: &Arc<App>, old: Uid, new: Uid) -> Result<(), StoreError> {
        let Some(old) = self.known_as(app, old).await? else {
            return Ok(());
        };
        let mut new = new;
        for _ in 0..MAX_MOVES {
            if old == new {
                return Ok(());
            }
            match self.writer.submit(Op::Link(Arc::clone(app), new, old)).await? {
                Outcome::Moved(uid) => new = uid,
                Outcome::Known => return self.absorb(app, old, new).await,
                _ => return Ok(()),
            }
        }
        Err(StoreError::Circle)
    }

    async fn absorb(&self, app: &Arc<App>, old: Uid, new: Uid) -> Result<(), StoreError> {
        if let Outcome::Absorbed(first, sessions) =
            self.writer.submit(Op::Absorb(Arc::clone(app), old, new)).await?
        {
            self.writer
                .submit(Op::Grow(Arc::clone(app), new, first, sessions))
                .await?;
        }
        Ok(())
    }

    /// What a device is called today; `None` if it is not known.
    async fn known_as(&self, app: &Arc<App>, mut uid: Uid) -> Result<Option<Uid>, StoreError> {
        for _ in 0..MAX_MOVES {
            match self.writer.submit(Op::Look(Arc::clone(app), uid)).await? {
                Outcome::Moved(to) => uid = to,
                Outcome::Known => return Ok(Some(uid)),
                _ => return Ok(None),
            }
        }
        Err(StoreError::Circle)
    }

    /// Writes that wait or are under way.
    pub(crate) fn pending(&self) -> usize {
        self.writer.pending()
    }

    /// Whether some node answers and takes the cluster for alive. One shard may be failing over: its writes wait, the others' don't.
    pub async fn healthy(&self) -> Result<(), StoreError> {
        if self
            .reader
            .info()
            .await?
            .lines()
            .any(|line| line.trim_end() == "cluster_state:ok")
        {
            return Ok(());
        }
        Err(StoreError::NotReady {
            seconds: 0,
            reason: "cluster_state is not ok".to_owned(),
        })
    }
}

/// What the first node that answers says of the cluster.
async fn first_that_answers(nodes: &[String]) -> Result<String, StoreError> {
    let mut failure = StoreError::NotReady {
        seconds: 0,
        reason: "no node is named".to_owned(),
    };
    for node in nodes {
        let answer = async {
            let mut connection = slots::connect(node, Duration::from_secs(2)).await?;
            redis::cmd("CLUSTER")
                .arg("INFO")
                .query_async::<String>(&mut connection)
                .await
        };
        match answer.await {
            Ok(info) => return Ok(info),
            Err(e) => failure = e.into(),
        }
    }
    Err(failure)
}

/// Waits until some node says that the cluster serves all slots: `cluster_state:ok` with 16384 slots. Asked again every
/// 100 ms, because Redis tells nobody when its state changes.
pub async fn wait_until_ready(nodes: &[String], patience: Duration) -> Result<(), StoreError> {
    let begun = Instant::now();
    loop {
        let reason = match first_that_answers(nodes).await {
            Ok(info) if cluster_ok(&info) => return Ok(()),
            Ok(_) => "cluster_state is not ok".to_owned(),
            Err(e) => e.to_string(),
        };
        if begun.elapsed() > patience {
            return Err(StoreError::NotReady {
                seconds: patience.as_secs(),
                reason,
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn cluster_ok(info: &str) -> bool {
    let has = |line: &str| info.lines().any(|l| l.trim_end() == line);
    has("cluster_state:ok") && has("cluster_slots_ok:16384")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_ready_only_with_all_of_its_slots() {
        assert!(cluster_ok(
            "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"
        ));
        assert!(!cluster_ok("cluster_state:fail\r\ncluster_slots_ok:16384\r\n"));
        assert!(!cluster_ok("cluster_state:ok\r\ncluster_slots_ok:10923\r\n"));
    }
}
