//! What admission is told to do while the server runs: webhooks and policies.
//!
//! Configurations are objects; [`Dynamic`] holds what the stored ones mean, compiled, and is renewed by the writes themselves. Where there
//! are none a request pays for one look at a flag.
use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use engine_store::Store;
use serde_json::Value;

use crate::{api::Api, status::Result};

mod asked;
mod cel;
mod check;
mod devices;
mod door;
mod matching;
mod mutations;
mod params;
mod policies;
mod policy;
mod review;
mod typecheck;
mod webhooks;

pub use asked::Asked;
pub use check::add_causes;
pub use devices::administration;
pub use door::{deletion, subresource};
pub use typecheck::run as check_types;

use mutations::Mutating;
use policies::Validating;
use webhooks::Hook;

const GROUP: &str = "admissionregistration.k8s.io";

/// All that is configured.
#[derive(Debug, Default)]
struct Configured {
    mutating: Vec<Hook>,
    validating: Vec<Hook>,
    changing: Vec<Mutating>,
    policies: Vec<Validating>,
}

/// What is configured now.
#[derive(Debug, Default)]
pub struct Dynamic {
    any: AtomicBool,
    now: RwLock<Arc<Configured>>,
    /// Who reads the configurations again.
    turn: Mutex<()>,
}

impl Dynamic {
    /// Reads all configurations again; called after each write to one.
    pub fn refresh(&self, store: &Store) {
        // One reads at a time, so that an older reading never replaces a newer one; requests go on by what was read before, for
        // expressions take a while to compile.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let all = |plural: &str| -> Vec<Arc<Value>> {
            let stored = store.list(&format!("{plural}.{GROUP}/")).items;
            stored.iter().map(|object| object.look()).collect()
        };
        let hooks = |plural: &str| all(plural).iter().flat_map(|hook| Hook::all(hook)).collect();
        // Without a binding a policy does nothing.
        let policies = |of: &str| -> (Vec<Arc<Value>>, Vec<Arc<Value>>) {
            let bindings = all(&format!("{of}admissionpolicybindings"));
            if bindings.is_empty() {
                return Default::default();
            }
            (all(&format!("{of}admissionpolicies")), bindings)
        };
        let (validating, validating_bindings) = policies("validating");
        let (changing, changing_bindings) = policies("mutating");
        let configured = Configured {
            mutating: hooks("mutatingwebhookconfigurations"),
            validating: hooks("validatingwebhookconfigurations"),
            changing: changing
                .iter()
                .filter_map(|policy| Mutating::of(policy, &changing_bindings))
                .collect(),
            policies: validating
                .iter()
                .filter_map(|policy| Validating::of(policy, &validating_bindings))
                .collect(),
        };
        let any = !(configured.mutating.is_empty()
            && configured.validating.is_empty()
            && configured.changing.is_empty()
            && configured.policies.is_empty());
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configured);
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

/// Lets policies and then webhooks change an object, and those that want to once more when something has changed since. `ask` is only
/// called when there are any.
pub async fn mutate<'c>(api: &Arc<Api>, ask: impl FnOnce() -> Asked<'c>) -> Result<Option<Value>> {
    let Some(configured) = api
        .dynamic
        .configured()
        .filter(|c| !c.mutating.is_empty() || !c.changing.is_empty())
    else {
        return Ok(None);
    };
    let mut asked = ask();
    if asked.is_exempt() {
        return Ok(None);
    }
    let (mut policies, mut hooks) = (mutations::Rounds::default(), webhooks::Rounds::default());
    for again in [false, true] {
        let by_policies = policies
            .round(api, &configured.changing, &mut asked, again)
            .await?;
        let by_hooks = hooks.round(api, &configured.mutating, &mut asked, again).await?;
        if !by_policies && !by_hooks {
            break;
        }
    }
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
