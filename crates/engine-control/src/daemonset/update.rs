//! Replacing pods of an older template, node by node (update.go).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSetSpec;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{COMPONENT, Step, placement};
use crate::Error;
use crate::deployment::resolve;
use crate::meta::{Meta, count};
use crate::pods;
use crate::replicaset::{create_in_batches, delete_pod};

pub(super) fn surge(spec: &DaemonSetSpec, nodes: usize) -> i32 {
    let rolling = spec
        .update_strategy
        .as_ref()
        .and_then(|s| s.rolling_update.as_ref());
    resolve(rolling.and_then(|r| r.max_surge.as_ref()), count(nodes), true)
}

fn unavailable(spec: &DaemonSetSpec, nodes: usize) -> i32 {
    let rolling = spec
        .update_strategy
        .as_ref()
        .and_then(|s| s.rolling_update.as_ref());
    let most = resolve(
        Some(
            rolling
                .and_then(|r| r.max_unavailable.as_ref())
                .unwrap_or(&IntOrString::Int(1)),
        ),
        count(nodes),
        true,
    );
    if most == 0 && surge(spec, nodes) == 0 {
        1
    } else {
        most
    }
}

impl Step {
    pub(super) async fn roll(&mut self) -> Result<(), Error> {
        let template = self.spec.template.spec.clone().unwrap_or_default();
        let wanting: Vec<String> = self
            .nodes
            .iter()
            .filter(|n| placement::wants(&template, n).0)
            .map(|n| n.name().to_owned())
            .collect();
        if surge(&self.spec, wanting.len()) > 0 {
            self.roll_with_surge(&wanting).await
        } else {
            self.roll_in_place(&wanting).await
        }
    }

    /// Old and new live pods of a node.
    fn on(&self, node: &str) -> (Option<Arc<Pod>>, Option<Arc<Pod>>) {
        let here = self.pods.get(node).map(Vec::as_slice).unwrap_or_default();
        let find = |updated: bool| {
            here.iter()
                .find(|p| !p.deleting() && self.is_updated(p) == updated)
                .cloned()
        };
        (find(false), find(true))
    }

    async fn roll_in_place(&mut self, nodes: &[String]) -> Result<(), Error> {
        let most = unavailable(&self.spec, nodes.len());
        let mut missing = 0;
        let mut broken = Vec::new();
        let mut candidates = Vec::new();
        for node in nodes {
            match self.on(node) {
                // One that does not work anyway is replaced without asking.
                (Some(old), None) if !self.is_available(&old) => {
                    broken.push(old);
                    missing += 1;
                }
                (Some(old), None) => candidates.push(old),
                (_, Some(new)) if self.is_available(&new) => {}
                _ => missing += 1,
            }
        }
        let allowed = usize::try_from(most - missing).unwrap_or(0);
        for pod in broken.into_iter().chain(candidates.into_iter().take(allowed)) {
            delete_pod(&self.context, &*self.set, COMPONENT, &pod).await?;
        }
        Ok(())
    }

    async fn roll_with_surge(&mut self, nodes: &[String]) -> Result<(), Error> {
        let most = surge(&self.spec, nodes.len());
        let mut surging = 0;
        let mut replaced = Vec::new();
        let mut next = Vec::new();
        let mut urgent = Vec::new();
        for node in nodes {
            match self.on(node) {
                (Some(old), Some(new)) if self.is_available(&new) || !pods::is_ready(&old) => {
                    replaced.push(old);
                }
                (Some(_), Some(_)) => surging += 1,
                // One that does not work anyway is replaced without asking.
                (Some(old), None) if !self.is_available(&old) => urgent.push(node.clone()),
                (Some(_), None) => next.push(node.clone()),
                _ => {}
            }
        }
        let allowed = usize::try_from(most - surging).unwrap_or(0);
        let wanted: Vec<Pod> = urgent
            .iter()
            .chain(next.iter().take(allowed))
            .map(|node| self.pod_for(node))
            .collect();
        let (_, failure) = create_in_batches(&self.context, &*self.set, COMPONENT, &wanted).await;
        for pod in replaced {
            delete_pod(&self.context, &*self.set, COMPONENT, &pod).await?;
        }
        failure.map_or(Ok(()), Err)
    }
}
