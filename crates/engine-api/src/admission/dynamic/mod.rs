//! What admission is told to do while the server runs: webhooks and policies.
//!
//! Configurations are objects; [`Dynamic`] holds what the stored ones mean, compiled, and is renewed by the writes themselves. Where there
//! are none a request pays for one look at a flag.
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use engine_store::Store;
use serde_json::Value;

use crate::{api::Api, status::Result};

mod asked;
mod cel;
mod check;
mod door;
mod matching;
mod params;
mod policies;
mod review;
mod webhooks;

pub use asked::Asked;
pub use check::causes;
pub use door::{deletion, subresource};

use policies::Policy;
use webhooks::Hook;

const GROUP: &str = "admissionregistration.k8s.io";

/// All that is configured.
#[derive(Debug, Default)]
struct Configured {
    mutating: Vec<Hook>,
    validating: Vec<Hook>,
    policies: Vec<Policy>,
}

/// What is configured now.
#[derive(Debug, Default)]
pub struct Dynamic {
    any: AtomicBool,
    now: RwLock<Arc<Configured>>,
}

impl Dynamic {
    /// Reads all configurations again; called after each write to one.
    pub fn refresh(&self, store: &Store) {
        // Held while reading, so that an older reading never replaces a newer one.
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let all = |plural: &str| -> Vec<Value> {
            let stored = store.list(&format!("{plural}.{GROUP}/")).items;
            stored
                .iter()
                .map(|object| Value::clone(&object.value()))
                .collect()
        };
        let hooks = |plural: &str| all(plural).iter().flat_map(Hook::all).collect();
        let bindings = all("validatingadmissionpolicybindings");
        let policies = if bindings.is_empty() {
            Vec::new()
        } else {
            all("validatingadmissionpolicies")
        };
        let configured = Configured {
            mutating: hooks("mutatingwebhookconfigurations"),
            validating: hooks("validatingwebhookconfigurations"),
            policies: policies
                .iter()
                .filter_map(|policy| Policy::of(policy, &bindings))
                .collect(),
        };
        let any = !(configured.mutating.is_empty()
            && configured.validating.is_empty()
            && configured.policies.is_empty());
        *now = Arc::new(configured);
        self.any.store(any, Ordering::Release);
    }

    fn configured(&self) -> Option<Arc<Configured>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        Some(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether anybody is to be asked about anything.
    pub fn is_idle(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }
}

/// Lets webhooks change an object. `ask` is only called when there are any.
pub async fn mutate<'c>(api: &Arc<Api>, ask: impl FnOnce() -> Asked<'c>) -> Result<Option<Value>> {
    let Some(configured) = api.dynamic.configured().filter(|c| !c.mutating.is_empty()) else {
        return Ok(None);
    };
    let mut asked = ask();
    if asked.is_exempt() {
        return Ok(None);
    }
    webhooks::mutate(api, &configured.mutating, &mut asked).await?;
    Ok(Some(asked.object))
}

/// Lets policies and webhooks refuse a change.
pub async fn validate<'c>(api: &Arc<Api>, ask: impl FnOnce() -> Asked<'c>) -> Result<()> {
    let Some(configured) = api
        .dynamic
        .configured()
        .filter(|c| !c.validating.is_empty() || !c.policies.is_empty())
    else {
        return Ok(());
    };
    let asked = ask();
    if asked.is_exempt() {
        return Ok(());
    }
    policies::validate(api, &configured.policies, &asked).await?;
    webhooks::validate(api, &configured.validating, &asked).await
}
