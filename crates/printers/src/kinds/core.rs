use serde_json::{Value, json};

use super::{AGE, NAME, c};
use crate::Printer;
use crate::cell::{
    NONE, UNKNOWN, UNSET, age, first_few, labels, list, name, number, seconds, since, size, text, text_or,
};

pub(super) const CONFIG_MAP: Printer = Printer {
    columns: &[NAME, c!("Data" "string"), AGE],
    cells: |o, now| {
        vec![
            name(o),
            (size(o, "/data") + size(o, "/binaryData")).into(),
            age(o, now),
        ]
    },
};

pub(super) const SECRET: Printer = Printer {
    columns: &[NAME, c!("Type" "string"), c!("Data" "string"), AGE],
    cells: |o, now| {
        vec![
            name(o),
            text(o, "/type").into(),
            size(o, "/data").into(),
            age(o, now),
        ]
    },
};

pub(super) const SERVICE_ACCOUNT: Printer = Printer {
    columns: &[NAME, AGE],
    cells: |o, now| vec![name(o), age(o, now)],
};

pub(super) const SERVICE: Printer = Printer {
    columns: &[
        NAME,
        c!("Type" "string"),
        c!("Cluster-IP" "string"),
        c!("External-IP" "string"),
        c!("Port(s)" "string"),
        AGE,
        c!(wide "Selector" "string"),
    ],
    cells: |o, now| {
        let ips = list(o, "/spec/clusterIPs");
        let ip = ips
            .first()
            .and_then(Value::as_str)
            .unwrap_or_else(|| text_or(o, "/spec/clusterIP", NONE));
        vec![
            name(o),
            text(o, "/spec/type").into(),
            ip.into(),
            external_ips(o).into(),
            ports(o).into(),
            age(o, now),
            labels(o.pointer("/spec/selector")).into(),
        ]
    },
};

/// After `getServiceExternalIP`.
fn external_ips(service: &Value) -> String {
    let fixed: Vec<&str> = list(service, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let or_none = |ips: Vec<&str>| {
        if ips.is_empty() {
            NONE.to_owned()
        } else {
            ips.join(",")
        }
    };
    match text(service, "/spec/type") {
        "LoadBalancer" => {
            let ingress = list(service, "/status/loadBalancer/ingress").iter();
            let mut all: Vec<&str> = ingress
                .filter_map(|i| i["ip"].as_str().or_else(|| i["hostname"].as_str()))
                .collect();
            if all.is_empty() && fixed.is_empty() {
                return "<pending>".to_owned();
            }
            all.extend(fixed);
            all.join(",")
        }
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => or_none(fixed),
    }
}

fn ports(service: &Value) -> String {
    let ports: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|p| {
            let protocol = p["protocol"].as_str().unwrap_or("TCP");
            match number(p, "/nodePort") {
                0 => format!("{}/{protocol}", number(p, "/port")),
                node => format!("{}:{node}/{protocol}", number(p, "/port")),
            }
        })
        .collect();
    if ports.is_empty() {
        NONE.to_owned()
    } else {
        ports.join(",")
    }
}

pub(super) const ENDPOINTS: Printer = Printer {
    columns: &[NAME, c!("Endpoints" "string"), AGE],
    cells: |o, now| {
        let mut all = Vec::new();
        for subset in list(o, "/subsets") {
            let (addresses, ports) = (list(subset, "/addresses"), list(subset, "/ports"));
            if ports.is_empty() {
                all.extend(
                    addresses
                        .iter()
                        .filter_map(|a| a["ip"].as_str())
                        .map(str::to_owned),
                );
            }
            for port in ports {
                let port = number(port, "/port");
                all.extend(
                    addresses
                        .iter()
                        .filter_map(|a| a["ip"].as_str())
                        .map(|ip| format!("{ip}:{port}")),
                );
            }
        }
        vec![name(o), first_few(&all, 3).into(), age(o, now)]
    },
};

