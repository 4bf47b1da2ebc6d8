//! What is wrong with the expressions that select devices (`validateCELSelector` of `pkg/apis/resource/validation/validation.go`,
//! `k8s.io/dynamic-resource-allocation/cel/compile.go`). Whether they cost too much is not worked out.
use expressions::{Environment, Type, display};
use serde_json::Value;
use validation::Cause;

use crate::{
    api::Api,
    json::{list, text},
    keys,
};

/// A longer one is not compiled.
const LONGEST: usize = 10 * 1024;

/// `device` is all that they know.
fn environment() -> Environment {
    let by_domain = |kind| Type::map(Type::String, Type::map(Type::String, kind));
    let fields = [
        ("driver", Type::String),
        ("allowMultipleAllocations", Type::Bool),
        ("attributes", by_domain(Type::Dyn)),
        ("capacity", by_domain(Type::Opaque("kubernetes.Quantity"))),
    ];
    let fields = fields.map(|(name, kind)| (name.to_owned(), kind));
    Environment::default().with("device", Type::object("kubernetes.DRADevice", fields))
}

/// The specification of devices in an object of this kind.
fn spec_of(kind: &str) -> Option<&'static str> {
    match kind {
        "DeviceClass" | "ResourceClaim" => Some("spec"),
        "ResourceClaimTemplate" => Some("spec.spec"),
        _ => None,
    }
}

/// Put what is wrong with selectors where upstream comes to them, between what else is wrong.
pub fn merge(kind: &str, causes: &mut Vec<Cause>, found: Vec<Cause>) {
    let Some(spec) = spec_of(kind) else {
        causes.extend(found);
        return;
    };
    for cause in found {
        let own = place(spec, &cause.field);
        let after = causes.iter().position(|other| place(spec, &other.field) > own);
        causes.insert(after.unwrap_or(causes.len()), cause);
    }
}

/// When upstream comes to a field: metadata, requests one by one with the class before the selectors, all else, and whether anything
/// has changed that may not.
fn place(spec: &str, field: &str) -> [usize; 4] {
    let part = |rest: &str| match rest.split(['.', '[']).nth(1).unwrap_or_default() {
        "" | "name" | "deviceClassName" => 0,
        "selectors" => 1,
        _ => 2,
    };
    let index = |rest: &str| {
        let (number, rest) = rest.split_once(']')?;
        Some((number.parse::<usize>().ok()?, rest.to_owned()))
    };
    if field == "spec" {
        return [3, 0, 0, 0];
    }
    let Some(rest) = field.strip_prefix(spec) else {
        return [0; 4];
    };
    if rest.starts_with(".selectors") {
        return [1, 0, 0, 0];
    }
    let Some((request, rest)) = rest.strip_prefix(".devices.requests[").and_then(index) else {
        return [2, 0, 0, 0];
    };
    if let Some((sub, rest)) = rest.strip_prefix(".firstAvailable[").and_then(index) {
        return [1, request, sub + 1, part(&rest)];
    }
    match rest.strip_prefix(".exactly") {
        Some(rest) => [1, request, 1, part(rest)],
        None => [1, request, 0, 0],
    }
}

/// Everything wrong with the selectors of a class, a claim or a template.
pub fn causes(kind: &str, object: &Value) -> Vec<Cause> {
    let (mut causes, environment) = (Vec::new(), environment());
    let Some(spec) = spec_of(kind) else { return causes };
    if kind == "DeviceClass" {
        selectors(&mut causes, &environment, &object["spec"], spec);
        return causes;
    }
    let pointer = format!("/{}/devices/requests", spec.replace('.', "/"));
    for (at, request) in list(object, &pointer).iter().enumerate() {
        // Who asks in both ways is told of that alone.
        if request["exactly"].is_object() && !list(request, "/firstAvailable").is_empty() {
            continue;
        }
        let path = format!("{spec}.devices.requests[{at}]");
        selectors(
            &mut causes,
            &environment,
            &request["exactly"],
            &format!("{path}.exactly"),
        );
        for (at, one) in list(request, "/firstAvailable").iter().enumerate() {
            let path = format!("{path}.firstAvailable[{at}]");
            selectors(&mut causes, &environment, one, &path);
        }
    }
    causes
}

/// The label of a namespace in which devices may be had as their administrator.
const ADMIN: &str = "resource.kubernetes.io/admin-access";

