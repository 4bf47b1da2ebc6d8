//! Webhooks, mutating and validating (apiserver `pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go`).
use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    asked::{Asked, Form},
    cel::{self, Conditions, Rbac, Seen},
    matching::Wanted,
    review::{self, Said},
};
use crate::{
    api::Api,
    json::{list, number, strings, text},
    outward::Target,
    registry::body,
    status::{ApiError, Result},
};

/// One webhook of a configuration.
#[derive(Debug)]
pub struct Hook {
    configuration: String,
    name: String,
    wanted: Wanted,
    conditions: Conditions,
    target: Target,
    timeout: Duration,
    ignores_failures: bool,
    /// Whether a request that writes nothing may be shown to it.
    rehearses: bool,
    again: bool,
    /// The first version of reviews that both know.
    version: Option<&'static str>,
}

/// Why a webhook is of no use, or what it refuses.
enum Outcome {
    /// It could not be asked, or what it says makes no sense.
    Failed(String),
    /// It refuses.
    Refused(ApiError),
}

impl Hook {
    /// All webhooks of a configuration.
    pub fn all(configuration: &Value) -> Vec<Self> {
        let environment = cel::environment(false, true);
        let name = text(configuration, "/metadata/name");
        let one = |hook: &Value| Self {
            configuration: name.to_owned(),
            name: text(hook, "/name").to_owned(),
            wanted: Wanted::of_webhook(hook),
            conditions: Conditions::of(&environment, list(hook, "/matchConditions")),
            target: Target::of(&hook["clientConfig"]),
            timeout: Duration::from_secs(number(hook, "/timeoutSeconds").map_or(10, i64::unsigned_abs)),
            ignores_failures: hook["failurePolicy"] == "Ignore",
            rehearses: matches!(text(hook, "/sideEffects"), "None" | "NoneOnDryRun"),
            again: hook["reinvocationPolicy"] == "IfNeeded",
            version: strings(hook, "/admissionReviewVersions").into_iter().find_map(
                |version| match version {
                    "v1" => Some("v1"),
                    "v1beta1" => Some("v1beta1"),
                    _ => None,
                },
            ),
        };
        list(configuration, "/webhooks").iter().map(one).collect()
    }

    /// In which version it wants to hear of this, if it does.
    async fn wants(&self, api: &Api, asked: &Asked<'_>) -> Result<Option<(Form, (Value, Value))>> {
        let Some(form) = self.wanted.matches(api, asked)? else {
            return Ok(None);
        };
        let objects = asked.objects(api, &form).await?;
        if self.conditions.is_empty() {
            return Ok(Some((form, objects)));
        }
        let request = asked.request(&form);
        let rbac = Rbac {
            api,
            user: &asked.call.user,
        };
        let seen = Seen::new(&objects.0, &objects.1, &request, asked.question(), rbac);
        match self.conditions.hold(&seen) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(_) if self.ignores_failures => return Ok(None),
            Err(error) => return Err(asked.forbidden(error)),
        }
        Ok(Some((form, objects)))
    }

    async fn ask(
        &self,
        api: &Api,
        asked: &Asked<'_>,
        form: &Form,
        objects: (&Value, &Value),
        mutates: bool,
    ) -> Result<Said, Outcome> {
        if asked.dry_run && !self.rehearses {
            let why = format!("admission webhook {:?} does not support dry run", self.name);
            return Err(Outcome::Refused(ApiError::bad_request(why)));
        }
        let Some(version) = self.version else {
            let why = "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            return Err(Outcome::Failed(why.to_owned()));
        };
        let (uid, question) = review::question(asked, form, objects, version);
        let answered = api
            .post(&self.target, &question, self.timeout)
            .await
            .map_err(|why| Outcome::Failed(format!("failed to call webhook: {why}")))?;
        let said = review::answer(&answered, &uid, version, mutates)
            .map_err(|why| Outcome::Failed(format!("received invalid webhook response: {why}")))?;
        for (key, value) in &said.annotations {
            asked.call.note(format!("{}/{key}", self.name), value.clone());
        }
        for warning in &said.warnings {
            asked.call.warn(warning.clone());
        }
        if said.allowed {
            Ok(said)
        } else {
            Err(Outcome::Refused(review::rejection(&self.name, &said.status)))
        }
    }

    /// What a failure means for the request; nothing when failures are ignored.
    fn failed(&self, asked: &Asked<'_>, outcome: Outcome, key: String) -> Option<ApiError> {
        match outcome {
            Outcome::Refused(error) => Some(error),
            Outcome::Failed(why) => {
                let why = format!("failed calling webhook {:?}: {why}", self.name);
                tracing::warn!(
                    configuration = self.configuration,
                    ignored = self.ignores_failures,
                    "{why}"
                );
                if self.ignores_failures {
                    asked.call.note(key, self.name.clone());
                    return None;
                }
                Some(ApiError::internal(why))
            }
        }
    }
}

