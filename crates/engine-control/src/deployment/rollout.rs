//! Moving replicas from the old sets to the new one (rolling.go, recreate.go).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::arithmetic::{max_unavailable, new_set_size};
use super::{Step, available_of, replicas_of, total};
use crate::Error;
use crate::meta::Meta;
use crate::pods;

impl Step {
    pub(super) async fn roll(&mut self) -> Result<(), Error> {
        self.find_or_create(true).await?;
        let Some(new) = self.new.clone() else {
            return Ok(());
        };
        let size = if replicas_of(&new) >= self.replicas() {
            self.replicas()
        } else {
            new_set_size(&self.spec, total(&self.all_sets()), replicas_of(&new))
        };
        if self.resize(&new, size).await? {
            return Ok(());
        }
        for (name, size) in shrink_old(&self.old, &new, self.replicas(), max_unavailable(&self.spec)) {
            if let Some(set) = self.old.iter().find(|s| s.name() == name).cloned() {
                self.resize(&set, size).await?;
            }
        }
        if self.is_complete(&self.counted()) {
            self.clean_up().await?;
        }
        Ok(())
    }

    pub(super) async fn recreate(&mut self) -> Result<(), Error> {
        self.find_or_create(false).await?;
        let mut shrunk = false;
        for set in self.old.clone() {
            shrunk |= self.resize(&set, 0).await?;
        }
        if shrunk || self.old_pods_live() {
            return Ok(());
        }
        if self.new.is_none() {
            self.find_or_create(true).await?;
        }
        if let Some(new) = self.new.clone() {
            self.resize(&new, self.replicas()).await?;
        }
        if self.is_complete(&self.counted()) {
            self.clean_up().await?;
        }
        Ok(())
    }

    fn old_pods_live(&self) -> bool {
        self.old.iter().any(|set| {
            let told = set.status.as_ref().is_some_and(|s| s.replicas > 0);
            told || self
                .context
                .pods
                .controlled(set.uid())
                .iter()
                .any(|p| !pods::is_terminal(p))
        })
    }
}

/// How far the old sets may shrink now: first what is unhealthy anyway, then as much as keeps enough available.
fn shrink_old(
    old: &[Arc<ReplicaSet>],
    new: &ReplicaSet,
    wanted: i32,
    max_unavailable: i32,
) -> Vec<(String, i32)> {
    let mut sizes: Vec<(&ReplicaSet, i32)> = old
        .iter()
        .map(|s| (&**s, replicas_of(s)))
        .filter(|(_, r)| *r > 0)
        .collect();
    let all = sizes.iter().map(|(_, r)| r).sum::<i32>() + replicas_of(new);
    let min_available = wanted - max_unavailable;
    let new_unavailable = replicas_of(new) - available_of(new);
    let most = all - min_available - new_unavailable;
    if most <= 0 {
        return Vec::new();
    }
    let mut cleaned = 0;
    for (set, size) in &mut sizes {
        let unhealthy = *size - available_of(set);
        let by = unhealthy.min(most - cleaned).max(0);
        *size -= by;
        cleaned += by;
    }
    // A set that was just made smaller still tells of pods that go.
    let staying = |set: &ReplicaSet| available_of(set).min(replicas_of(set));
    let available = sizes.iter().map(|(s, _)| staying(s)).sum::<i32>() + staying(new);
    let mut spare = available - min_available;
    for (_, size) in &mut sizes {
        let by = (*size).min(spare).max(0);
        *size -= by;
        spare -= by;
    }
    sizes
        .into_iter()
        .filter(|(s, size)| *size != replicas_of(s))
        .map(|(s, size)| (s.name().to_owned(), size))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::{ReplicaSetSpec, ReplicaSetStatus};

    fn set(name: &str, replicas: i32, available: i32) -> Arc<ReplicaSet> {
        let mut set = ReplicaSet::default();
        set.metadata.name = Some(name.into());
        set.spec = Some(ReplicaSetSpec {
            replicas: Some(replicas),
            ..Default::default()
        });
        set.status = Some(ReplicaSetStatus {
            available_replicas: Some(available),
            replicas,
            ..Default::default()
        });
        Arc::new(set)
    }

    #[test]
    fn old_shrinks_only_as_the_new_becomes_available() {
        assert!(shrink_old(&[set("o", 3, 3)], &set("n", 1, 0), 3, 0).is_empty());
        assert_eq!(
            shrink_old(&[set("o", 3, 3)], &set("n", 1, 1), 3, 0),
            [("o".to_owned(), 2)]
        );
        assert_eq!(
            shrink_old(&[set("o", 3, 3)], &set("n", 0, 0), 3, 2),
            [("o".to_owned(), 1)]
        );
    }

    #[test]
    fn pods_that_go_already_are_not_counted_on() {
        // Eight are told to be available of a set that is to have five.
        let sizes = shrink_old(&[set("o", 5, 8)], &set("n", 3, 0), 5, 2);
        assert_eq!(sizes, [("o".to_owned(), 3)]);
    }

    #[test]
    fn unhealthy_old_go_first() {
        // 4 wanted, 1 may be missing; the unhealthy one of `b` is removed although `a` is older.
        let sizes = shrink_old(&[set("a", 2, 2), set("b", 2, 1)], &set("n", 1, 1), 4, 1);
        assert_eq!(sizes, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    }
}
