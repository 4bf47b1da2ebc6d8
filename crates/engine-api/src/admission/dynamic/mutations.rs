//! MutatingAdmissionPolicies (apiserver `pkg/admission/plugin/policy/mutating`, in whose words).
use std::sync::Arc;

use expressions::{Program, Type, Value as Cel, json_patch_type, patched_type};
use serde_json::{Map, Value, json};

use super::{
    asked::{Asked, Form},
    cel::{self, BUDGET, Rbac, Seen, Variables},
    params,
    policy::{Binding, Policy, namespace_of},
};
use crate::{
    api::Api,
    custom,
    json::{list, text},
    registry::body,
    status::{ApiError, Result},
};

/// A policy with its bindings, compiled.
#[derive(Debug)]
pub struct Mutating {
    policy: Policy,
    mutations: Vec<Mutation>,
    again: bool,
}

#[derive(Debug)]
struct Mutation {
    is_json_patch: bool,
    source: String,
    program: Result<Program, String>,
}

/// The field that has the expression of a mutation, and the type of what it makes.
pub fn form(mutation: &Value) -> (&'static str, Type) {
    match text(mutation, "/patchType") {
        "JSONPatch" => ("jsonPatch", Type::list(json_patch_type())),
        _ => ("applyConfiguration", patched_type()),
    }
}

impl Mutating {
    /// Compiles a policy; nothing without a binding.
    pub fn of(policy: &Value, bindings: &[Arc<Value>]) -> Option<Self> {
        let spec = &policy["spec"];
        let (policy, environments) = Policy::of(policy, bindings)?;
        let environment = environments.whole.with_patches();
        let one = |mutation: &Value| {
            let (field, wanted) = form(mutation);
            let source = text(mutation, &format!("/{field}/expression")).trim();
            Mutation {
                is_json_patch: field == "jsonPatch",
                source: source.to_owned(),
                program: cel::compile(&environment, source, &[wanted]),
            }
        };
        Some(Self {
            mutations: list(spec, "/mutations").iter().map(one).collect(),
            again: spec["reinvocationPolicy"] == "IfNeeded",
            policy,
        })
    }
}

/// Which policy, which of its bindings, and namespace and name of the parameters.
type Key = (usize, usize, String, String);

/// What one request's policies have done so far (`reinvocationcontext.go`).
#[derive(Default)]
pub struct Rounds {
    /// Those that want to see what others make of the object after them.
    waiting: Vec<Key>,
    /// Those of them that others changed something after.
    due: Vec<Key>,
    last: Value,
}

/// A policy with one set of parameters.
struct Invocation<'p> {
    key: Key,
    mutating: &'p Mutating,
    binding: &'p Binding,
    form: Form,
    params: Value,
}

/// What refuses a request.
#[derive(Default)]
struct Errors(Vec<(String, &'static str)>);

impl Errors {
    fn add(&mut self, policy: &Policy, binding: Option<&Binding>, reason: &'static str, message: &str) {
        if policy.ignores_failures {
            return;
        }
        let message = match binding {
            Some(binding) => format!(
                "policy '{}' with binding '{}' denied request: {message}",
                policy.name, binding.name
            ),
            None => format!("policy {:?} denied request: {message}", policy.name),
        };
        self.0.push((message, reason));
    }

    /// The first is told, and all are causes.
    fn refusal(self, asked: &Asked<'_>) -> Option<ApiError> {
        let (message, reason) = self.0.first()?.clone();
        let causes: Vec<Value> = self
            .0
            .iter()
            .map(|(message, _)| json!({"message": message}))
            .collect();
        let mut error = asked.forbidden("");
        error.message = message;
        if !reason.is_empty() {
            error.reason = reason;
        }
        if let Some(details) = &mut error.details {
            details["causes"] = causes.into();
        }
        Some(error)
    }
}

impl Rounds {
    /// Lets all policies change the object, or, in a later round, those that others changed something after; whether one did.
    pub async fn round(
        &mut self,
        api: &Api,
        policies: &[Mutating],
        asked: &mut Asked<'_>,
        again: bool,
    ) -> Result<bool> {
        if again && self.last != asked.object {
            self.due.append(&mut self.waiting);
        }
        let mut errors = Errors::default();
        let invocations = invocations(api, policies, asked, &mut errors);
        let mut changed = false;
        if !invocations.is_empty() {
            let namespace = namespace_of(api, asked)?;
            for invocation in &invocations {
                let was = invocation
                    .run(api, asked, &namespace, &mut errors, again.then_some(&self.due))
                    .await?;
                let Some(was_changed) = was else { continue };
                if was_changed {
                    self.due.append(&mut self.waiting);
                    changed = true;
                }
                if invocation.mutating.again {
                    self.waiting.push(invocation.key.clone());
                }
            }
        }
        self.last = asked.object.clone();
        errors.refusal(asked).map_or(Ok(changed), Err)
    }
}

/// Who is to be asked (`generic/policy_dispatcher.go` Dispatch).
fn invocations<'p>(
    api: &Api,
    policies: &'p [Mutating],
    asked: &Asked<'_>,
    errors: &mut Errors,
) -> Vec<Invocation<'p>> {
    let mut all = Vec::new();
    for (at, mutating) in policies.iter().enumerate() {
        let policy = &mutating.policy;
        let form = match policy.wanted.matches(api, asked) {
            Ok(Some(form)) => form,
            Ok(None) => continue,
            Err(error) => {
                errors.add(
                    policy,
                    None,
                    "",
                    &format!("failed to configure policy: {}", error.message),
                );
                continue;
            }
        };
        for (place, binding) in policy.bindings.iter().enumerate() {
            let params = match binding.wanted.narrows(api, asked) {
                Ok(false) => continue,
                Ok(true) => params::collect(api, &policy.param_kind, &binding.param_ref, &asked.namespace),
                Err(error) => Err(error.message),
            };
            match params {
                Ok(params) => all.extend(params.into_iter().map(|params| Invocation {
                    key: (
                        at,
                        place,
                        text(&params, "/metadata/namespace").to_owned(),
                        text(&params, "/metadata/name").to_owned(),
                    ),
                    mutating,
                    binding,
                    form: form.clone(),
                    params,
                })),
                Err(error) => {
                    let why = format!("failed to configure binding: {error}");
                    errors.add(policy, Some(binding), "", &why);
                }
            }
        }
    }
    all
}

