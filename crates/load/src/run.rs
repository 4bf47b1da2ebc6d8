use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::worker::{OnSecond, Worker};
use crate::{Plan, PlanError, Recording};

/// Carries the plan out; blocks until it is over or `stop` becomes true. Requests in flight at the end get a second (or
/// the timeout, if that is shorter) to finish.
pub fn run(plan: &Plan, stop: &AtomicBool) -> Result<Recording, PlanError> {
    run_told(plan, stop, &|_, _| {})
}

/// As [`run`], and tells of every second when it is over, thread by thread.
pub fn run_told(plan: &Plan, stop: &AtomicBool, on_second: OnSecond<'_>) -> Result<Recording, PlanError> {
    plan.check()?;
    let most = plan.lanes.iter().map(|l| plan.connections_of(l)).max();
    let threads = plan.threads.min(most.unwrap_or(1));
    let begin = plan
        .start
        .unwrap_or_else(|| Instant::now() + Duration::from_millis(5));
    let stop = &|| stop.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| scope.spawn(move || Worker::new(plan, index, begin, on_second)?.run(stop)))
            .collect();
        let mut total = Recording::empty();
        for worker in workers {
            let recording = worker
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("a worker panicked")))?;
            total.merge(&recording);
        }
        Ok(total)
    })
}