/// What the mutating webhooks of one request have done so far (`webhook/mutating/reinvocationcontext.go`).
#[derive(Default)]
pub struct Rounds {
    /// Those that want to see what others make of the object after them, by place.
    waiting: Vec<usize>,
    /// Those of them that others changed something after.
    due: Vec<usize>,
    last: Value,
}

impl Rounds {
    /// Asks all mutating webhooks, one after the other, or, in a later round, those that others changed something after; whether one
    /// changed the object.
    pub async fn round(
        &mut self,
        api: &Arc<Api>,
        hooks: &[Hook],
        asked: &mut Asked<'_>,
        again: bool,
    ) -> Result<bool> {
        if again && self.last != asked.object {
            self.due.append(&mut self.waiting);
        }
        let mut any = false;
        for (at, hook) in hooks.iter().enumerate() {
            if again && !self.due.contains(&at) {
                continue;
            }
            let Some((form, objects)) = hook.wants(api, asked).await? else {
                continue;
            };
            let index = format!("round_{}_index_{at}", u8::from(again));
            let changed = match hook.ask(api, asked, &form, (&objects.0, &objects.1), true).await {
                Ok(said) => apply(api, hook, asked, &form, objects.0, said, &index).await?,
                Err(outcome) => {
                    let key = format!("failed-open.mutation.webhook.admission.k8s.io/{index}");
                    match hook.failed(asked, outcome, key) {
                        Some(error) => return Err(error),
                        None => false,
                    }
                }
            };
            let told = json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": changed});
            asked.call.note(
                format!("mutation.webhook.admission.k8s.io/{index}"),
                told.to_string(),
            );
            if changed {
                self.due.append(&mut self.waiting);
                any = true;
            }
            if hook.again {
                self.waiting.push(at);
            }
        }
        self.last = asked.object.clone();
        Ok(any)
    }
}

/// Makes of the object what a webhook wants; whether that is a change.
async fn apply(
    api: &Arc<Api>,
    hook: &Hook,
    asked: &mut Asked<'_>,
    form: &Form,
    object: Value,
    said: Said,
    index: &str,
) -> Result<bool> {
    let Some(patch) = said
        .patch
        .filter(|patch| patch.as_array().is_none_or(|all| !all.is_empty()))
    else {
        return Ok(false);
    };
    if object.is_null() {
        return Err(ApiError::internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        )));
    }
    let patched = ::patch::json_patch(&object, patch.to_string().as_bytes()).map_err(ApiError::internal)?;
    let told = json!({"configuration": hook.configuration, "webhook": hook.name, "patch": patch, "patchType": "JSONPatch"});
    asked.call.note(
        format!("patch.webhook.admission.k8s.io/{index}"),
        told.to_string(),
    );
    let (patched, own) = match form.info {
        Some(info) => {
            let decoded = body::redecode(info, patched).map_err(ApiError::internal)?;
            (api.in_version(info, asked.kind, &decoded).await?, &asked.object)
        }
        None => (patched, &asked.object),
    };
    let changed = patched != *own;
    asked.object = patched;
    Ok(changed)
}

/// Asks all validating webhooks at the same time; of several refusals the first by order is told.
pub async fn validate(api: &Arc<Api>, hooks: &[Hook], asked: &Asked<'_>) -> Result<()> {
    let mut relevant = Vec::new();
    for hook in hooks {
        if let Some((form, objects)) = hook.wants(api, asked).await? {
            relevant.push((hook, form, objects));
        }
    }
    let asking = relevant
        .iter()
        .enumerate()
        .map(async |(at, (hook, form, objects))| {
            match hook.ask(api, asked, form, (&objects.0, &objects.1), false).await {
                Ok(_) => None,
                Err(outcome) => {
                    let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{at}");
                    hook.failed(asked, outcome, key)
                }
            }
        });
    match join_all(asking).await.into_iter().flatten().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
