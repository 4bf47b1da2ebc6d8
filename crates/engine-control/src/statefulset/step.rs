//! What comes next: one pod after the other, up from the lowest ordinal, down from the highest
//! (stateful_set_control.go).

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{COMPONENT, Step, identity};
use crate::Error;
use crate::meta::Meta;
use crate::pods;
use crate::revision::{HASH_LABEL, template_of};

fn is_healthy(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod) && !pod.deleting()
}

impl Step {
    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn at(&self, ordinal: i32) -> Option<Arc<Pod>> {
        self.pods
            .iter()
            .find(|p| identity::ordinal(self.set.name(), p.name()) == Some(ordinal))
            .cloned()
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_available(pod, self.min_ready(), self.now)
    }

    pub(super) async fn act(&mut self) -> Result<(), Error> {
        if self.fill().await? || self.shrink().await? || !self.is_rolling() {
            return Ok(());
        }
        self.roll().await
    }

    /// Makes and heals the pods that should be: one after the other, or in batches of 1, 2, 4 …, of which one that fails is the last
    /// (runForAll). Returns whether the rest has to wait.
    async fn fill(&mut self) -> Result<bool, Error> {
        let first = self.start_ordinal();
        let (mut size, mut end) = (1, first + 1);
        let mut failure = None;
        for ordinal in first..first + self.replicas() {
            if self.is_ordered() {
                if self.fill_one(ordinal).await? {
                    return Ok(true);
                }
                continue;
            }
            if ordinal == end {
                if failure.is_some() {
                    break;
                }
                size *= 2;
                end += size;
            }
            failure = self.fill_one(ordinal).await.err().or(failure);
        }
        failure.map_or(Ok(false), Err)
    }

    /// Whether those above have to wait for this one (processReplica).
    async fn fill_one(&mut self, ordinal: i32) -> Result<bool, Error> {
        let Some(pod) = self.at(ordinal) else {
            if self.has_stale_claim(ordinal) {
                return Err(Error::Invalid(format!(
                    "a claim of ordinal {ordinal} has still to go"
                )));
            }
            self.create(ordinal).await?;
            return Ok(true);
        };
        if pods::is_terminal(&pod) {
            if !pod.deleting() {
                self.delete(&pod).await?;
            }
            return Ok(true);
        }
        if pods::phase(&pod) == "Pending" {
            self.create_claims(ordinal).await?;
            self.settle_or_tell(&pod).await?;
        }
        let waiting = pod.deleting() || !pods::is_ready(&pod) || !self.is_available(&pod);
        if waiting && self.is_ordered() {
            return Ok(true);
        }
        self.heal(&pod, ordinal).await?;
        Ok(false)
    }

    /// Gives a pod, which may have been adopted, the labels and volumes of its ordinal, and its claims their owners
    /// (UpdateStatefulPod).
    async fn heal(&mut self, pod: &Arc<Pod>, ordinal: i32) -> Result<(), Error> {
        let mut healed = (**pod).clone();
        if !identity::has_name(pod) {
            identity::name(&self.set, &mut healed, ordinal);
        }
        let storage = identity::has_storage(&self.set, pod, ordinal);
        if !storage {
            identity::store(&self.set, &mut healed, ordinal);
        }
        if healed == **pod && self.claims_fit(pod) {
            return Ok(());
        }
        let done = async {
            if !storage {
                self.create_claims(ordinal).await?;
            }
            self.settle_claims(pod).await?;
            self.context.pods.update(pod, &healed).await
        };
        match done.await {
            Ok(updated) => {
                self.tell("Update", pod.name(), None);
                if let Some(updated) = updated
                    && let Some(known) = self.pods.iter_mut().find(|p| p.uid() == updated.uid())
                {
                    *known = updated;
                }
                Ok(())
            }
            Err(error) => {
                if !error.is_conflict() {
                    self.tell("Update", pod.name(), Some(&error));
                }
                Err(error)
            }
        }
    }

    /// What was done to a pod, or why it was not (recordPodEvent).
    fn tell(&self, verb: &str, pod: &str, failure: Option<&Error>) {
        let what = format!("{verb} Pod {pod} in StatefulSet {}", self.set.name());
        let (events, set) = (&self.context.events, &*self.set);
        match failure {
            None => events.normal(
                COMPONENT,
                set,
                &format!("Successful{verb}"),
                format!("{what} successful"),
            ),
            Some(error) => events.warning(
                COMPONENT,
                set,
                &format!("Failed{verb}"),
                format!("{what} failed error: {}", error.message()),
            ),
        }
    }

    async fn settle_or_tell(&self, pod: &Pod) -> Result<(), Error> {
        let settled = self.settle_claims(pod).await;
        if let Err(error) = &settled
            && !error.is_conflict()
        {
            self.tell("Update", pod.name(), Some(error));
        }
        settled
    }

