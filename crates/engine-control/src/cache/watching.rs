//! Keeping a cache current: a list, then a watch from where the list ended, and again when that breaks.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::ObjectList;
use tokio::task::JoinSet;

use super::{Cache, Kind};
use crate::Error;
use crate::meta::{Key, Meta};

impl<K: Kind> Cache<K> {
    /// Keeps the cache current until the tasks end.
    pub fn start(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        let cache = Arc::clone(self);
        tasks.spawn(async move {
            let mut failures = 0_u32;
            loop {
                match cache.list_and_watch(&mut failures).await {
                    Ok(()) => {}
                    Err(error) => {
                        let kind = K::plural(&cache.kind);
                        if error.code() == Some(404) {
                            tracing::warn!(%kind, "the API server does not serve this kind");
                            cache.synced.send_replace(true);
                        } else {
                            tracing::warn!(%kind, %error, "watch failed");
                        }
                        failures = failures.saturating_add(1);
                    }
                }
                if failures > 0 {
                    tokio::time::sleep(Duration::from_millis(20_u64 << failures.min(11))).await;
                }
            }
        });
    }

    async fn list_and_watch(&self, failures: &mut u32) -> Result<(), Error> {
        let lp = ListParams {
            field_selector: self.fields.clone(),
            ..ListParams::default()
        };
        let request = self.request(None).list(&lp).map_err(Error::request)?;
        let list: ObjectList<K> = self.client.request(request).await?;
        let version = list.metadata.resource_version.clone().unwrap_or_default();
        self.replace_all(list.items, version.parse().unwrap_or(0));
        self.synced.send_replace(true);
        *failures = 0;
        let mut version = version;
        let wp = WatchParams {
            field_selector: self.fields.clone(),
            bookmarks: true,
            ..WatchParams::default()
        };
        loop {
            let request = self.request(None).watch(&wp, &version).map_err(Error::request)?;
            let events = self.client.request_events::<K>(request).await;
            let mut events = match events {
                Ok(events) => events.boxed(),
                Err(kube::Error::Api(status)) if status.code == 410 => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut quiet = true;
            loop {
                let event = match events.try_next().await {
                    Ok(Some(event)) => event,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "watch broken");
                        break;
                    }
                };
                quiet = false;
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        version = object.meta().resource_version.clone().unwrap_or(version);
                        self.upsert(object, true);
                    }
                    WatchEvent::Deleted(object) => {
                        version = object.meta().resource_version.clone().unwrap_or(version);
                        self.remove(&object.key(), object.uid(), object.rv(), true);
                    }
                    WatchEvent::Bookmark(mark) => {
                        if let Ok(rv) = mark.metadata.resource_version.parse::<u64>() {
                            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
                            state.seen = state.seen.max(rv);
                        }
                        version = mark.metadata.resource_version;
                    }
                    WatchEvent::Error(status) => {
                        tracing::debug!(?status, "watch ended with an error");
                        return Ok(()); // mostly 410: list again
                    }
                }
            }
            if quiet {
                // A server that ends watches at once must not be asked in a tight loop.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn replace_all(&self, items: Vec<K>, version: u64) {
        let present: HashSet<String> = items.iter().map(|o| o.uid().to_owned()).collect();
        let gone: Vec<(Key, String)> = self.read(|s| {
            s.objects
                .iter()
                .filter(|(_, o)| !present.contains(o.uid()) && o.rv() <= version)
                .map(|(k, o)| (k.clone(), o.uid().to_owned()))
                .collect()
        });
        for (key, uid) in gone {
            self.remove(&key, &uid, version, true);
        }
        for object in items {
            self.upsert(object, true);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = state.seen.max(version);
        state.tombstones.clear();
    }
}
