use serde_json::Value;

use super::{AGE, NAME, c};
use crate::Printer;
use crate::cell::{NONE, UNKNOWN, age, flag, list, name, number, text, text_or};
use crate::labels::selector;

pub(super) const PRIORITY_CLASS: Printer = Printer {
    columns: &[
        NAME,
        c!("Value" "integer"),
        c!("Global-Default" "boolean"),
        AGE,
        c!("PreemptionPolicy" "string"),
    ],
    cells: |o, now| {
        vec![
            name(o),
            number(o, "/value").into(),
            flag(o, "/globalDefault").into(),
            age(o, now),
            text_or(o, "/preemptionPolicy", "PreemptLowerPriority").into(),
        ]
    },
};

pub(super) const QUOTA: Printer = Printer {
    columns: &[NAME, c!("Request" "string"), c!("Limit" "string"), AGE],
    cells: |o, now| {
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (resource, hard) in o
            .pointer("/status/hard")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let used = o["status"]["used"][resource].as_str().unwrap_or("0");
            let cell = format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default());
            if resource.starts_with("limits.") {
                limits.push(cell)
            } else {
                requests.push(cell)
            }
        }
        vec![
            name(o),
            requests.join(", ").into(),
            limits.join(", ").into(),
            age(o, now),
        ]
    },
};

pub(super) const LIMIT_RANGE: Printer = Printer {
    columns: &[NAME, c!("Created At" "date")],
    cells: |o, _| vec![name(o), text(o, "/metadata/creationTimestamp").into()],
};

pub(super) const DISRUPTION_BUDGET: Printer = Printer {
    columns: &[
        NAME,
        c!("Min Available" "string"),
        c!("Max Unavailable" "string"),
        c!("Allowed Disruptions" "integer"),
        AGE,
    ],
    cells: |o, now| {
        vec![
            name(o),
            number_or_percent(&o["spec"]["minAvailable"]).into(),
            number_or_percent(&o["spec"]["maxUnavailable"]).into(),
            number(o, "/status/disruptionsAllowed").into(),
            age(o, now),
        ]
    },
};

fn number_or_percent(value: &Value) -> String {
    match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        _ => "N/A".to_owned(),
    }
}

pub(super) const AUTOSCALER: Printer = Printer {
    columns: &[
        NAME,
        c!("Reference" "string"),
        c!("Targets" "string"),
        c!("MinPods" "string"),
        c!("MaxPods" "string"),
        c!("Replicas" "string"),
        AGE,
    ],
    cells: |o, now| autoscaler(o, targets(o), now),
};

pub(super) const AUTOSCALER_V1: Printer = Printer {
    columns: AUTOSCALER.columns,
    cells: |o, now| {
        let percent = |pointer: &str| {
            o.pointer(pointer)
                .and_then(Value::as_i64)
                .map(|v| format!("{v}%"))
        };
        let targets = percent("/spec/targetCPUUtilizationPercentage").map_or_else(
            || NONE.to_owned(),
            |target| {
                let current =
                    percent("/status/currentCPUUtilizationPercentage").unwrap_or_else(|| UNKNOWN.to_owned());
                format!("cpu: {current}/{target}")
            },
        );
        autoscaler(o, targets, now)
    },
};

fn autoscaler(o: &Value, targets: String, now: i64) -> Vec<Value> {
    let minimum = o["spec"]["minReplicas"]
        .as_i64()
        .map_or_else(|| "<unset>".to_owned(), |m| m.to_string());
    vec![
        name(o),
        format!(
            "{}/{}",
            text(o, "/spec/scaleTargetRef/kind"),
            text(o, "/spec/scaleTargetRef/name")
        )
        .into(),
        targets.into(),
        minimum.into(),
        number(o, "/spec/maxReplicas").into(),
        number(o, "/status/currentReplicas").into(),
        age(o, now),
    ]
}

