//! Watchers: who wants to hear of which keys, and the stream each of them reads.
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::Stream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{error::Gone, object::Event, store::Shared};

/// All watchers, those of one prefix together, so that a write looks at each prefix once.
#[derive(Default)]
pub(crate) struct Watchers {
    groups: HashMap<Box<str>, HashMap<u64, Line>>,
    next: u64,
}

/// The sending end of one watch. Its queue is bounded by `waiting`: a channel of fixed size would take its memory up front.
struct Line {
    events: UnboundedSender<Arc<Event>>,
    waiting: Arc<Waiting>,
}

/// What is in a watch's queue.
#[derive(Default)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// How far a watch may fall behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Watchers {
    /// Hand an event to everyone it concerns. A watcher that is too far behind is cut off and will see `Gone`.
    pub(crate) fn publish(&mut self, event: &Arc<Event>, backlog: Backlog) {
        let bytes = event.object.weight;
        for (prefix, group) in &mut self.groups {
            if !event.object.key.starts_with(&**prefix) {
                continue;
            }
            group.retain(|_, line| {
                let behind = line.waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
                line.waiting.events.fetch_add(1, Ordering::Relaxed) < backlog.events
                    // One event is always taken, however large.
                    && (behind == 0 || behind + bytes <= backlog.bytes)
                    && line.events.send(event.clone()).is_ok()
            });
        }
    }
}

/// Every event on the keys with a prefix, in order, without a gap: a [`Stream`] that ends only after [`Gone`] or when
/// the store is closed.
pub struct Watch {
    shared: Arc<Shared>,
    prefix: Box<str>,
    id: u64,
    past: VecDeque<Arc<Event>>,
    events: UnboundedReceiver<Arc<Event>>,
    waiting: Arc<Waiting>,
    /// Everything up to here was delivered.
    position: u64,
    over: bool,
}

impl Watch {
    /// Start watching; the caller holds the watchers' lock, under which writes are published, so nothing falls between
    /// the past and the future.
    pub(crate) fn start(
        shared: Arc<Shared>,
        watchers: &Mutex<Watchers>,
        prefix: &str,
        after: u64,
    ) -> Result<Self, Gone> {
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let past = {
            let memory = shared.read();
            memory
                .since(after)?
                .filter(|e| e.object.key.starts_with(prefix))
                .cloned()
                .collect()
        };
        let (sender, events) = unbounded_channel();
        let waiting = Arc::<Waiting>::default();
        watchers.next += 1;
        let id = watchers.next;
        let line = Line {
            events: sender,
            waiting: waiting.clone(),
        };
        watchers.groups.entry(prefix.into()).or_default().insert(id, line);
        drop(watchers);
        Ok(Self {
            shared,
            prefix: prefix.into(),
            id,
            past,
            events,
            waiting,
            position: after,
            over: false,
        })
    }

    /// The next event; `None` once the watch is over.
    pub async fn next(&mut self) -> Option<Result<Arc<Event>, Gone>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// A revision up to which this watch has delivered everything, when nothing is waiting right now: what a bookmark
    /// may carry.
    pub fn caught_up(&self) -> Option<u64> {
        // Read first: what was published up to here is already in the queue, or was taken from it.
        let published = self.shared.published();
        (self.past.is_empty() && self.events.is_empty() && !self.events.is_closed())
            .then_some(published.max(self.position))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Arc<Event>, Gone>>> {
        if self.over {
            return Poll::Ready(None);
        }
        loop {
            let event = match self.past.pop_front() {
                Some(event) => Some(event),
                None => {
                    let next = ready!(self.events.poll_recv(context));
                    if let Some(event) = &next {
                        let waiting = &self.waiting;
                        waiting.events.fetch_sub(1, Ordering::Relaxed);
                        waiting.bytes.fetch_sub(event.object.weight, Ordering::Relaxed);
                    }
                    next
                }
            };
            return Poll::Ready(match event {
                // A watch may start in the future; what comes before its start is not for it.
                Some(event) if event.revision <= self.position => continue,
                Some(event) => {
                    self.position = event.revision;
                    Some(Ok(event))
                }
                None => {
                    self.over = true;
                    let oldest = self.shared.read().oldest().max(self.position + 1);
                    self.shared.is_open().then_some(Err(Gone {
                        requested: self.position,
                        oldest,
                    }))
                }
            });
        }
    }
}

impl Stream for Watch {
    type Item = Result<Arc<Event>, Gone>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watchers = self
            .shared
            .watchers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = watchers.groups.get_mut(&self.prefix) {
            group.remove(&self.id);
            if group.is_empty() {
                watchers.groups.remove(&self.prefix);
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("prefix", &self.prefix)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