pub(super) const ENDPOINT_SLICE: Printer = Printer {
    columns: &[
        NAME,
        c!("AddressType" "string"),
        c!("Ports" "string"),
        c!("Endpoints" "string"),
        AGE,
    ],
    cells: |o, now| {
        let ports: Vec<String> = list(o, "/ports")
            .iter()
            .map(|p| {
                p["port"]
                    .as_i64()
                    .map_or_else(|| "*".to_owned(), |port| port.to_string())
            })
            .collect();
        let addresses: Vec<String> = list(o, "/endpoints")
            .iter()
            .flat_map(|e| list(e, "/addresses"))
            .filter_map(|a| a.as_str().map(str::to_owned))
            .collect();
        let ports = if ports.is_empty() {
            UNSET.to_owned()
        } else {
            first_few(&ports, 3)
        };
        let addresses = if addresses.is_empty() {
            UNSET.to_owned()
        } else {
            first_few(&addresses, 3)
        };
        vec![
            name(o),
            text(o, "/addressType").into(),
            ports.into(),
            addresses.into(),
            age(o, now),
        ]
    },
};

pub(super) const EVENT: Printer = Printer {
    columns: EVENT_COLUMNS,
    cells: |o, now| event(o, "involvedObject", now),
};
pub(super) const EVENT_V1: Printer = Printer {
    columns: EVENT_COLUMNS,
    cells: |o, now| event(o, "regarding", now),
};

const EVENT_COLUMNS: &[crate::Column] = &[
    c!("Last Seen" "string"),
    c!("Type" "string"),
    c!("Reason" "string"),
    c!("Object" "string"),
    c!(wide "Subobject" "string"),
    c!(wide "Source" "string"),
    c!("Message" "string"),
    c!(wide "First Seen" "string"),
    c!(wide "Count" "string"),
    crate::Column { priority: 1, ..NAME },
];

/// After `printEvent`; events of both API versions are stored in the core form, so the old names of fields are tried too.
fn event(o: &Value, object_field: &str, now: i64) -> Vec<Value> {
    let pick = |names: [&str; 2]| {
        names
            .into_iter()
            .map(|n| text(o, n))
            .find(|t| !t.is_empty())
            .unwrap_or_default()
    };
    let first = {
        let first = pick(["/firstTimestamp", "/deprecatedFirstTimestamp"]);
        if first.is_empty() {
            text(o, "/eventTime")
        } else {
            first
        }
    };
    let last = {
        let series = text(o, "/series/lastObservedTime");
        let last = pick(["/lastTimestamp", "/deprecatedLastTimestamp"]);
        [series, last, first]
            .into_iter()
            .find(|t| !t.is_empty())
            .unwrap_or_default()
    };
    let count = [
        number(o, "/series/count"),
        number(o, "/count"),
        number(o, "/deprecatedCount"),
    ];
    let count = count.into_iter().find(|c| *c > 0).unwrap_or(1);
    let object = &o[object_field];
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let target = match object["name"].as_str().unwrap_or_default() {
        "" => kind,
        named => format!("{kind}/{named}"),
    };
    let component = pick(["/source/component", "/deprecatedSource/component"]);
    let component = if component.is_empty() {
        text(o, "/reportingComponent")
    } else {
        component
    };
    let component = if component.is_empty() {
        text(o, "/reportingController")
    } else {
        component
    };
    let host = pick(["/source/host", "/deprecatedSource/host"]);
    let host = if host.is_empty() {
        text(o, "/reportingInstance")
    } else {
        host
    };
    let source = [component, host]
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    let seen = |time: &str| {
        if seconds(time).is_some() {
            since(time, now)
        } else {
            UNKNOWN.to_owned()
        }
    };
    vec![
        seen(last).into(),
        text(o, "/type").into(),
        text(o, "/reason").into(),
        target.into(),
        object["fieldPath"].as_str().unwrap_or_default().into(),
        source.into(),
        pick(["/message", "/note"]).trim().into(),
        seen(first).into(),
        json!(count),
        name(o),
    ]
}