/// Whether a new claim, or the claims of a template, may have devices as their administrator (`AuthorizedForAdmin` of
/// `pkg/registry/resource/utils.go`).
pub fn administration(api: &Api, kind: &str, object: &Value) -> Option<Cause> {
    let requests = match kind {
        "ResourceClaim" => list(object, "/spec/devices/requests"),
        "ResourceClaimTemplate" => list(object, "/spec/spec/devices/requests"),
        _ => return None,
    };
    let at = requests
        .iter()
        .position(|r| r["exactly"]["adminAccess"] == true)?;
    let namespace = api
        .store
        .get(&keys::core("namespaces", "", text(object, "/metadata/namespace")));
    if namespace.is_some_and(|found| found.value()["metadata"]["labels"][ADMIN] == "true") {
        return None;
    }
    Some(Cause {
        reason: "FieldValueForbidden",
        // Upstream's path leaves out `exactly`.
        field: format!("spec.devices.requests[{at}].adminAccess"),
        message: format!(
            "Forbidden: admin access to devices requires the `{ADMIN}: true` label on the containing namespace"
        ),
    })
}

fn selectors(causes: &mut Vec<Cause>, environment: &Environment, of: &Value, path: &str) {
    for (at, selector) in list(of, "/selectors").iter().enumerate() {
        let Some(cel) = selector.get("cel") else { continue };
        let source = cel["expression"].as_str().unwrap_or_default();
        // The macro `cel.bind` is none that we know.
        if source.len() > LONGEST || source.contains("cel.bind") {
            continue;
        }
        if let Err(detail) = compile(environment, source) {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                field: format!("{path}.selectors[{at}].cel.expression"),
                message: format!("Invalid value: {source:?}: {detail}"),
            });
        }
    }
}

fn compile(environment: &Environment, source: &str) -> Result<(), String> {
    let program = environment
        .compile(source)
        .map_err(|issues| format!("compilation failed: {}", display(source, &issues)))?;
    match program.kind() {
        Type::Bool | Type::Dyn => Ok(()),
        other => Err(format!("must evaluate to bool or the unknown type, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(expression: &str) -> Vec<String> {
        let class = json!({"spec": {"selectors": [{"cel": {"expression": expression}}]}});
        let told = |cause: Cause| format!("{}: {}", cause.field, cause.message);
        causes("DeviceClass", &class).into_iter().map(told).collect()
    }

    #[test]
    fn selectors_are_told_of_where_upstream_comes_to_them() {
        let cause = |field: &str| Cause {
            reason: "",
            field: field.to_owned(),
            message: String::new(),
        };
        let mut causes: Vec<Cause> = [
            "spec.metadata.uID",
            "spec.spec.devices.requests[0].exactly.deviceClassName",
            "spec.spec.devices.requests[0].exactly.count",
            "spec.spec.devices.requests[1].firstAvailable[0].name",
            "spec.spec.devices.config[0]",
            "spec",
        ]
        .map(cause)
        .into();
        let found = [
            "spec.spec.devices.requests[0].exactly.selectors[0].cel.expression",
            "spec.spec.devices.requests[1].firstAvailable[0].selectors[0].cel.expression",
        ];
        merge("ResourceClaimTemplate", &mut causes, found.map(cause).into());
        let fields: Vec<&str> = causes.iter().map(|c| c.field.as_str()).collect();
        assert_eq!([fields[2], fields[5]], found);
        assert_eq!(fields.last(), Some(&"spec"));
    }

    #[test]
    fn selectors_are_compiled() {
        for sound in [
            "true",
            "device.driver == 'a.b' && device.attributes['a.b'].model == 'x'",
            "device.capacity['a.b'].memory.compareTo(quantity('1Gi')) >= 0",
            "device.attributes['a.b'].flag",
            "!device.allowMultipleAllocations",
        ] {
            assert_eq!(faults(sound), [""; 0], "{sound}");
        }
        assert_eq!(
            faults("device.driver"),
            [
                "spec.selectors[0].cel.expression: Invalid value: \"device.driver\": must evaluate to bool or the unknown type, not string"
            ]
        );
        let [unknown] = &faults("device.nothing")[..] else {
            panic!("one fault")
        };
        assert!(
            unknown.contains("compilation failed: ERROR: <input>:1:7: undefined field 'nothing'"),
            "{unknown}"
        );
    }
}
