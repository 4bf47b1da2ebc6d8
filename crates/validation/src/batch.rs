//! Jobs and CronJobs (upstream `pkg/apis/batch/validation`).
use kube_types::{LabelSelector, is_dns1123_label};
use serde_json::{Value, json};

use crate::{
    field::{Errors, Node, same},
    meta, pod,
};

/// What `spec.parallelism` of an indexed Job may be, and its `maxFailedIndexes`.
const INDEXED_MAX: i64 = 100_000;

pub(crate) fn job(e: &mut Errors, object: &Node<'_>) {
    generated_selector(e, object);
    let spec = object.get("spec");
    whole_spec(e, &spec);
    let completions = spec.get("completions").int().unwrap_or(0);
    if spec.get("completionMode").text() == "Indexed" && completions > 0 {
        let name = object.at(&["metadata", "name"]);
        let hostname = format!("{}-{}", name.text(), completions - 1);
        if !is_dns1123_label(&hostname).is_empty() {
            e.invalid(
                &name,
                &format!("will not able to create pod with invalid DNS label: {hostname}"),
            );
        }
    }
}

/// The spec of a Job; that of a Job template has no selector.
fn whole_spec(e: &mut Errors, spec: &Node<'_>) {
    job_spec(e, spec);
    let selector = spec.get("selector");
    if selector.present() {
        meta::selector(e, &selector);
    } else {
        e.required(&selector, "");
    }
    let labels = spec.at(&["template", "metadata", "labels"]);
    if LabelSelector::from_object(selector.value()).is_ok_and(|selector| !selector.matches(labels.value())) {
        e.invalid(&labels, "`selector` does not match template `labels`");
    }
}

