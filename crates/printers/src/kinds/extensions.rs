//! Kinds by which a cluster is extended: admission, flow control, storage drivers, devices, certificates.
use std::time::Duration;

use serde_json::Value;

use super::{AGE, NAME, c};
use crate::cell::{NONE, UNSET, age, flag, list, name, text, text_or};
use crate::{Column, Printer};

const COMPONENT: Printer = Printer {
    columns: &[
        NAME,
        c!("Status" "string"),
        c!("Message" "string"),
        c!("Error" "string"),
    ],
    cells: |o, _| {
        let found = list(o, "/conditions").iter().find(|c| c["type"] == "Healthy");
        let part = |field: &str| found.and_then(|c| c[field].as_str()).unwrap_or_default();
        let status = match part("status") {
            "" => "Unknown",
            "True" => "Healthy",
            _ => "Unhealthy",
        };
        vec![
            name(o),
            status.into(),
            part("message").into(),
            part("error").into(),
        ]
    },
};

const SIGNING_REQUEST: Printer = Printer {
    columns: &[
        NAME,
        AGE,
        c!("SignerName" "string"),
        c!("Requestor" "string"),
        c!("RequestedDuration" "string"),
        c!("Condition" "string"),
    ],
    cells: |o, now| {
        let has = |kind: &str| list(o, "/status/conditions").iter().any(|c| c["type"] == kind);
        let mut condition = match (has("Denied"), has("Approved")) {
            (true, _) => "Denied",
            (_, true) => "Approved",
            _ => "Pending",
        }
        .to_owned();
        if has("Failed") {
            condition += ",Failed";
        }
        if !text(o, "/status/certificate").is_empty() {
            condition += ",Issued";
        }
        let seconds = o["spec"]["expirationSeconds"].as_u64();
        let duration = seconds.map(|s| kube_types::human_duration(Duration::from_secs(s)));
        vec![
            name(o),
            age(o, now),
            text_or(o, "/spec/signerName", NONE).into(),
            text(o, "/spec/username").into(),
            duration.unwrap_or_else(|| NONE.to_owned()).into(),
            condition.into(),
        ]
    },
};

const RUNTIME_CLASS: Printer = Printer {
    columns: &[NAME, c!("Handler" "string"), AGE],
    cells: |o, now| vec![name(o), text(o, "/handler").into(), age(o, now)],
};

const CSI_DRIVER: Printer = Printer {
    columns: &[
        NAME,
        c!("AttachRequired" "boolean"),
        c!("PodInfoOnMount" "boolean"),
        c!("StorageCapacity" "boolean"),
        c!("TokenRequests" "string"),
        c!("RequiresRepublish" "boolean"),
        c!("Modes" "string"),
        AGE,
    ],
    cells: |o, now| {
        let joined = |items: &[Value], of: fn(&Value) -> Option<&str>| {
            let all: Vec<&str> = items.iter().filter_map(of).collect();
            all.join(",")
        };
        let tokens = match o["spec"]["tokenRequests"].as_array() {
            Some(all) => joined(all, |t| Some(t["audience"].as_str().unwrap_or_default())),
            None => UNSET.to_owned(),
        };
        let mut modes = joined(list(o, "/spec/volumeLifecycleModes"), Value::as_str);
        if modes.is_empty() {
            NONE.clone_into(&mut modes);
        }
        vec![
            name(o),
            flag(o, "/spec/attachRequired").into(),
            flag(o, "/spec/podInfoOnMount").into(),
            flag(o, "/spec/storageCapacity").into(),
            tokens.into(),
            flag(o, "/spec/requiresRepublish").into(),
            modes.into(),
            age(o, now),
        ]
    },
};

const CSI_NODE: Printer = Printer {
    columns: &[NAME, c!("Drivers" "integer"), AGE],
    cells: |o, now| vec![name(o), list(o, "/spec/drivers").len().into(), age(o, now)],
};

