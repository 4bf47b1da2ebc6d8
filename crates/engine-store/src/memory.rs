//! The objects and the recent events, as of the last durable write.
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::{
    error::Gone,
    object::{Event, EventKind, Stored},
};

/// Everything readers see. Changed by the writer only, one durable batch at a time.
pub(crate) struct Memory {
    objects: BTreeMap<Arc<str>, Arc<Stored>>,
    revision: u64,
    /// Events with consecutive revisions, the last being `revision` (empty right after a snapshot was read).
    events: VecDeque<Arc<Event>>,
    events_bytes: usize,
    limit: usize,
    limit_bytes: usize,
}

impl Memory {
    pub(crate) fn new(limit: usize, limit_bytes: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            revision: 0,
            events: VecDeque::new(),
            events_bytes: 0,
            limit,
            limit_bytes,
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.objects.values()
    }

    /// Every version that is held: the objects, and what the recent events tell of.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Arc<Stored>> {
        let told = self.events.iter();
        self.objects.values().chain(told.flat_map(|event| {
            [Some(&event.object), event.previous.as_ref()]
                .into_iter()
                .flatten()
        }))
    }

    /// Take an object from a snapshot; no event comes of it.
    pub(crate) fn load(&mut self, object: Arc<Stored>) {
        self.objects.insert(object.key.clone(), object);
    }

    pub(crate) fn loaded(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// The next event in order.
    pub(crate) fn apply(&mut self, event: Arc<Event>) {
        debug_assert_eq!(event.revision, self.revision + 1);
        self.revision = event.revision;
        if event.kind == EventKind::Deleted {
            self.objects.remove(&event.object.key);
        } else {
            self.objects
                .insert(event.object.key.clone(), event.object.clone());
        }
        self.events_bytes += event.object.weight;
        self.events.push_back(event);
        while self.events.len() > self.limit.max(1)
            || (self.events_bytes > self.limit_bytes && self.events.len() > 1)
        {
            if let Some(event) = self.events.pop_front() {
                self.events_bytes -= event.object.weight;
            }
        }
    }

    /// Keys that start with `prefix`, in order.
    pub(crate) fn list(&self, prefix: &str) -> Vec<Arc<Stored>> {
        self.range(prefix).cloned().collect()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.range(prefix).count()
    }

    pub(crate) fn has(&self, prefix: &str, least: usize) -> bool {
        self.range(prefix).take(least).count() == least
    }

    fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<Stored>> {
        self.objects
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, object)| object)
    }

    /// What `list` gave at an earlier revision: the newer events are undone.
    pub(crate) fn list_at(&self, prefix: &str, revision: u64) -> Result<Vec<Arc<Stored>>, Gone> {
        let mut changed: BTreeMap<&str, Option<&Arc<Stored>>> = BTreeMap::new();
        for event in self.since(revision)? {
            let key: &str = &event.object.key;
            if key.starts_with(prefix) {
                changed.entry(key).or_insert(event.previous.as_ref());
            }
        }
        if changed.is_empty() {
            return Ok(self.list(prefix));
        }
        let mut objects: BTreeMap<&str, &Arc<Stored>> = self.range(prefix).map(|o| (&*o.key, o)).collect();
        for (key, before) in changed {
            match before {
                Some(object) => objects.insert(key, object),
                None => objects.remove(key),
            };
        }
        Ok(objects.into_values().cloned().collect())
    }

    /// The oldest revision after which every event is at hand.
    pub(crate) fn oldest(&self) -> u64 {
        self.events
            .front()
            .map_or(self.revision, |event| event.revision - 1)
    }

    /// The events after `revision`, oldest first.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<Event>>, Gone> {
        let oldest = self.oldest();
        if revision < oldest {
            return Err(Gone {
                requested: revision,
                oldest,
            });
        }
        let skip = usize::try_from(revision - oldest)
            .unwrap_or(usize::MAX)
            .min(self.events.len());
        Ok(self.events.range(skip..))
    }
}