/// What the strategy should have put there.
fn generated_selector(e: &mut Errors, object: &Node<'_>) {
    let spec = object.get("spec");
    let selector = spec.get("selector");
    if spec.get("manualSelector").is_true() || !selector.present() {
        return;
    }
    let (uid, name) = (object.at(&["metadata", "uid"]), object.at(&["metadata", "name"]));
    if uid.is_empty() {
        e.required(&uid, "");
    }
    let expected = [
        ("controller-uid", uid.text()),
        ("job-name", name.text()),
        ("batch.kubernetes.io/controller-uid", uid.text()),
        ("batch.kubernetes.io/job-name", name.text()),
    ];
    let labels = spec.at(&["template", "metadata", "labels"]);
    for (key, value) in expected {
        let label = labels.key(key);
        let detail = format!("must be '{value}'");
        if !label.present() {
            e.required(&label, &detail);
        } else if label.text() != value {
            e.invalid_value(&label, labels.value(), &detail);
        }
    }
    let all: Value = expected
        .iter()
        .map(|(k, v)| ((*k).to_owned(), json!(v)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    if LabelSelector::from_object(selector.value()).is_ok_and(|s| !s.matches(&all)) {
        e.invalid(&selector, "`selector` not auto-generated");
    }
}

fn job_spec(e: &mut Errors, spec: &Node<'_>) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        e.non_negative(&spec.get(field));
    }
    let (per_index, max_failed) = (spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes"));
    if max_failed.present() && !per_index.present() {
        e.required(&per_index, "when maxFailedIndexes is specified");
    }
    let mode = spec.get("completionMode");
    e.maybe_one_of(&mode, &["NonIndexed", "Indexed"]);
    if mode.text() == "Indexed" {
        let (completions, parallelism) = (spec.get("completions"), spec.get("parallelism"));
        if !completions.present() {
            e.required(&completions, "when completion mode is Indexed");
        }
        if parallelism.int().is_some_and(|n| n > INDEXED_MAX) {
            e.invalid(
                &parallelism,
                "must be less than or equal to 100000 when completion mode is Indexed",
            );
        }
        if let (Some(total), Some(failed)) = (completions.int(), max_failed.int())
            && failed > total
        {
            e.invalid(&max_failed, "must be less than or equal to completions");
        }
        if max_failed.int().is_some_and(|n| n > INDEXED_MAX) {
            e.invalid(&max_failed, "must be less than or equal to 100000");
        }
    } else {
        for field in [&per_index, &max_failed] {
            if field.present() {
                e.invalid(field, "requires indexed completion mode");
            }
        }
        if spec.get("successPolicy").present() {
            e.invalid(&spec.get("successPolicy"), "requires indexed completion mode");
        }
    }
    e.maybe_one_of(
        &spec.get("podReplacementPolicy"),
        &["Failed", "TerminatingOrFailed"],
    );
    let template = spec.get("template");
    pod::template(e, &template);
    let policy = template.at(&["spec", "restartPolicy"]);
    match policy.text() {
        "" | "Always" => e.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.get("podFailurePolicy").present() => {
            e.invalid(
                &policy,
                "only \"Never\" is supported when podFailurePolicy is specified",
            );
        }
        "OnFailure" | "Never" => {}
        _ => e.unsupported(&policy, &["OnFailure", "Never"]),
    }
}

pub(crate) fn job_update(e: &mut Errors, old: &Node<'_>, new: &Node<'_>) {
    let (old, new) = (old.get("spec"), new.get("spec"));
    whole_spec(e, &new);
    let (completions, before) = (new.get("completions"), old.get("completions"));
    if new.get("completionMode").text() != "Indexed" {
        e.immutable(&completions, &before);
    } else if !same(completions.value(), before.value())
        && completions.present()
        && completions.int() != new.get("parallelism").int()
    {
        e.invalid(
            &completions,
            "can only be modified in tandem with spec.parallelism",
        );
    }
    e.immutable(&new.get("selector"), &old.get("selector"));
    let template = new.get("template");
    if !old.get("suspend").is_true() {
        e.immutable(&template, &old.get("template"));
    } else if !same(
        &apart_from_directives(&template),
        &apart_from_directives(&old.get("template")),
    ) {
        e.invalid(&template, "field is immutable");
    }
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        e.immutable(&new.get(field), &old.get(field));
    }
}

/// A template without what may change while a Job is suspended: where its pods run, and with how much.
fn apart_from_directives(template: &Node<'_>) -> Value {
    let mut template = template.value().clone();
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
        metadata.remove("labels");
    }
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        for field in ["nodeSelector", "tolerations", "schedulingGates", "affinity"] {
            spec.remove(field);
        }
        for list in ["containers", "initContainers"] {
            for container in spec
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                container
                    .as_object_mut()
                    .map(|container| container.remove("resources"));
            }
        }
    }
    template
}