    async fn create(&mut self, ordinal: i32) -> Result<(), Error> {
        let old = self.is_rolling() && ordinal < self.start_ordinal() + self.partition();
        let revision = if old { &self.current } else { &self.update };
        let template = template_of(revision).unwrap_or_else(|| self.spec.template.clone());
        let pod = identity::pod(&self.set, &template, revision, ordinal);
        if let Err(error) = self.create_claims(ordinal).await {
            self.tell("Create", pod.name(), Some(&error));
            return Err(error);
        }
        match self.context.pods.create(&pod).await {
            Ok(made) => {
                self.settle_or_tell(&made).await?;
                self.tell("Create", pod.name(), None);
                self.pods.push(made);
                Ok(())
            }
            // The one before has gone from here, but not from there yet.
            Err(error) if error.is_exists() => Err(error),
            Err(error) if error.is_namespace_terminating() => Ok(()),
            Err(error) => {
                self.tell("Create", pod.name(), Some(&error));
                Err(error)
            }
        }
    }

    /// Makes the claims of an ordinal that are not there; those that are on their way out have to go first
    /// (createPersistentVolumeClaims).
    async fn create_claims(&self, ordinal: i32) -> Result<(), Error> {
        let (set, pod) = (self.set.name(), format!("{}-{ordinal}", self.set.name()));
        let mut failed = Vec::new();
        for claim in identity::claims(&self.set, ordinal) {
            let name = claim.name();
            if let Some(there) = self.context.claims.get(&claim.key()) {
                if there.deleting() {
                    failed.push(format!("pvc {name} is being deleted"));
                }
                continue;
            }
            match self.context.claims.create(&claim).await {
                Ok(_) => {
                    let message = format!("Create Claim {name} Pod {pod} in StatefulSet {set} success");
                    self.context
                        .events
                        .normal(COMPONENT, &*self.set, "SuccessfulCreate", message);
                }
                Err(error) if error.is_exists() => {}
                Err(error) if error.is_namespace_terminating() => return Ok(()),
                Err(error) => {
                    let why = error.message();
                    let message =
                        format!("Create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {why}");
                    self.context
                        .events
                        .warning(COMPONENT, &*self.set, "FailedCreate", message);
                    failed.push(format!("failed to create PVC {name}: {why}"));
                }
            }
        }
        match failed.as_slice() {
            [] => Ok(()),
            [one] => Err(Error::Invalid(one.clone())),
            several => Err(Error::Invalid(format!("[{}]", several.join(", ")))),
        }
    }

    /// Removes the pods beyond the replicas, the highest first. Returns whether the rest has to wait.
    async fn shrink(&mut self) -> Result<bool, Error> {
        let range = self.start_ordinal()..self.start_ordinal() + self.replicas();
        let ordinal = |p: &Pod| identity::ordinal(self.set.name(), p.name()).unwrap_or(0);
        let mut condemned: Vec<Arc<Pod>> = self
            .pods
            .iter()
            .filter(|p| !range.contains(&ordinal(p)))
            .cloned()
            .collect();
        condemned.sort_by_key(|p| std::cmp::Reverse(ordinal(p)));
        for pod in &condemned {
            self.settle_claims(pod).await?;
        }
        let healthy = |p: &Pod| is_healthy(p) && self.is_available(p);
        let first_unhealthy = condemned
            .iter()
            .rfind(|p| !healthy(p))
            .map(|p| p.name().to_owned());
        let waits = |p: &Pod| !healthy(p) && first_unhealthy.as_deref() != Some(p.name());
        let waiting: Vec<bool> = condemned.iter().map(|p| waits(p)).collect();
        for (pod, waits) in condemned.into_iter().zip(waiting) {
            if pod.deleting() {
                if self.is_ordered() {
                    return Ok(true);
                }
                continue;
            }
            if self.is_ordered() && waits {
                return Ok(true);
            }
            self.delete(&pod).await?;
            if self.is_ordered() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Replaces one pod of an older revision, the highest first; what is above it has to be back before. maxUnavailable is behind
    /// a gate that is closed (MaxUnavailableStatefulSet).
    async fn roll(&mut self) -> Result<(), Error> {
        let first = self.start_ordinal();
        for ordinal in (first + self.partition()..first + self.replicas()).rev() {
            let Some(pod) = self.at(ordinal) else {
                return Ok(());
            };
            if pod.label(HASH_LABEL) != Some(self.update.name()) && !pod.deleting() {
                return self.delete(&pod).await;
            }
            if !is_healthy(&pod) || !self.is_available(&pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn delete(&mut self, pod: &Arc<Pod>) -> Result<(), Error> {
        match self.context.pods.delete(&**pod).await {
            Ok(()) => {
                self.tell("Delete", pod.name(), None);
                self.pods = self
                    .pods
                    .iter()
                    .filter_map(|p| self.context.pods.get(&p.key()).filter(|now| now.uid() == p.uid()))
                    .collect();
                Ok(())
            }
            Err(error) => {
                self.tell("Delete", pod.name(), Some(&error));
                Err(error)
            }
        }
    }
}
