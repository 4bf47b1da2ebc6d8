//! Defaults of the kinds by which a cluster is extended: admission, flow control, storage drivers, devices, custom resources
//! (`pkg/apis/{admissionregistration,flowcontrol,storage,resource}/v1/defaults.go` and apiextensions' `v1/defaults.go` of 1.36).

use serde_json::{Map, Value, json};

use crate::defaults::{default_absent, default_in, default_zero, is_zero, text};

type Fields = Map<String, Value>;

/// The rule of a definition, whose name comes without `io.k8s.`.
pub(crate) fn default_extension(name: &str, fields: &mut Fields) {
    match name {
        "api.admissionregistration.v1.ValidatingWebhook" => default_webhook(fields),
        "api.admissionregistration.v1.MutatingWebhook" => {
            default_webhook(fields);
            default_absent(fields, "reinvocationPolicy", "Never");
        }
        "api.admissionregistration.v1.RuleWithOperations"
        | "api.admissionregistration.v1.NamedRuleWithOperations" => default_absent(fields, "scope", "*"),
        "api.admissionregistration.v1.ServiceReference"
        | "apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference"
        | "kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference" => {
            default_absent(fields, "port", 443)
        }
        "api.admissionregistration.v1.ValidatingAdmissionPolicySpec"
        | "api.admissionregistration.v1.MutatingAdmissionPolicySpec" => {
            default_absent(fields, "failurePolicy", "Fail");
        }
        "api.admissionregistration.v1.MatchResources" => default_match(fields),
        "api.flowcontrol.v1.FlowSchemaSpec" => default_zero(fields, "matchingPrecedence", 1000),
        "api.flowcontrol.v1.ExemptPriorityLevelConfiguration" => {
            default_absent(fields, "nominalConcurrencyShares", 0);
            default_absent(fields, "lendablePercent", 0);
        }
        "api.flowcontrol.v1.LimitedPriorityLevelConfiguration" => {
            default_absent(fields, "nominalConcurrencyShares", 30);
            default_absent(fields, "lendablePercent", 0);
        }
        "api.flowcontrol.v1.QueuingConfiguration" => {
            default_zero(fields, "handSize", 8);
            default_zero(fields, "queues", 64);
            default_zero(fields, "queueLengthLimit", 50);
        }
        "api.resource.v1.ExactDeviceRequest" | "api.resource.v1.DeviceSubRequest" => {
            default_zero(fields, "allocationMode", "ExactCount");
            if text(fields, "allocationMode") == "ExactCount" {
                default_zero(fields, "count", 1);
            }
        }
        "api.storage.v1.CSIDriverSpec" => default_driver(fields),
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition" => {
            default_custom(fields)
        }
        _ => {}
    }
}

fn default_match(fields: &mut Fields) {
    default_absent(fields, "matchPolicy", "Equivalent");
    default_absent(fields, "namespaceSelector", json!({}));
    default_absent(fields, "objectSelector", json!({}));
}

fn default_webhook(fields: &mut Fields) {
    default_absent(fields, "failurePolicy", "Fail");
    default_match(fields);
    default_absent(fields, "timeoutSeconds", 10);
}

fn default_driver(fields: &mut Fields) {
    default_absent(fields, "attachRequired", true);
    for field in [
        "podInfoOnMount",
        "storageCapacity",
        "requiresRepublish",
        "seLinuxMount",
    ] {
        default_absent(fields, field, false);
    }
    default_absent(fields, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    default_zero(fields, "volumeLifecycleModes", json!(["Persistent"]));
}

fn default_custom(fields: &mut Fields) {
    default_in(fields, "spec", |spec| {
        default_in(spec, "names", |names| {
            let kind = text(names, "kind").to_owned();
            if !kind.is_empty() {
                default_zero(names, "singular", kind.to_lowercase());
                default_zero(names, "listKind", format!("{kind}List"));
            }
        });
        default_absent(spec, "conversion", json!({"strategy": "None"}));
    });
    let versions = fields.get("spec").and_then(|spec| spec["versions"].as_array());
    let kept = versions.into_iter().flatten().find(|v| v["storage"] == true);
    let Some(kept) = kept.map(|v| v["name"].clone()) else {
        return;
    };
    default_in(fields, "status", |status| {
        if is_zero(status, "storedVersions") {
            status.insert("storedVersions".to_owned(), json!([kept]));
        }
    });
}
