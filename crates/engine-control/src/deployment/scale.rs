//! Resizing: one set, or all live sets in proportion (sync.go).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::arithmetic::{DESIRED, MAX, max_surge, proportion};
use super::{COMPONENT, Step, available_of, replicas_of, total};
use crate::Error;
use crate::meta::Meta;

impl Step {
    /// Whether a live set was sized for another number of replicas than the deployment asks for now.
    pub(super) fn is_scaling_event(&self) -> bool {
        self.all_sets().iter().filter(|s| replicas_of(s) > 0).any(|set| {
            set.annotation(DESIRED)
                .and_then(|d| d.parse::<i32>().ok())
                .is_some_and(|d| d != self.replicas())
        })
    }

    pub(super) async fn scale_all(&mut self) -> Result<(), Error> {
        let live: Vec<Arc<ReplicaSet>> = self
            .all_sets()
            .into_iter()
            .filter(|s| replicas_of(s) > 0)
            .collect();
        let single = match live.as_slice() {
            [] => self.new.clone().or_else(|| self.old.last().cloned()),
            [one] => Some(Arc::clone(one)),
            _ => None,
        };
        if live.len() < 2 {
            if let Some(set) = single {
                self.resize(&set, self.replicas()).await?;
            }
            return Ok(());
        }
        if self.new.as_ref().is_some_and(|new| self.is_saturated(new)) {
            for set in self.old.clone() {
                self.resize(&set, 0).await?;
            }
            return Ok(());
        }
        if self.is_recreate() {
            return Ok(());
        }
        let wanted = self.replicas();
        let allowed = if wanted > 0 {
            wanted + max_surge(&self.spec)
        } else {
            0
        };
        let to_add = allowed - total(&live);
        let mut by_size = live;
        by_size.sort_by(|a, b| {
            let age = if to_add > 0 {
                b.created().cmp(&a.created())
            } else {
                a.created().cmp(&b.created())
            };
            replicas_of(b).cmp(&replicas_of(a)).then(age)
        });
        let status_replicas = self
            .original
            .status
            .as_ref()
            .and_then(|s| s.replicas)
            .unwrap_or(0);
        let mut added = 0;
        let mut sizes = Vec::with_capacity(by_size.len());
        for set in &by_size {
            let by = proportion(set, &self.spec, status_replicas, to_add, added);
            added += by;
            sizes.push(replicas_of(set) + by);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (set, size) in by_size.iter().zip(sizes) {
            self.size(set, size).await?;
        }
        Ok(())
    }

    fn is_saturated(&self, set: &ReplicaSet) -> bool {
        let desired = set.annotation(DESIRED).and_then(|d| d.parse::<i32>().ok());
        replicas_of(set) == self.replicas()
            && desired == Some(self.replicas())
            && available_of(set) == self.replicas()
    }

    /// Sets a set's size, and with it what it was sized for; a set that has its size is left as it is. Returns whether it changed.
    pub(super) async fn resize(&mut self, set: &Arc<ReplicaSet>, size: i32) -> Result<bool, Error> {
        if replicas_of(set) == size {
            return Ok(false);
        }
        self.size(set, size).await
    }

    /// Sets a set's size, and what it was sized for (scaleReplicaSet).
    async fn size(&mut self, set: &Arc<ReplicaSet>, size: i32) -> Result<bool, Error> {
        let before = replicas_of(set);
        let mut resized = (**set).clone();
        resized.spec.get_or_insert_default().replicas = Some(size);
        let annotations = resized.metadata.annotations.get_or_insert_default();
        annotations.insert(DESIRED.into(), self.replicas().to_string());
        annotations.insert(MAX.into(), (self.replicas() + max_surge(&self.spec)).to_string());
        let Some(updated) = self.context.replica_sets.update(set, &resized).await? else {
            return Ok(false);
        };
        for known in self.old.iter_mut().chain(self.new.as_mut()) {
            if known.uid() == updated.uid() {
                *known = Arc::clone(&updated);
            }
        }
        if before == size {
            return Ok(false);
        }
        let direction = if size > before { "up" } else { "down" };
        let message = format!(
            "Scaled {direction} replica set {} from {before} to {size}",
            set.name()
        );
        self.context
            .events
            .normal(COMPONENT, &*self.original, "ScalingReplicaSet", message);
        Ok(true)
    }
}
