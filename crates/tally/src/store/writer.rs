use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::StoreError;
use super::batch::{Encoded, Op, Outcome, encode};
use super::slots::{self, Map};
use crate::metrics::Metrics;
use crate::plan::BUCKETS;

/// Requests in one batch of one bucket.
const MAX_BATCH: usize = 256;

/// How writes are made.
#[derive(Debug, Clone)]
pub(crate) struct WriterConfig {
    /// Requests that may wait for the store; one more is refused.
    pub(crate) queue: usize,
    /// Replicas that must have a write before it is acknowledged, as far as the cluster has replicas that are alive.
    pub(crate) replicas: usize,
}

/// Takes changes, applies them in batches, and says what became of each.
///
/// Each bucket has a queue. Each master has a lane: a task with a connection of its own, which takes what waits for the buckets of
/// this master, sends one script call per bucket and one WAIT in one go, and takes again when the answers are there; so batches grow with the
/// load. A batch whose answer is lost is sent again with its number, to whoever is the master then, and is applied once.
#[derive(Clone)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// Distinguishes this process's batches from those of others.
    name: String,
    config: WriterConfig,
    seeds: Vec<String>,
    metrics: Metrics,
    state: Mutex<State>,
    pending: AtomicUsize,
    pub(super) outdated: Notify,
}

struct State {
    buckets: Vec<Bucket>,
    lanes: Vec<Arc<Lane>>,
}

#[derive(Default)]
struct Bucket {
    waiting: VecDeque<Job>,
    /// Sent, and not known to be applied and replicated.
    unsettled: Option<Batch>,
    busy: bool,
    next: u64,
    owner: Option<Arc<Lane>>,
}

pub(super) struct Lane {
    pub(super) address: String,
    replicas: AtomicUsize,
    wake: Notify,
    pub(super) retired: AtomicBool,
}

struct Job {
    op: Op,
    done: oneshot::Sender<Result<Outcome, StoreError>>,
    _permit: Permit,
}

/// A batch that a lane has in hand.
pub(super) struct Batch {
    pub(super) bucket: usize,
    pub(super) number: u64,
    pub(super) encoded: Encoded,
    jobs: Vec<Job>,
}

