use std::time::Duration;

use serde_json::Value;

use super::{AGE, NAME, c};
use crate::cell::{NONE, age, containers, flag, labels, list, name, number, seconds, since, text, text_or};
use crate::labels::selector;
use crate::{Column, Printer};

/// What `-o wide` adds to a workload: its containers, their images, the selector of its pods.
fn wide(workload: &Value) -> [Value; 3] {
    let (names, images) = containers(workload);
    let own = workload.pointer("/spec/selector");
    // A ReplicationController's is no more than labels.
    let selected = if workload["kind"] == "ReplicationController" {
        labels(own)
    } else {
        selector(own)
    };
    [names.into(), images.into(), selected.into()]
}

pub(super) const DEPLOYMENT: Printer = Printer {
    columns: &[
        NAME,
        c!("Ready" "string"),
        c!("Up-to-date" "string"),
        c!("Available" "string"),
        AGE,
        c!(wide "Containers" "string"),
        c!(wide "Images" "string"),
        c!(wide "Selector" "string"),
    ],
    cells: |o, now| {
        vec![
            name(o),
            format!(
                "{}/{}",
                number(o, "/status/readyReplicas"),
                number(o, "/spec/replicas")
            )
            .into(),
            number(o, "/status/updatedReplicas").into(),
            number(o, "/status/availableReplicas").into(),
            age(o, now),
        ]
        .into_iter()
        .chain(wide(o))
        .collect()
    },
};

/// What the subresource of any kind shows.
pub(super) const SCALE: Printer = Printer {
    // Whose name is, of all, not the primary column.
    columns: &[
        Column { format: "", ..NAME },
        c!("Desired" "integer"),
        c!("Available" "integer"),
        AGE,
    ],
    cells: |o, now| {
        vec![
            name(o),
            number(o, "/spec/replicas").into(),
            number(o, "/status/replicas").into(),
            age(o, now),
        ]
    },
};

pub(super) const REPLICA_SET: Printer = Printer {
    columns: &[
        NAME,
        c!("Desired" "integer"),
        c!("Current" "integer"),
        c!("Ready" "integer"),
        AGE,
        c!(wide "Containers" "string"),
        c!(wide "Images" "string"),
        c!(wide "Selector" "string"),
    ],
    cells: |o, now| {
        vec![
            name(o),
            number(o, "/spec/replicas").into(),
            number(o, "/status/replicas").into(),
            number(o, "/status/readyReplicas").into(),
            age(o, now),
        ]
        .into_iter()
        .chain(wide(o))
        .collect()
    },
};

pub(super) const POD_TEMPLATE: Printer = Printer {
    columns: &[
        NAME,
        c!("Containers" "string"),
        c!("Images" "string"),
        c!("Pod Labels" "string"),
    ],
    cells: |o, _| {
        let of = |key: &str| {
            let all = list(o, "/template/spec/containers").iter();
            all.filter_map(|c| c[key].as_str()).collect::<Vec<_>>().join(",")
        };
        vec![
            name(o),
            of("name").into(),
            of("image").into(),
            labels(o.pointer("/template/metadata/labels")).into(),
        ]
    },
};

pub(super) const STATEFUL_SET: Printer = Printer {
    columns: &[
        NAME,
        c!("Ready" "string"),
        AGE,
        c!(wide "Containers" "string"),
        c!(wide "Images" "string"),
    ],
    cells: |o, now| {
        vec![
            name(o),
            format!(
                "{}/{}",
                number(o, "/status/readyReplicas"),
                number(o, "/spec/replicas")
            )
            .into(),
            age(o, now),
        ]
        .into_iter()
        .chain(wide(o).into_iter().take(2))
        .collect()
    },
};

