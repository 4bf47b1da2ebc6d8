//! What the types of resources say of the expressions of ValidatingAdmissionPolicies: warnings in their status (apiserver
//! `admission/plugin/policy/validating/typechecking.go`, `pkg/controller/validatingadmissionpolicystatus`).
use std::sync::Weak;

use engine_store::Stored;
use expressions::{Environment, Type, display};
use schema::{KindInfo, Scalar, Shape};
use serde_json::{Value, json};

use super::{GROUP, cel};
use crate::{
    api::Api,
    custom,
    json::{list, number, strings, text},
    keys, said,
};

const WRITER: &str = "validatingadmissionpolicy-status";
/// So many types are looked at of each rule (`maxTypesToCheck`).
const MOST: usize = 10;
/// Schemas of schemas hold themselves.
const DEPTH: usize = 32;

/// Checks policies as long as the API server lives.
pub async fn run(api: Weak<Api>) {
    let Some(kind) = schema::by_resource(GROUP, "v1", "validatingadmissionpolicies") else {
        return;
    };
    let prefix = keys::prefix(kind, "");
    while let Some((mut watch, present)) = api.upgrade().and_then(|api| {
        let snapshot = api.store.list(&prefix);
        let watch = api.store.watch(&prefix, snapshot.revision).ok()?;
        Some((watch, snapshot.items))
    }) {
        for stored in &present {
            settle(&api, kind, stored).await;
        }
        loop {
            match watch.next().await {
                Some(Ok(event)) => settle(&api, kind, &event.object).await,
                // It fell behind: look at everything again.
                Some(Err(_)) => break,
                None => return,
            }
        }
    }
}

async fn settle(api: &Weak<Api>, kind: &'static KindInfo, seen: &Stored) {
    let Some(api) = api.upgrade() else { return };
    said::settle(&api, kind, &seen.key, |policy| {
        let generation = number(policy, "/metadata/generation").unwrap_or_default();
        if generation <= number(policy, "/status/observedGeneration").unwrap_or_default() {
            return None;
        }
        let mut checking = json!({});
        let warnings = warnings(&api, &policy["spec"]);
        if !warnings.is_empty() {
            checking["expressionWarnings"] = warnings.into();
        }
        let status = json!({"observedGeneration": generation, "typeChecking": checking});
        said::applied(kind, policy, WRITER, &status)
    })
    .await;
}

/// What is wrong with the expressions of a policy, by the types of what it is asked about.
fn warnings(api: &Api, spec: &Value) -> Vec<Value> {
    let params = params(api, &spec["paramKind"]);
    let environments: Vec<(String, Environment)> = kinds(api, spec)
        .into_iter()
        .filter_map(|kind| {
            let name = format!("{}, Kind={}", group_version(kind), kind.kind);
            Some((name, environment(spec, &of_kind(kind)?, params.clone())))
        })
        .collect();
    let mut warnings = Vec::new();
    for (at, validation) in list(spec, "/validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = text(validation, &format!("/{field}"));
            if source.is_empty() {
                continue;
            }
            let told = environments.iter().filter_map(|(kind, environment)| {
                let issues = environment.compile(source).err()?;
                Some(format!("{kind}: {}\n", display(source, &issues)))
            });
            let told: Vec<String> = told.collect();
            if !told.is_empty() {
                let place = format!("spec.validations[{at}].{field}");
                warnings.push(json!({"fieldRef": place, "warning": told.join("\n")}));
            }
        }
    }
    warnings
}

/// As Go prints a group and version.
fn group_version(kind: &KindInfo) -> String {
    format!("{}/{}", kind.group, kind.version)
}

/// What an expression sees of an object of this type.
fn environment(spec: &Value, object: &Type, params: Option<Type>) -> Environment {
    let mut environment = cel::environment(params.is_some(), true)
        .with("object", object.clone())
        .with("oldObject", object.clone())
        .with("variables", Type::object("kubernetes.variables", []));
    if let Some(params) = params {
        environment = environment.with("params", params);
    }
    for variable in list(spec, "/variables") {
        let program = environment.compile(text(variable, "/expression"));
        let kind = program.map_or(Type::Dyn, |program| program.kind().clone());
        environment = environment.with(&format!("variables.{}", text(variable, "/name")), kind);
    }
    environment
}

