//! Pods whose job is gone or done, but which still carry our finalizer, are let go.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinSet;

use super::tracking::release_pod;
use super::{TRACKING, finished, is_managed_here};
use crate::context::Context;
use crate::meta::{Key, Meta};
use crate::queue::{Outcome, Queue, run};

pub(super) fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) {
    let queue = Queue::new();
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.pods.on_change(move |change| {
        if let (Some(pod), Some(context)) = (change.new, weak.upgrade())
            && is_orphan(&context, pod)
        {
            q.add(pod.key());
        }
    });
    let q = Arc::clone(&queue);
    let weak = Arc::downgrade(context);
    context.jobs.on_change(move |change| {
        let over = change
            .new
            .is_none_or(|j| finished(j).is_some() && is_managed_here(j));
        if let (true, Some(job), Some(context)) = (over, change.any(), weak.upgrade()) {
            for pod in context
                .pods
                .controlled(job.uid())
                .iter()
                .filter(|p| p.has_finalizer(TRACKING))
            {
                q.add(pod.key());
            }
        }
    });
    let context = Arc::clone(context);
    run(tasks, "job orphans", &queue, 2, move |key| {
        sync(Arc::clone(&context), key)
    });
}

fn is_orphan(context: &Context, pod: &Pod) -> bool {
    if !pod.has_finalizer(TRACKING) {
        return false;
    }
    let Some(owner) = pod.controller() else {
        return true;
    };
    if owner.kind != "Job" {
        return false; // somebody else's
    }
    match context.jobs.get(&Key::new(pod.ns(), &owner.name)) {
        Some(job) => job.uid() != owner.uid || (finished(&job).is_some() && is_managed_here(&job)),
        None => true,
    }
}

async fn sync(context: Arc<Context>, key: Key) -> Outcome {
    let Some(pod) = context.pods.get(&key).filter(|p| is_orphan(&context, p)) else {
        return Ok(None);
    };
    // The cache may not have the job yet: it can only be newer than we know.
    if let Some(owner) = pod.controller().filter(|o| o.kind == "Job")
        && let Some(job) = context.jobs.fetch(&Key::new(pod.ns(), &owner.name)).await?
        && job.uid() == owner.uid
        && finished(&job).is_none()
    {
        return Ok(None);
    }
    release_pod(&context, &pod).await?;
    Ok(None)
}
