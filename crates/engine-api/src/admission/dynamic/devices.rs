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

/// Everything wrong with the selectors of a class, a claim or a template.
pub fn causes(kind: &str, object: &Value) -> Vec<Cause> {
    let (mut causes, environment) = (Vec::new(), environment());
    let spec = match kind {
        "DeviceClass" => {
            selectors(&mut causes, &environment, &object["spec"], "spec");
            return causes;
        }
        "ResourceClaim" => "spec",
        "ResourceClaimTemplate" => "spec.spec",
        _ => return causes,
    };
    let pointer = format!("/{}/devices/requests", spec.replace('.', "/"));
    for (at, request) in list(object, &pointer).iter().enumerate() {
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
