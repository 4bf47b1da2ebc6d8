use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a thread has had of the processors so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Time in which it could have run and was not let: behind others, or out of its cgroup's quota.
    pub(crate) waited: Duration,
}

impl Usage {
    /// Of the calling thread.
    pub(crate) fn of_thread() -> Usage {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Usage {
            cpu: Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
            waited: waited().unwrap_or_default(),
        }
    }
}

/// proc_pid_schedstat: time on the CPU, time waiting for one (both nanoseconds), times it ran. Kernels without schedstats do
/// not tell.
fn waited() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(
        text.split_whitespace().nth(1)?.parse().ok()?,
    ))
}