/// A place in the queue.
struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Writer {
    /// Starts writing to a cluster; its tasks end when the last clone is dropped.
    pub(crate) fn start(seeds: Vec<String>, config: WriterConfig, metrics: Metrics) -> Writer {
        let shared = Arc::new(Shared {
            name: format!("{:016x}", rand::random::<u64>()),
            config,
            seeds,
            metrics,
            state: Mutex::new(State {
                buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
                lanes: Vec::new(),
            }),
            pending: AtomicUsize::new(0),
            outdated: Notify::new(),
        });
        tokio::spawn(keep_map(Arc::downgrade(&shared)));
        Writer { shared }
    }

    /// Does something to a device, acknowledged as the configuration asks. Dropping the future before it is sent takes it back.
    pub(crate) async fn submit(&self, op: Op) -> Result<Outcome, StoreError> {
        let shared = &self.shared;
        let permit = Permit(Arc::clone(shared));
        if shared.pending.fetch_add(1, Ordering::AcqRel) >= shared.config.queue {
            return Err(StoreError::Full);
        }
        let (done, outcome) = oneshot::channel();
        let bucket = op.uid().bucket();
        let owner = {
            let mut state = shared.state();
            state.buckets[bucket].waiting.push_back(Job {
                op,
                done,
                _permit: permit,
            });
            state.buckets[bucket].owner.clone()
        };
        match owner {
            Some(lane) => lane.wake.notify_one(),
            None => shared.outdated.notify_one(),
        }
        outcome.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Who serves a bucket, as far as is known.
    pub(super) fn master_of(&self, bucket: usize) -> Option<String> {
        self.shared.state().buckets[bucket]
            .owner
            .as_ref()
            .map(|lane| lane.address.clone())
    }

    /// Who serves any.
    pub(super) fn masters(&self) -> Vec<String> {
        self.shared
            .state()
            .lanes
            .iter()
            .map(|lane| lane.address.clone())
            .collect()
    }

    /// Somebody has found that a master is none.
    pub(super) fn map_is_outdated(&self) {
        self.shared.outdated.notify_one();
    }

    /// Requests that wait or are under way.
    pub(crate) fn pending(&self) -> usize {
        self.shared.pending.load(Ordering::Acquire)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Replicas to wait for on this lane.
    pub(super) fn replicas_wanted(&self, lane: &Lane) -> usize {
        self.config.replicas.min(lane.replicas.load(Ordering::Acquire))
    }

    /// What is to be sent next on this lane, at most one batch of each of its buckets.
    pub(super) fn batches_for(&self, lane: &Arc<Lane>) -> Vec<Batch> {
        let mut taken = Vec::new();
        let mut state = self.state();
        for (number, bucket) in state.buckets.iter_mut().enumerate() {
            let ours = bucket
                .owner
                .as_ref()
                .is_some_and(|owner| Arc::ptr_eq(owner, lane));
            if ours
                && !bucket.busy
                && let Some(batch) = bucket.take(number, &self.name)
            {
                bucket.busy = true;
                taken.push(batch);
            }
        }
        taken
    }

    /// The bucket may have another owner by now, who has been waiting for it.
    fn free(&self, bucket: usize) {
        let owner = {
            let mut state = self.state();
            let bucket = &mut state.buckets[bucket];
            bucket.busy = false;
            if bucket.waiting.is_empty() {
                None
            } else {
                bucket.owner.clone()
            }
        };
        if let Some(lane) = owner {
            lane.wake.notify_one();
        }
    }

    /// A batch is applied and replicated.
    pub(super) fn settled(&self, batch: Batch, outcomes: Vec<Outcome>) {
        self.free(batch.bucket);
        self.metrics.batch(batch.jobs.len());
        let mut outcomes = outcomes.into_iter();
        for job in batch.jobs {
            // Whoever asked may have gone.
            let _ = job.done.send(Ok(outcomes.next().unwrap_or(Outcome::Nonsense)));
        }
    }

    /// Redis refuses the batch for a reason that trying again does not mend.
    pub(super) fn refused(&self, batch: Batch, reason: &str) {
        self.free(batch.bucket);
        for job in batch.jobs {
            let _ = job.done.send(Err(StoreError::Refused(reason.to_owned())));
        }
    }

    /// Nobody knows whether a batch is applied: it goes to the bucket's owner again, and the map is asked for anew.
    pub(super) fn unsettled(&self, batch: Batch) {
        self.metrics.retries.inc();
        let owner = {
            let mut state = self.state();
            let bucket = &mut state.buckets[batch.bucket];
            bucket.busy = false;
            let owner = bucket.owner.clone();
            bucket.unsettled = Some(batch);
            owner
        };
        self.outdated.notify_one();
        if let Some(lane) = owner {
            lane.wake.notify_one();
        }
    }

    /// Takes over a new map; new lanes are returned to be started.
    fn adopt(&self, map: &Map) -> Vec<Arc<Lane>> {
        let mut state = self.state();
        let mut started = Vec::new();
        for (bucket, master) in map.iter().enumerate() {
            let Some(master) = master else {
                state.buckets[bucket].owner = None;
                continue;
            };
            let known = state
                .lanes
                .iter()
                .find(|lane| lane.address == master.address)
                .cloned();
            let lane = known.unwrap_or_else(|| {
                let lane = Arc::new(Lane {
                    address: master.address.clone(),
                    replicas: AtomicUsize::new(0),
                    wake: Notify::new(),
                    retired: AtomicBool::new(false),
                });
                state.lanes.push(Arc::clone(&lane));
                started.push(Arc::clone(&lane));
                lane
            });
            lane.replicas.store(master.replicas, Ordering::Release);
            state.buckets[bucket].owner = Some(lane);
        }
        let State { buckets, lanes } = &mut *state;
        lanes.retain(|lane| {
            let used = buckets.iter().any(|bucket| {
                bucket
                    .owner
                    .as_ref()
                    .is_some_and(|owner| Arc::ptr_eq(owner, lane))
            });
            lane.retired.store(!used, Ordering::Release);
            used
        });
        drop(state);
        // Also those that have been retired look up, and end.
        let lanes: Vec<_> = self.state().lanes.clone();
        for lane in lanes {
            lane.wake.notify_one();
        }
        started
    }
}

impl Bucket {
    /// The batch that is to be sent next. Of those that have not been sent, the ones that nobody waits for any more are dropped.
    fn take(&mut self, number: usize, writer: &str) -> Option<Batch> {
        // One that nobody waits for any more, applied or not, was never acknowledged: it is dropped.
        if let Some(batch) = self.unsettled.take()
            && batch.jobs.iter().any(|job| !job.done.is_closed())
        {
            return Some(batch);
        }
        let mut jobs = Vec::new();
        while jobs.len() < MAX_BATCH
            && let Some(job) = self.waiting.pop_front()
        {
            if !job.done.is_closed() {
                jobs.push(job);
            }
        }
        if jobs.is_empty() {
            return None;
        }
        self.next += 1;
        let ops: Vec<&Op> = jobs.iter().map(|job| &job.op).collect();
        Some(Batch {
            bucket: number,
            number: self.next,
            encoded: encode(number, writer, &ops),
            jobs,
        })
    }
}

impl Lane {
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Keeps the map of masters current: asked for at the start, when something fails, and now and then, because replicas come and go.
async fn keep_map(shared: std::sync::Weak<Shared>) {
    let mut asked = 0;
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let known: Vec<String> = strong
            .state()
            .lanes
            .iter()
            .map(|lane| lane.address.clone())
            .collect();
        let nodes: Vec<&String> = known.iter().chain(&strong.seeds).collect();
        asked += 1;
        // Each time another one: a node that is cut off from the others has an old map.
        let answer = match nodes.get(asked % nodes.len().max(1)) {
            Some(node) => slots::ask(node).await,
            None => return,
        };
        let complete = match answer {
            Ok(map) => {
                for lane in strong.adopt(&map) {
                    tokio::spawn(super::lane::run(Arc::downgrade(&strong), lane));
                }
                map.iter().all(Option::is_some)
            }
            Err(e) => {
                tracing::debug!("a node does not say who serves what: {e}");
                false
            }
        };
        if !complete {
            drop(strong);
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let outdated = async {
            strong.outdated.notified().await;
            // During a fail-over there is nothing new for a while.
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), outdated).await;
    }
}
