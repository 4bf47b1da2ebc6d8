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
        self.settle_retention().await?;
        if self.fill().await? || self.shrink().await? || !self.is_rolling() {
            return Ok(());
        }
        self.roll().await
    }

    /// Makes and heals the pods that should be. Returns whether the rest has to wait.
    async fn fill(&mut self) -> Result<bool, Error> {
        let first = self.start_ordinal();
        for ordinal in first..first + self.replicas() {
            let Some(pod) = self.at(ordinal) else {
                if self.has_stale_claim(ordinal) {
                    return Err(Error::Invalid(format!(
                        "a claim of ordinal {ordinal} has still to go"
                    )));
                }
                self.create(ordinal).await?;
                if self.is_ordered() {
                    return Ok(true);
                }
                continue;
            };
            if pods::is_terminal(&pod) {
                if !pod.deleting() {
                    self.delete(&pod).await?;
                }
                if self.is_ordered() {
                    return Ok(true);
                }
                continue;
            }
            if pods::phase(&pod) == "Pending" && !pod.deleting() {
                self.create_claims(ordinal).await?;
            }
            let waiting = pod.deleting() || !pods::is_ready(&pod) || !self.is_available(&pod);
            if waiting && self.is_ordered() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn create(&mut self, ordinal: i32) -> Result<(), Error> {
        let old = self.is_rolling() && ordinal < self.start_ordinal() + self.partition();
        let revision = if old { &self.current } else { &self.update };
        let template = template_of(revision).unwrap_or_else(|| self.spec.template.clone());
        let pod = identity::pod(&self.set, &template, revision, ordinal);
        self.create_claims(ordinal).await?;
        let set = self.set.name();
        match self.context.pods.create(&pod).await {
            Ok(made) => {
                let message = format!("Create Pod {} in StatefulSet {set} successful", pod.name());
                self.context
                    .events
                    .normal(COMPONENT, &*self.set, "SuccessfulCreate", message);
                self.pods.push(made);
                Ok(())
            }
            // The one before has gone from here, but not from there yet.
            Err(error) if error.is_exists() => Err(error),
            Err(error) if error.is_namespace_terminating() => Ok(()),
            Err(error) => {
                let message = format!(
                    "Create Pod {} in StatefulSet {set} failed error: {}",
                    pod.name(),
                    error.message()
                );
                self.context
                    .events
                    .warning(COMPONENT, &*self.set, "FailedCreate", message);
                Err(error)
            }
        }
    }

    async fn create_claims(&self, ordinal: i32) -> Result<(), Error> {
        let (set, pod) = (self.set.name(), format!("{}-{ordinal}", self.set.name()));
        for mut claim in identity::claims(&self.set, ordinal) {
            if self.context.claims.get(&claim.key()).is_some() {
                continue;
            }
            claim.metadata.owner_references = self.owner_of_new_claim();
            match self.context.claims.create(&claim).await {
                Ok(_) => {
                    let message = format!(
                        "Create Claim {} Pod {pod} in StatefulSet {set} success",
                        claim.name()
                    );
                    self.context
                        .events
                        .normal(COMPONENT, &*self.set, "SuccessfulCreate", message);
                }
                Err(error) if error.is_exists() => {}
                Err(error) if error.is_namespace_terminating() => return Ok(()),
                Err(error) => {
                    let message = format!(
                        "Create Claim {} for Pod {pod} in StatefulSet {set} failed error: {}",
                        claim.name(),
                        error.message()
                    );
                    self.context
                        .events
                        .warning(COMPONENT, &*self.set, "FailedCreate", message);
                    return Err(error);
                }
            }
        }
        Ok(())
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
        let first_unhealthy = condemned
            .iter()
            .rfind(|p| !is_healthy(p))
            .map(|p| p.name().to_owned());
        for pod in condemned {
            if pod.deleting() {
                if self.is_ordered() {
                    return Ok(true);
                }
                continue;
            }
            if self.is_ordered() && !is_healthy(&pod) && first_unhealthy.as_deref() != Some(pod.name()) {
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
        let set = self.set.name();
        match self.context.pods.delete(&**pod).await {
            Ok(()) => {
                let message = format!("Delete Pod {} in StatefulSet {set} successful", pod.name());
                self.context
                    .events
                    .normal(COMPONENT, &*self.set, "SuccessfulDelete", message);
                self.pods = self
                    .pods
                    .iter()
                    .filter_map(|p| self.context.pods.get(&p.key()).filter(|now| now.uid() == p.uid()))
                    .collect();
                Ok(())
            }
            Err(error) => {
                let message = format!(
                    "Delete Pod {} in StatefulSet {set} failed error: {}",
                    pod.name(),
                    error.message()
                );
                self.context
                    .events
                    .warning(COMPONENT, &*self.set, "FailedDelete", message);
                Err(error)
            }
        }
    }
}