pub(crate) fn cron_job(e: &mut Errors, object: &Node<'_>, old: Option<&Node<'_>>) {
    let spec = object.get("spec");
    let (schedule, zone) = (spec.get("schedule"), spec.get("timeZone"));
    if schedule.is_empty() {
        e.required(&schedule, "");
    } else {
        if let Some(complaint) = bad_schedule(schedule.text()) {
            e.invalid(&schedule, &complaint);
        }
        let zone_allowed = old.is_some_and(|old| old.at(&["spec", "schedule"]).text().contains("TZ"));
        if schedule.text().contains("TZ") {
            if !zone_allowed {
                e.invalid(
                    &schedule,
                    "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
                );
            } else if zone.present() {
                e.invalid(
                    &schedule,
                    "cannot use both timeZone field and TZ or CRON_TZ in schedule",
                );
            }
        }
    }
    e.non_negative(&spec.get("startingDeadlineSeconds"));
    if zone.present() {
        let sound = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['-', '.'])
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
        };
        if zone.is_empty() {
            e.invalid(&zone, "timeZone must be nil or non-empty string");
        } else if !zone.text().split('/').all(sound) {
            e.invalid(&zone, &format!("unknown time zone {}", zone.text()));
        } else if zone.text().eq_ignore_ascii_case("local") {
            e.invalid(
                &zone,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            );
        }
    }
    e.one_of(&spec.get("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let job = spec.at(&["jobTemplate", "spec"]);
    job_spec(e, &job);
    if job.get("selector").present() {
        e.invalid(&job.get("selector"), "`selector` will be auto-generated");
    }
    if job.get("manualSelector").is_true() {
        e.unsupported(&job.get("manualSelector"), &["nil", "false"]);
    }
    e.non_negative(&spec.get("successfulJobsHistoryLimit"));
    e.non_negative(&spec.get("failedJobsHistoryLimit"));
    let name = object.at(&["metadata", "name"]);
    if old.is_none() && name.len() > 52 {
        e.invalid(&name, "must be no more than 52 characters");
    }
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What is wrong with a cron expression, in the words of `robfig/cron` v3, upstream's parser.
fn bad_schedule(schedule: &str) -> Option<String> {
    let rest = schedule
        .strip_prefix("TZ=")
        .or_else(|| schedule.strip_prefix("CRON_TZ="));
    let spec = rest
        .and_then(|rest| rest.split_once(' '))
        .map_or(schedule, |(_, spec)| spec)
        .trim();
    if spec.starts_with('@') {
        let known = [
            "@yearly",
            "@annually",
            "@monthly",
            "@weekly",
            "@daily",
            "@midnight",
            "@hourly",
        ];
        return match spec.strip_prefix("@every ") {
            Some(every) => kube_types::parse_duration(every)
                .err()
                .map(|error| format!("failed to parse duration {spec}: {error}")),
            None => (!known.contains(&spec)).then(|| format!("unrecognized descriptor: {spec}")),
        };
    }
    let fields: Vec<_> = spec.split_whitespace().collect();
    if fields.len() != 5 {
        return Some(format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        ));
    }
    let bounds: [(i64, i64, &[&str]); 5] = [
        (0, 59, &[]),
        (0, 23, &[]),
        (1, 31, &[]),
        (1, 12, &MONTHS),
        (0, 6, &DAYS),
    ];
    fields.iter().zip(bounds).find_map(|(field, (low, high, names))| {
        field
            .split(',')
            .find_map(|part| bad_range(part, low, high, names))
    })
}

fn bad_range(part: &str, low: i64, high: i64, names: &[&str]) -> Option<String> {
    let (range, step) = match part.split_once('/') {
        Some((_, step)) if step.contains('/') => return Some(format!("too many slashes: {part}")),
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let number = |text: &str| -> Result<i64, String> {
        if let Some(at) = names.iter().position(|name| text.eq_ignore_ascii_case(name)) {
            return Ok(at as i64 + low);
        }
        let parsed: i64 = text.parse().map_err(|_| {
            format!(
                "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
                Value::from(text)
            )
        })?;
        if parsed < 0 {
            Err(format!("negative number ({parsed}) not allowed: {text}"))
        } else {
            Ok(parsed)
        }
    };
    let check = || -> Result<(), String> {
        let (start, end) = if range == "*" || range == "?" {
            (low, high)
        } else {
            match range.split_once('-') {
                Some((_, end)) if end.contains('-') => return Err(format!("too many hyphens: {part}")),
                Some((start, end)) => (number(start)?, number(end)?),
                None => {
                    let start = number(range)?;
                    (start, if step.is_some() { high } else { start })
                }
            }
        };
        let step = step.map_or(Ok(1), &number)?;
        if start < low {
            return Err(format!(
                "beginning of range ({start}) below minimum ({low}): {part}"
            ));
        }
        if end > high {
            return Err(format!("end of range ({end}) above maximum ({high}): {part}"));
        }
        if start > end {
            return Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {part}"
            ));
        }
        if step == 0 {
            Err(format!("step of range should be a positive number: {part}"))
        } else {
            Ok(())
        }
    };
    check().err()
}