impl Invocation<'_> {
    /// Lets the policy change the object; whether it did, or nothing if it does not care. `due` are those to ask, if not all.
    async fn run(
        &self,
        api: &Api,
        asked: &mut Asked<'_>,
        namespace: &Value,
        errors: &mut Errors,
        due: Option<&Vec<Key>>,
    ) -> Result<Option<bool>> {
        let policy = &self.mutating.policy;
        let (mut object, old) = asked.objects(api, &self.form).await?;
        let request = asked.request(&self.form);
        {
            let mut seen = self.seen(api, asked, (&object, &old), &request);
            seen.params = &self.params;
            match policy.conditions.hold(&seen) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => {
                    errors.add(policy, Some(self.binding), "Invalid", &error);
                    return Ok(None);
                }
            }
        }
        if due.is_some_and(|due| !due.contains(&self.key)) {
            return Ok(None);
        }
        let mut changed = false;
        for mutation in self.mutating.mutations.iter().filter(|_| !asked.object.is_null()) {
            let patched = {
                let mut seen = self.seen(api, asked, (&object, &old), &request);
                seen.params = &self.params;
                seen.namespace = namespace;
                seen.variables = Some(Variables::of(&policy.variables));
                seen.grant(BUDGET);
                self.patch(mutation, &seen)
            };
            let decoded = match patched {
                Ok(None) => continue,
                Ok(Some(patched)) => match self.form.info {
                    Some(info) => body::redecode(info, patched),
                    None => Ok(patched),
                },
                Err(error) => Err(error),
            };
            match decoded {
                Ok(new) => {
                    changed |= new != object;
                    object = new;
                }
                Err(error) => errors.add(policy, Some(self.binding), "Invalid", &error),
            }
        }
        if changed {
            asked.object = match self.form.info {
                Some(info) => api.in_version(info, asked.kind, &object).await?,
                None => object,
            };
        }
        Ok(Some(changed))
    }

    fn seen<'v>(
        &self,
        api: &'v Api,
        asked: &'v Asked<'_>,
        (object, old): (&'v Value, &'v Value),
        request: &'v Value,
    ) -> Seen<'v> {
        let rbac = Rbac {
            api,
            user: &asked.call.user,
        };
        Seen::new(object, old, request, asked.question(), rbac)
    }

    /// The object as a mutation has it, or nothing when it wants no change.
    fn patch(&self, mutation: &Mutation, seen: &Seen<'_>) -> Result<Option<Value>, String> {
        let made = seen.evaluate(&mutation.source, &mutation.program)?;
        if mutation.is_json_patch {
            return json_patch(seen.object, &made);
        }
        let Cel::Struct(made) = &made else {
            return Err("unsupported return type from ApplyConfiguration expression".to_owned());
        };
        named_rightly(&made.misnamed())?;
        let Some(Value::Object(mut configuration)) = Cel::Struct(made.clone()).json() else {
            return Err("invalid return type".to_owned());
        };
        for field in ["apiVersion", "kind"] {
            configuration.insert(field.to_owned(), seen.object[field].clone());
        }
        let configuration = Value::Object(configuration);
        let merged = match self.form.info {
            Some(info) => custom::with_typing(info, |typing| {
                ::patch::merge_configuration(typing, seen.object, &configuration)
            }),
            None => ::patch::merge_configuration("", seen.object, &configuration),
        };
        merged.map(Some).map_err(|e| format!("error applying patch: {e}"))
    }
}

fn named_rightly(wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("type mismatch: {}", wrong.join("\n")))
    }
}

/// Applies the steps that an expression made; nothing when a `test` among them fails.
fn json_patch(object: &Value, made: &Cel<'_>) -> Result<Option<Value>, String> {
    const MISFIT: &str = "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch";
    let Cel::List(steps) = made else {
        return Err(MISFIT.to_owned());
    };
    let mut patch = Vec::new();
    for step in steps.iter() {
        let Cel::Struct(step) = step else {
            return Err(MISFIT.to_owned());
        };
        let mut operation = Map::new();
        for (name, value) in &step.fields {
            match value {
                Cel::Struct(inner) => named_rightly(&inner.misnamed())?,
                Cel::String(text) if name == "from" && text.is_empty() => continue,
                _ => {}
            }
            let json = value.json().ok_or_else(|| {
                "JSONPath valueExpression evaluated to a type that could not marshal to JSON".to_owned()
            })?;
            operation.insert(name.clone(), json);
        }
        for name in ["op", "path"] {
            operation.entry(name).or_insert_with(|| "".into());
        }
        patch.push(Value::Object(operation));
    }
    match ::patch::json_patch(object, Value::Array(patch).to_string().as_bytes()) {
        Ok(patched) => Ok(Some(patched)),
        Err(error) if error.to_string().ends_with(": test failed") => Ok(None),
        Err(error) => Err(format!("JSON Patch: {error}")),
    }
}
