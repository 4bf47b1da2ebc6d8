//! Keyed work queues: a key is worked on by one worker at a time, repeated additions coalesce, failures back off.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::Error;

/// What a worker's step returns: when to look again, if at all.
pub(crate) type Outcome = Result<Option<Duration>, Error>;

/// See the module's documentation.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Notify,
    /// What a key waits after its first failure, and at most.
    pauses: (Duration, Duration),
}

/// As upstream's default controller rate limiter, but capped lower since one machine has no herd.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(5 << 13));

struct State<T> {
    ready: VecDeque<T>,
    queued: HashSet<T>,
    running: HashSet<T>,
    failures: HashMap<T, u32>,
    delayed: HashMap<T, (Instant, AbortHandle)>,
}

impl<T: Clone + Eq + Hash + Debug + Send + 'static> Queue<T> {
    pub fn new() -> Arc<Self> {
        Self::pausing(PAUSES)
    }

    /// One whose keys wait as long as the first of `pauses` after a failure, then twice as long each time, at most the second. Who only
    /// came too late with a write does not wait longer than elsewhere.
    pub fn pausing(pauses: (Duration, Duration)) -> Arc<Self> {
        Arc::new(Self {
            pauses,
            state: Mutex::new(State {
                ready: VecDeque::new(),
                queued: HashSet::new(),
                running: HashSet::new(),
                failures: HashMap::new(),
                delayed: HashMap::new(),
            }),
            wake: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key; while it is being worked on it is kept for afterwards.
    pub fn add(&self, key: T) {
        let mut state = self.lock();
        if !state.queued.insert(key.clone()) {
            return;
        }
        if !state.running.contains(&key) {
            state.ready.push_back(key);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Adds a key after a delay; of several delays the earliest counts.
    pub fn add_after(self: &Arc<Self>, key: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        let mut state = self.lock();
        if let Some((earlier, handle)) = state.delayed.get(&key) {
            if *earlier <= at {
                return;
            }
            handle.abort();
        }
        let queue = Arc::downgrade(self);
        let delayed = key.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(queue) = queue.upgrade() {
                queue.lock().delayed.remove(&delayed);
                queue.add(delayed);
            }
        });
        state.delayed.insert(key, (at, task.abort_handle()));
    }

    /// The next key; it must be handed back by `done`.
    async fn next(&self) -> T {
        loop {
            let notified = self.wake.notified();
            {
                let mut state = self.lock();
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.running.insert(key.clone());
                    let more = !state.ready.is_empty();
                    drop(state);
                    if more {
                        self.wake.notify_one();
                    }
                    return key;
                }
            }
            notified.await;
        }
    }

    fn done(self: &Arc<Self>, key: T, outcome: Outcome) {
        let delay = {
            let mut state = self.lock();
            state.running.remove(&key);
            if state.queued.contains(&key) {
                state.ready.push_back(key.clone());
                self.wake.notify_one();
            }
            match outcome {
                Ok(after) => {
                    state.failures.remove(&key);
                    after
                }
                Err(error) => {
                    let failures = state.failures.entry(key.clone()).or_insert(0);
                    *failures = failures.saturating_add(1);
                    let (first, most) = if error.is_conflict() { PAUSES } else { self.pauses };
                    Some(first.saturating_mul(1 << (*failures - 1).min(13)).min(most))
                }
            }
        };
        if let Some(delay) = delay {
            self.add_after(key, delay);
        }
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (_, handle) in state.delayed.values() {
            handle.abort();
        }
    }
}

/// Starts `workers` tasks that run `step` for each key of the queue until the set is dropped.
pub(crate) fn run<T, F, Fut>(
    tasks: &mut JoinSet<()>,
    name: &'static str,
    queue: &Arc<Queue<T>>,
    workers: usize,
    step: F,
) where
    T: Clone + Eq + Hash + Debug + Send + Sync + 'static,
    F: Fn(T) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    for _ in 0..workers {
        let queue = Arc::clone(queue);
        let step = step.clone();
        tasks.spawn(async move {
            loop {
                let key = queue.next().await;
                // A bug in one controller must not end it for all other objects.
                let outcome = match AssertUnwindSafe(step(key.clone())).catch_unwind().await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Error::Panicked),
                };
                match &outcome {
                    Err(error) if error.is_conflict() => {
                        tracing::debug!(controller = name, ?key, %error, "again");
                    }
                    Err(error) => tracing::warn!(controller = name, ?key, %error, "sync failed"),
                    Ok(_) => {}
                }
                queue.done(key, outcome);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn coalesces_and_keeps_a_key_single() {
        let queue = Queue::new();
        queue.add(1);
        queue.add(1);
        let key = queue.next().await;
        queue.add(1);
        assert!(
            queue.next().now_or_never().is_none(),
            "the key is being worked on"
        );
        queue.done(key, Ok(None));
        assert_eq!(queue.next().await, 1);
        queue.done(1, Ok(None));
        assert!(queue.next().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_panics_do_not_kill() {
        let queue = Queue::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&runs);
        run(&mut tasks, "test", &queue, 2, move |_: u8| {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run != 0, "first run panics");
                if run < 3 { Err(Error::Panicked) } else { Ok(None) }
            }
        });
        queue.add(7);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn earliest_delay_counts() {
        let queue = Queue::new();
        queue.add_after(1, Duration::from_secs(50));
        queue.add_after(1, Duration::from_secs(5));
        queue.add_after(1, Duration::from_secs(20));
        let start = Instant::now();
        assert_eq!(queue.next().await, 1);
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(1, Ok(None));
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(queue.next().now_or_never().is_none());
    }
}