const VOLUME_ATTACHMENT: Printer = Printer {
    columns: &[
        NAME,
        Column {
            format: "name",
            ..c!("Attacher" "string")
        },
        c!("PV" "string"),
        c!("Node" "string"),
        c!("Attached" "boolean"),
        AGE,
    ],
    cells: |o, now| {
        vec![
            name(o),
            text(o, "/spec/attacher").into(),
            text(o, "/spec/source/persistentVolumeName").into(),
            text(o, "/spec/nodeName").into(),
            flag(o, "/status/attached").into(),
            age(o, now),
        ]
    },
};

const VOLUME_CLASS: Printer = Printer {
    columns: &[NAME, c!("DriverName" "string"), AGE],
    cells: |o, now| vec![name(o), text(o, "/driverName").into(), age(o, now)],
};

const WEBHOOKS: Printer = Printer {
    columns: &[NAME, c!("Webhooks" "integer"), AGE],
    cells: |o, now| vec![name(o), list(o, "/webhooks").len().into(), age(o, now)],
};

fn policy(o: &Value, rules: &str, now: i64) -> Vec<Value> {
    let kind = &o["spec"]["paramKind"];
    let part = |field: &str| kind[field].as_str().unwrap_or_default();
    let kind = if kind.is_object() {
        format!("{}/{}", part("apiVersion"), part("kind"))
    } else {
        UNSET.to_owned()
    };
    vec![name(o), list(o, rules).len().into(), kind.into(), age(o, now)]
}

const VALIDATING_POLICY: Printer = Printer {
    columns: &[NAME, c!("Validations" "integer"), c!("ParamKind" "string"), AGE],
    cells: |o, now| policy(o, "/spec/validations", now),
};

const MUTATING_POLICY: Printer = Printer {
    columns: &[NAME, c!("Mutations" "integer"), c!("ParamKind" "string"), AGE],
    cells: |o, now| policy(o, "/spec/mutations", now),
};

const POLICY_BINDING: Printer = Printer {
    columns: &[NAME, c!("PolicyName" "string"), c!("ParamRef" "string"), AGE],
    cells: |o, now| {
        let parameter = match text(o, "/spec/paramRef/name") {
            "" => UNSET.to_owned(),
            named => format!("{}/{named}", text_or(o, "/spec/paramRef/namespace", "*")),
        };
        vec![
            name(o),
            text(o, "/spec/policyName").into(),
            parameter.into(),
            age(o, now),
        ]
    },
};

const FLOW_SCHEMA: Printer = Printer {
    columns: &[
        NAME,
        c!("PriorityLevel" "string"),
        c!("MatchingPrecedence" "string"),
        c!("DistinguisherMethod" "string"),
        AGE,
        c!("MissingPL" "string"),
    ],
    cells: |o, now| {
        let dangling = list(o, "/status/conditions")
            .iter()
            .find(|c| c["type"] == "Dangling");
        vec![
            name(o),
            text(o, "/spec/priorityLevelConfiguration/name").into(),
            o["spec"]["matchingPrecedence"].clone(),
            text_or(o, "/spec/distinguisherMethod/type", NONE).into(),
            age(o, now),
            dangling.and_then(|c| c["status"].as_str()).unwrap_or("?").into(),
        ]
    },
};

const PRIORITY_LEVEL: Printer = Printer {
    columns: &[
        NAME,
        c!("Type" "string"),
        c!("NominalConcurrencyShares" "string"),
        c!("Queues" "string"),
        c!("HandSize" "string"),
        c!("QueueLengthLimit" "string"),
        AGE,
    ],
    cells: |o, now| {
        let number = |path: &str| o.pointer(path).cloned().unwrap_or_else(|| NONE.into());
        vec![
            name(o),
            text(o, "/spec/type").into(),
            number("/spec/limited/nominalConcurrencyShares"),
            number("/spec/limited/limitResponse/queuing/queues"),
            number("/spec/limited/limitResponse/queuing/handSize"),
            number("/spec/limited/limitResponse/queuing/queueLengthLimit"),
            age(o, now),
        ]
    },
};

const NAME_AND_AGE: Printer = Printer {
    columns: &[NAME, AGE],
    cells: |o, now| vec![name(o), age(o, now)],
};

