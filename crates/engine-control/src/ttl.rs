//! Finished jobs with `ttlSecondsAfterFinished` are removed when it has passed (pkg/controller/ttlafterfinished).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::PropagationPolicy;
use tokio::task::JoinSet;

use crate::context::Context;
use crate::job::finished;
use crate::meta::{Key, Meta};
use crate::queue::{Outcome, Queue, run};

pub(crate) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    context.jobs.on_change(move |change| {
        if let Some(job) = change.new
            && due(job).is_some()
        {
            q.add(job.key());
        }
    });
    let context = Arc::clone(context);
    run(tasks, "ttl after finished", &queue, 2, move |key| {
        sync(Arc::clone(&context), key)
    });
}

/// When the job is to go.
fn due(job: &Job) -> Option<Timestamp> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let end = finished(job)
        .filter(|_| !job.deleting())?
        .last_transition_time
        .as_ref()?
        .0;
    Some(end + SignedDuration::from_secs(i64::from(ttl)))
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(job) = context.jobs.get(&key) else {
        return Ok(None);
    };
    let Some(at) = due(&job) else { return Ok(None) };
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
    if !left.is_zero() {
        return Ok(Some(left));
    }
    // The ttl may just have been raised: ask before deleting.
    match context.jobs.fetch(&key).await? {
        Some(fresh) if fresh.uid() == job.uid() && due(&fresh).is_some_and(|at| at <= Timestamp::now()) => {
            context
                .jobs
                .delete_propagating(&fresh, PropagationPolicy::Foreground)
                .await?;
        }
        _ => {}
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_finished_jobs_are_due() {
        let job = |conditions| -> Job {
            serde_json::from_value(json!({"spec": {"ttlSecondsAfterFinished": 10, "template": {}}, "status": {"conditions": conditions}})).unwrap()
        };
        assert_eq!(due(&job(json!([]))), None);
        let done = job(
            json!([{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]),
        );
        assert_eq!(due(&done).unwrap().to_string(), "2026-01-01T00:00:10Z");
    }
}
