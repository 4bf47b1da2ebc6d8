//! What policies have in common that refuse and that change (apiserver `pkg/admission/plugin/policy/generic`).
use std::{collections::BTreeMap, sync::Arc};

use expressions::{Environment, Program, Type};
use serde_json::Value;

use super::{
    asked::Asked,
    cel::{self, Conditions},
    matching::Wanted,
};
use crate::{
    api::Api,
    json::{list, strings, text},
    keys,
    status::{ApiError, Result},
};

/// Variables of a policy by name, compiled.
pub type Programs = BTreeMap<String, Result<Program, String>>;

/// What a policy wants to be asked about, and by whom it is bound.
#[derive(Debug)]
pub struct Policy {
    pub name: String,
    pub wanted: Wanted,
    pub conditions: Conditions,
    pub variables: Programs,
    pub ignores_failures: bool,
    pub param_kind: Value,
    pub bindings: Vec<Binding>,
}

/// A binding of a policy.
#[derive(Debug)]
pub struct Binding {
    pub name: String,
    pub wanted: Wanted,
    pub param_ref: Value,
    pub actions: Vec<String>,
}

impl Policy {
    /// Compiles what policies have in common, and gives the environments of the rest; nothing without a binding, since then a
    /// policy does nothing.
    pub fn of(policy: &Value, bindings: &[Arc<Value>]) -> Option<(Self, Environments)> {
        let name = text(policy, "/metadata/name");
        let bindings: Vec<Binding> = bindings
            .iter()
            .filter(|binding| text(binding, "/spec/policyName") == name)
            .map(|binding| Binding::of(binding))
            .collect();
        if bindings.is_empty() {
            return None;
        }
        let spec = &policy["spec"];
        let mut environments = Environments::of(spec);
        let plain = cel::environment(spec["paramKind"].is_object(), true);
        let policy = Self {
            wanted: Wanted::of_resources(&spec["matchConstraints"]),
            conditions: Conditions::of(&plain, list(spec, "/matchConditions")),
            variables: std::mem::take(&mut environments.variables).into_iter().collect(),
            ignores_failures: spec["failurePolicy"] == "Ignore",
            param_kind: spec["paramKind"].clone(),
            name: name.to_owned(),
            bindings,
        };
        Some((policy, environments))
    }
}

impl Binding {
    fn of(binding: &Value) -> Self {
        let spec = &binding["spec"];
        Self {
            name: text(binding, "/metadata/name").to_owned(),
            wanted: Wanted::of_resources(&spec["matchResources"]),
            param_ref: spec["paramRef"].clone(),
            actions: strings(spec, "/validationActions")
                .into_iter()
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// What the expressions of a policy may name.
pub struct Environments {
    /// Of validations and annotations.
    pub whole: Environment,
    /// Of messages, which ask no authorizer.
    pub messages: Environment,
    /// The policy's variables, compiled, in their order.
    pub variables: Vec<(String, Result<Program, String>)>,
}

impl Environments {
    /// Those of a policy. Each variable sees those before it (`plugin/cel/composition.go`).
    pub fn of(spec: &Value) -> Self {
        let has_params = spec["paramKind"].is_object();
        // So that a variable that is not there is told of as a field would be.
        let [mut whole, mut messages] = [true, false].map(|authorizer| {
            cel::environment(has_params, authorizer)
                .with("variables", Type::object("kubernetes.variables", []))
        });
        let mut variables = Vec::new();
        for variable in list(spec, "/variables") {
            let name = text(variable, "/name").to_owned();
            let program = cel::compile(&whole, text(variable, "/expression"), &[]);
            let kind = program
                .as_ref()
                .map_or(Type::Dyn, |program| program.kind().clone());
            whole = whole.with(&format!("variables.{name}"), kind.clone());
            messages = messages.with(&format!("variables.{name}"), kind);
            variables.push((name, program));
        }
        Self {
            whole,
            messages,
            variables,
        }
    }
}

/// The namespace that an object is in; a namespace is in none.
pub fn namespace_of(api: &Api, asked: &Asked<'_>) -> Result<Value> {
    let is_namespace = asked.kind.group.is_empty() && asked.kind.kind == "Namespace";
    if asked.namespace.is_empty() || is_namespace {
        return Ok(Value::Null);
    }
    let found = api.store.get(&keys::core("namespaces", "", &asked.namespace));
    let found = found.ok_or_else(|| ApiError::not_found_named("namespaces", &asked.namespace))?;
    let mut namespace = Value::clone(&found.value());
    // Go's field has this name, and so has what expressions see.
    namespace["metadata"]["UID"] = namespace["metadata"]["uid"].clone();
    Ok(namespace)
}
