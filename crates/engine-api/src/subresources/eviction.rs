//! `pods/eviction`: a DELETE that heeds disruption budgets (kubernetes `pkg/registry/core/pod/storage/eviction.go`).
use std::sync::Arc;

use engine_store::{Precondition, WriteError};
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call, storage_error},
    json::{list, number, set, text},
    registry::{body, delete::DeleteOptions, meta::deleting},
    selector::labels_match,
    status::{ApiError, Result},
    time,
};

impl Api {
    /// Delete a pod if its budgets allow.
    pub async fn evict(self: &Arc<Self>, call: &Call, pods: &'static KindInfo) -> Result<Value> {
        let eviction = body::of_subresource(call, pods, "eviction")?;
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        let own = text(&eviction, "/metadata/name");
        if own != name {
            return Err(ApiError::bad_request(
                "name in URL does not match name in Eviction object",
            ));
        }
        let mut options = match &eviction["deleteOptions"] {
            Value::Null => DeleteOptions::default(),
            options => DeleteOptions::from_value(options),
        };
        options.rehearse(call.query.all("dryRun"))?;
        let pod = self.fetch(pods, namespace, name)?;
        options.valid()?;
        let unheeded = matches!(
            text(&pod.value(), "/status/phase"),
            "Succeeded" | "Failed" | "Pending"
        ) || deleting(&pod.value());
        if !unheeded {
            self.spend_budget(namespace, &pod.value(), options.is_dry_run())
                .await?;
        }
        if !options.is_dry_run() {
            self.tell_why(pods, namespace, name, &mut options).await?;
        }
        self.delete(pods, namespace, name, &options).await?;
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }

    /// Has the pod say why it goes (addConditionAndDeletePod).
    async fn tell_why(
        &self,
        pods: &'static KindInfo,
        namespace: &str,
        name: &str,
        options: &mut DeleteOptions,
    ) -> Result<()> {
        loop {
            let pod = self.fetch(pods, namespace, name)?;
            options.check(pods, name, &pod.value())?;
            let mut told = Value::clone(&pod.value());
            disrupted(&mut told);
            match self
                .store
                .put(&pod.key, told, Precondition::Revision(pod.revision))
                .await
            {
                Ok(written) => {
                    if let Some(version) = &mut options.version {
                        *version = written.revision.to_string();
                    }
                    return Ok(());
                }
                Err(WriteError::Conflict { .. }) => {}
                Err(WriteError::NotFound { .. }) => return Ok(()), // the deletion says so
                Err(other) => return Err(storage_error(&other)),
            }
        }
    }

    async fn spend_budget(&self, namespace: &str, pod: &Value, dry_run: bool) -> Result<()> {
        let prefix = format!("poddisruptionbudgets.policy/{namespace}/");
        loop {
            let budgets = self.store.list(&prefix).items;
            let mut own = budgets
                .into_iter()
                .filter(|b| labels_match(&b.value()["spec"]["selector"], pod));
            let Some(budget) = own.next() else { return Ok(()) };
            if own.next().is_some() {
                // Upstream's answer has no reason either.
                return Err(ApiError::new(
                    500,
                    "",
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
            let value = &*budget.value();
            let ready = list(pod, "/status/conditions")
                .iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            let (healthy, desired) = (
                number(value, "/status/currentHealthy").unwrap_or_default(),
                number(value, "/status/desiredHealthy").unwrap_or_default(),
            );
            let name = text(value, "/metadata/name");
            if !ready {
                let always = text(value, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
                if always || (healthy >= desired && desired > 0) {
                    return Ok(());
                }
            }
            let generation = number(value, "/metadata/generation").unwrap_or_default();
            if number(value, "/status/observedGeneration").unwrap_or_default() < generation {
                let message = format!("The disruption budget {name} is still being processed by the server.");
                return Err(refused(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    &message,
                    10,
                ));
            }
            let allowed = number(value, "/status/disruptionsAllowed").unwrap_or_default();
            if allowed <= 0 {
                let message = none_allowed(value, healthy, desired);
                return Err(refused(
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    &message,
                    0,
                ));
            }
            if dry_run {
                return Ok(());
            }
            let mut spent = value.clone();
            set(&mut spent, &["status", "disruptionsAllowed"], allowed - 1);
            set(
                &mut spent,
                &["status", "disruptedPods", text(pod, "/metadata/name")],
                time::now(),
            );
            if allowed == 1 {
                let all = spent["status"]["conditions"].as_array_mut();
                let allows = all
                    .into_iter()
                    .flatten()
                    .find(|c| c["type"] == "DisruptionAllowed");
                if let Some(allows) = allows.filter(|c| c["status"] == "True") {
                    let condition = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
                        "observedGeneration": number(value, "/status/observedGeneration"), "lastTransitionTime": time::now()});
                    *allows = condition;
                }
            }
            let time = time::now();
            let manager = ::patch::Manager {
                name: "kube-apiserver",
                api_version: "policy/v1",
                subresource: "status",
                time: &time,
            };
            let definition = "io.k8s.api.policy.v1.PodDisruptionBudget";
            ::patch::track_update(definition, Some(value), &mut spent, &manager);
            match self
                .store
                .put(&budget.key, spent, Precondition::Revision(budget.revision))
                .await
            {
                Ok(_) => return Ok(()),
                Err(WriteError::Conflict { .. } | WriteError::NotFound { .. }) => {}
                Err(other) => return Err(storage_error(&other)),
            }
        }
    }
}

/// Why a budget allows no disruption (checkAndDecrement).
fn none_allowed(budget: &Value, healthy: i64, desired: i64) -> String {
    let name = text(budget, "/metadata/name");
    let allows = list(budget, "/status/conditions").iter().find(|c| {
        c["type"] == "DisruptionAllowed" && c["status"] == "False" && !text(c, "/message").is_empty()
    });
    let currently = format!("The disruption budget {name} does not allow evicting pods currently");
    match allows.map(|c| (text(c, "/reason"), text(c, "/message"))) {
        Some(("SyncFailed", message)) => format!("{currently} because it failed sync: {message}"),
        _ if healthy <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
        }
        Some((reason, message)) => format!("{currently} ({reason}): {message}"),
        None => currently,
    }
}

fn disrupted(pod: &mut Value) {
    const TYPE: &str = "DisruptionTarget";
    let mut conditions = list(pod, "/status/conditions").to_vec();
    let known = conditions.iter().position(|c| c["type"] == TYPE);
    let since = known.map(|at| &conditions[at]).filter(|c| c["status"] == "True");
    let since = since.map_or_else(|| time::now().into(), |c| c["lastTransitionTime"].clone());
    let condition = json!({"type": TYPE, "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": since});
    match known {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    set(pod, &["status", "conditions"], conditions);
}

fn refused(message: &str, cause: &str, retry: i64) -> ApiError {
    let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
    if retry > 0 {
        details["retryAfterSeconds"] = retry.into();
    }
    ApiError {
        details: Some(details),
        ..ApiError::new(429, "TooManyRequests", message)
    }
}