/// The type of a policy's parameters, if it has any.
fn params(api: &Api, said: &Value) -> Option<Type> {
    let version = text(said, "/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let name = text(said, "/kind");
    if name.is_empty() {
        return None;
    }
    let kind = schema::by_kind(group, version, name).or_else(|| {
        let customs = api.customs_of(group, version);
        customs.iter().map(|c| c.kind).find(|kind| kind.kind == name)
    });
    Some(kind.and_then(of_kind).unwrap_or(Type::Dyn))
}

/// The kinds that the rules of a policy name without a wildcard, in order (`typesToCheck`).
fn kinds(api: &Api, spec: &Value) -> Vec<&'static KindInfo> {
    let mut found: Vec<&'static KindInfo> = Vec::new();
    'rules: for rule in list(spec, "/matchConstraints/resourceRules") {
        let [groups, versions, mut resources] = ["/apiGroups", "/apiVersions", "/resources"].map(|field| {
            let mut all = strings(rule, field);
            all.sort_unstable();
            all
        });
        if groups.iter().chain(&versions).any(|name| name.contains('*')) {
            continue;
        }
        resources.retain(|name| !name.contains(['*', '/']));
        let mut count = 0;
        for group in groups {
            for version in &versions {
                for resource in &resources {
                    let Some(kind) = api.kind(group, version, resource) else {
                        continue;
                    };
                    if !found.iter().any(|other| std::ptr::eq(*other, kind)) {
                        found.push(kind);
                    }
                    count += 1;
                    if count == MOST {
                        break 'rules;
                    }
                }
            }
        }
    }
    found.sort_by_key(|kind| (kind.group, kind.version, kind.kind));
    found
}

/// The type of whole objects of a kind.
fn of_kind(kind: &'static KindInfo) -> Option<Type> {
    let Some(custom) = custom::of(kind) else {
        return of(schema::type_of(kind.definition)?, DEPTH);
    };
    let Type::Object(object) = structural::kind_of(custom.schema())? else {
        return None;
    };
    let mut fields: Vec<(String, Type)> = object
        .fields
        .values()
        .map(|field| (field.json.clone(), field.kind.clone()))
        .collect();
    fields.retain(|(name, _)| name != "metadata");
    let metadata = of(
        schema::type_of("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")?,
        DEPTH,
    )?;
    fields.push(("metadata".to_owned(), metadata));
    Some(Type::object("object", fields))
}

/// The type of what OpenAPI says of a field, unless expressions do not see it (`k8s.io/apiserver/pkg/cel/common/schemas.go`).
fn of(ty: schema::Type, depth: usize) -> Option<Type> {
    let Some(depth) = depth.checked_sub(1) else {
        return Some(Type::Dyn);
    };
    Some(match ty.shape() {
        Shape::Object { definition, .. } => {
            let fields = definition
                .fields()
                .iter()
                .filter_map(|field| Some((field.name().to_owned(), of(field.ty(), depth)?)));
            Type::object("object", fields)
        }
        Shape::List { item, .. } => Type::list(of(item, depth)?),
        Shape::Map { value, .. } => Type::map(Type::String, of(value, depth)?),
        Shape::Scalar(scalar) => match scalar {
            Scalar::String | Scalar::Duration => Type::String,
            Scalar::Int32 | Scalar::Int64 => Type::Int,
            Scalar::Float => Type::Double,
            Scalar::Bool => Type::Bool,
            Scalar::Bytes => Type::Bytes,
            Scalar::Time | Scalar::MicroTime => Type::Timestamp,
            Scalar::IntOrString => Type::Dyn,
            // A string or a number, which the document says in a way that is not looked at.
            Scalar::Quantity => return None,
            Scalar::FieldsV1 | Scalar::Raw => Type::object("object", []),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_types_of_the_document() {
        let told = |source: &str| {
            let kind = schema::by_resource("apps", "v1", "deployments").unwrap();
            let environment = environment(&Value::Null, &of_kind(kind).unwrap(), None);
            environment
                .compile(source)
                .err()
                .map(|issues| display(source, &issues))
        };
        for fine in [
            "object.spec.replicas > 1",
            "object.metadata.labels['a'] == 'b'",
            "object.spec.template.spec.containers.all(c, c.image.startsWith('x'))",
            "object.spec.strategy.rollingUpdate.maxSurge == 1",
            "object.metadata.creationTimestamp.getFullYear() == 2026",
        ] {
            assert_eq!(told(fine), None, "{fine}");
        }
        assert_eq!(
            told("object.spec.foo == 1").unwrap(),
            "ERROR: <input>:1:12: undefined field 'foo'\n | object.spec.foo == 1\n | ...........^"
        );
        assert!(
            told("object.spec.replicas == 'x'")
                .unwrap()
                .contains("found no matching overload for '_==_' applied to '(int, string)'")
        );
    }
}