/// After `formatHPAMetrics`: at most two metrics, the rest counted.
fn targets(o: &Value) -> String {
    let specs = list(o, "/spec/metrics");
    if specs.is_empty() {
        return NONE.to_owned();
    }
    let current = list(o, "/status/currentMetrics");
    let mut shown: Vec<String> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let kind = spec["type"].as_str().unwrap_or_default();
        let field = match kind {
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            "Pods" => "pods",
            "Object" => "object",
            "External" => "external",
            _ => {
                shown.push("<unknown type>".to_owned());
                continue;
            }
        };
        let (wanted, now) = (
            &spec[field]["target"],
            current.get(index).map(|c| &c[field]["current"]),
        );
        let value = |key: &str| now.and_then(|n| n[key].as_str()).unwrap_or(UNKNOWN).to_owned();
        let pair = if let Some(percent) = wanted["averageUtilization"].as_i64() {
            let now = now.and_then(|n| n["averageUtilization"].as_i64());
            format!(
                "{}/{percent}%",
                now.map_or_else(|| UNKNOWN.to_owned(), |n| format!("{n}%"))
            )
        } else if let Some(average) = wanted["averageValue"].as_str() {
            let suffix = if matches!(field, "external" | "object") {
                " (avg)"
            } else {
                ""
            };
            format!("{}/{average}{suffix}", value("averageValue"))
        } else {
            format!(
                "{}/{}",
                value("value"),
                wanted["value"].as_str().unwrap_or("<auto>")
            )
        };
        let prefix = match field {
            "resource" | "containerResource" => {
                format!("{}: ", spec[field]["name"].as_str().unwrap_or_default())
            }
            _ => String::new(),
        };
        shown.push(prefix + &pair);
    }
    let more = shown.len().saturating_sub(2);
    shown.truncate(2);
    let text = shown.join(", ");
    if more > 0 {
        format!("{text} + {more} more...")
    } else {
        text
    }
}

pub(super) const NETWORK_POLICY: Printer = Printer {
    columns: &[NAME, c!("Pod-Selector" "string"), AGE],
    cells: |o, now| {
        vec![
            name(o),
            selector(o.pointer("/spec/podSelector")).into(),
            age(o, now),
        ]
    },
};

pub(super) const INGRESS: Printer = Printer {
    columns: &[
        NAME,
        c!("Class" "string"),
        c!("Hosts" "string"),
        c!("Address" "string"),
        c!("Ports" "string"),
        AGE,
    ],
    cells: |o, now| {
        let hosts: Vec<&str> = list(o, "/spec/rules")
            .iter()
            .filter_map(|r| r["host"].as_str())
            .collect();
        let addresses: Vec<&str> = list(o, "/status/loadBalancer/ingress")
            .iter()
            .filter_map(|i| i["ip"].as_str().or_else(|| i["hostname"].as_str()))
            .collect();
        let ports = if list(o, "/spec/tls").is_empty() {
            "80"
        } else {
            "80, 443"
        };
        vec![
            name(o),
            text_or(o, "/spec/ingressClassName", NONE).into(),
            some_hosts(&hosts, list(o, "/spec/rules").len()).into(),
            addresses.join(",").into(),
            ports.into(),
            age(o, now),
        ]
    },
};

/// The first three.
fn some_hosts(hosts: &[&str], rules: usize) -> String {
    const SHOWN: usize = 3;
    match hosts.len() {
        0 => "*".to_owned(),
        n if n > SHOWN => format!("{} + {} more...", hosts[..SHOWN].join(","), rules - SHOWN),
        _ => hosts.join(","),
    }
}

pub(super) const INGRESS_CLASS: Printer = Printer {
    columns: &[NAME, c!("Controller" "string"), c!("Parameters" "string"), AGE],
    cells: |o, now| {
        let parameters = &o["spec"]["parameters"];
        let parameters = match parameters["kind"].as_str() {
            Some(kind) => {
                let group = parameters["apiGroup"]
                    .as_str()
                    .map(|g| format!(".{g}"))
                    .unwrap_or_default();
                format!(
                    "{kind}{group}/{}",
                    parameters["name"].as_str().unwrap_or_default()
                )
            }
            None => NONE.to_owned(),
        };
        vec![
            name(o),
            text(o, "/spec/controller").into(),
            parameters.into(),
            age(o, now),
        ]
    },
};