pub(super) const DAEMON_SET: Printer = Printer {
    columns: &[
        NAME,
        c!("Desired" "integer"),
        c!("Current" "integer"),
        c!("Ready" "integer"),
        c!("Up-to-date" "integer"),
        c!("Available" "integer"),
        c!("Node Selector" "string"),
        AGE,
        c!(wide "Containers" "string"),
        c!(wide "Images" "string"),
        c!(wide "Selector" "string"),
    ],
    cells: |o, now| {
        vec![
            name(o),
            number(o, "/status/desiredNumberScheduled").into(),
            number(o, "/status/currentNumberScheduled").into(),
            number(o, "/status/numberReady").into(),
            number(o, "/status/updatedNumberScheduled").into(),
            number(o, "/status/numberAvailable").into(),
            labels(o.pointer("/spec/template/spec/nodeSelector")).into(),
            age(o, now),
        ]
        .into_iter()
        .chain(wide(o))
        .collect()
    },
};

pub(super) const CONTROLLER_REVISION: Printer = Printer {
    columns: &[NAME, c!("Controller" "string"), c!("Revision" "string"), AGE],
    cells: |o, now| {
        let owner = list(o, "/metadata/ownerReferences")
            .iter()
            .find(|r| r["controller"] == true);
        let owner = owner.map_or_else(
            || NONE.to_owned(),
            |r| {
                let (group, kind) = (text(r, "/apiVersion"), text(r, "/kind").to_lowercase());
                let resource = match group.split_once('/') {
                    Some((group, _)) => format!("{kind}.{group}"),
                    None => kind,
                };
                format!("{resource}/{}", text(r, "/name"))
            },
        );
        vec![name(o), owner.into(), number(o, "/revision").into(), age(o, now)]
    },
};

pub(super) const JOB: Printer = Printer {
    columns: &[
        NAME,
        c!("Status" "string"),
        c!("Completions" "string"),
        c!("Duration" "string"),
        AGE,
        c!(wide "Containers" "string"),
        c!(wide "Images" "string"),
        c!(wide "Selector" "string"),
    ],
    cells: |o, now| {
        let succeeded = number(o, "/status/succeeded");
        let completions = match (o["spec"]["completions"].as_i64(), number(o, "/spec/parallelism")) {
            (Some(wanted), _) => format!("{succeeded}/{wanted}"),
            (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
            (None, _) => format!("{succeeded}/1"),
        };
        vec![
            name(o),
            job_status(o).into(),
            completions.into(),
            job_duration(o, now).into(),
            age(o, now),
        ]
        .into_iter()
        .chain(wide(o))
        .collect()
    },
};

fn job_status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        list(job, "/status/conditions")
            .iter()
            .any(|c| c["type"] == kind && c["status"] == "True")
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !job["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn job_duration(job: &Value, now: i64) -> String {
    let Some(start) = seconds(text(job, "/status/startTime")) else {
        return String::new();
    };
    let end = seconds(text(job, "/status/completionTime")).unwrap_or(now);
    kube_types::human_duration(Duration::from_secs(u64::try_from(end - start).unwrap_or(0)))
}

pub(super) const CRON_JOB: Printer = Printer {
    columns: &[
        NAME,
        c!("Schedule" "string"),
        c!("Timezone" "string"),
        c!("Suspend" "boolean"),
        c!("Active" "integer"),
        c!("Last Schedule" "string"),
        AGE,
        c!(wide "Containers" "string"),
        c!(wide "Images" "string"),
        c!(wide "Selector" "string"),
    ],
    cells: |o, now| {
        let last = text(o, "/status/lastScheduleTime");
        let template = &o["spec"]["jobTemplate"];
        vec![
            name(o),
            text(o, "/spec/schedule").into(),
            text_or(o, "/spec/timeZone", NONE).into(),
            // kubectl prints what it gets, and upstream sends Go's words.
            if flag(o, "/spec/suspend") { "True" } else { "False" }.into(),
            (list(o, "/status/active").len() as i64).into(),
            if last.is_empty() {
                NONE.to_owned()
            } else {
                since(last, now)
            }
            .into(),
            age(o, now),
        ]
        .into_iter()
        .chain(wide(template))
        .collect()
    },
};
