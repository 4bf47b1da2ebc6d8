//! Signals and waits for processes that are not our children.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Sends SIGKILL; a process that is gone already is fine.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Either it is gone, or it shows up in the next count.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Whether the process exists (a zombie counts as gone: it holds nothing).
pub(crate) fn alive(pid: i32) -> bool {
    let exists = Pid::from_raw(pid).is_some_and(|p| test_kill_process(p).is_ok());
    exists && !std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| is_zombie(&s))
}

fn is_zombie(stat: &str) -> bool {
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Kills until `list` names nobody alive or the time is over; gives those left.
pub(crate) fn kill_all(list: impl Fn() -> BTreeSet<i32>, limit: Duration) -> BTreeSet<i32> {
    let begun = Instant::now();
    let own = std::process::id() as i32;
    loop {
        let left: BTreeSet<i32> = list()
            .into_iter()
            .filter(|&pid| pid != own && alive(pid))
            .collect();
        if left.is_empty() || begun.elapsed() > limit {
            return left;
        }
        left.iter().copied().for_each(kill);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn zombies_are_told_by_the_state_after_the_name() {
        assert!(super::is_zombie("12 (a) b) Z 1 1"));
        assert!(!super::is_zombie("12 (Z) S 1 1"));
    }
}