const RESOURCE_CLAIM: Printer = Printer {
    columns: &[NAME, c!("State" "string"), AGE],
    cells: |o, now| {
        let mut states = Vec::new();
        let deleted = !o["metadata"]["deletionTimestamp"].is_null();
        if deleted {
            states.push("deleted");
        }
        if !o["status"]["allocation"].is_null() {
            states.push("allocated");
            if !list(o, "/status/reservedFor").is_empty() {
                states.push("reserved");
            }
        } else if !deleted {
            states.push("pending");
        }
        vec![name(o), states.join(",").into(), age(o, now)]
    },
};

const RESOURCE_SLICE: Printer = Printer {
    columns: &[
        NAME,
        c!("Node" "string"),
        c!("Driver" "string"),
        c!("Pool" "string"),
        AGE,
    ],
    cells: |o, now| {
        vec![
            name(o),
            text(o, "/spec/nodeName").into(),
            text(o, "/spec/driver").into(),
            text(o, "/spec/pool/name").into(),
            age(o, now),
        ]
    },
};

const SERVICE_RANGE: Printer = Printer {
    columns: &[NAME, c!("CIDRs" "string"), AGE],
    cells: |o, now| {
        let all: Vec<&str> = list(o, "/spec/cidrs").iter().filter_map(Value::as_str).collect();
        vec![name(o), all.join(",").into(), age(o, now)]
    },
};

const ADDRESS: Printer = Printer {
    columns: &[NAME, c!("ParentRef" "string")],
    cells: |o, now| {
        let parent = &o["spec"]["parentRef"];
        let part = |field: &str| parent[field].as_str().unwrap_or_default();
        let mut shown = part("resource").to_lowercase();
        for (separator, field) in [(".", "group"), ("/", "namespace"), ("/", "name")] {
            if !part(field).is_empty() {
                shown = format!("{shown}{separator}{}", part(field));
            }
        }
        let shown = if parent.is_object() {
            shown
        } else {
            NONE.to_owned()
        };
        // One more than there are columns, as upstream has it.
        vec![name(o), shown.into(), age(o, now)]
    },
};

/// The printer of one of these kinds.
pub(super) fn printer(definition: &str) -> Option<&'static Printer> {
    Some(match definition.strip_prefix("io.k8s.api.")? {
        "core.v1.ComponentStatus" => &COMPONENT,
        "certificates.v1.CertificateSigningRequest" => &SIGNING_REQUEST,
        "node.v1.RuntimeClass" => &RUNTIME_CLASS,
        "storage.v1.CSIDriver" => &CSI_DRIVER,
        "storage.v1.CSINode" => &CSI_NODE,
        "storage.v1.VolumeAttachment" => &VOLUME_ATTACHMENT,
        "storage.v1.VolumeAttributesClass" => &VOLUME_CLASS,
        "admissionregistration.v1.MutatingWebhookConfiguration"
        | "admissionregistration.v1.ValidatingWebhookConfiguration" => &WEBHOOKS,
        "admissionregistration.v1.ValidatingAdmissionPolicy" => &VALIDATING_POLICY,
        "admissionregistration.v1.MutatingAdmissionPolicy" => &MUTATING_POLICY,
        "admissionregistration.v1.ValidatingAdmissionPolicyBinding"
        | "admissionregistration.v1.MutatingAdmissionPolicyBinding" => &POLICY_BINDING,
        "flowcontrol.v1.FlowSchema" => &FLOW_SCHEMA,
        "flowcontrol.v1.PriorityLevelConfiguration" => &PRIORITY_LEVEL,
        "resource.v1.DeviceClass" | "resource.v1.ResourceClaimTemplate" => &NAME_AND_AGE,
        "resource.v1.ResourceClaim" => &RESOURCE_CLAIM,
        "resource.v1.ResourceSlice" => &RESOURCE_SLICE,
        "networking.v1.ServiceCIDR" => &SERVICE_RANGE,
        "networking.v1.IPAddress" => &ADDRESS,
        _ => return None,
    })
}
