//! When a container that was started is shown running. kubelet looks once a second (`pkg/kubelet/pleg/generic.go`), so that nobody sees one
//! running, or even Ready, that ends at once. Here everything is told when it happens; so a container has to show first that it stays: its
//! program waits for something, or has worked for a while. On a busy machine that takes longer than on one that is at rest.
use std::fs;
use std::time::{Duration, Instant};

/// How often the process is looked at, and the time that every container has to run.
const EVERY: Duration = Duration::from_millis(10);
/// A program that never waits has worked for so long, in CPU time.
const WORKED: Duration = Duration::from_millis(5);
/// After so long it is shown in any case.
const AT_LAST: Duration = Duration::from_secs(1);

/// Waits until the container of this process can be shown running. What ends meanwhile is told before.
pub(super) async fn shown(pid: i32) {
    let begun = Instant::now();
    let mut before = None;
    while begun.elapsed() < AT_LAST {
        tokio::time::sleep(EVERY).await;
        if stays(&mut before, look(pid)) {
            return;
        }
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It is the runtime's still.
    Starting,
    /// It works, or would if it got a CPU; it has had this much time.
    Work(Duration),
    Waiting,
    Gone,
}

/// Whether that is enough; `before` is the CPU time at the first look, which the runtime has used.
fn stays(before: &mut Option<Duration>, doing: Doing) -> bool {
    match doing {
        Doing::Starting => false,
        Doing::Work(time) => time.saturating_sub(*before.get_or_insert(time)) >= WORKED,
        Doing::Waiting | Doing::Gone => true,
    }
}

fn look(pid: i32) -> Doing {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return Doing::Gone;
    };
    doing(&stat, || {
        let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
        let nanoseconds = stat.split(' ').next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    })
}

/// From `/proc/PID/stat` (proc_pid_stat(5)). Of a kernel that does not count the time, a process waits.
fn doing(stat: &str, time: impl FnOnce() -> Option<Duration>) -> Doing {
    let Some((head, tail)) = stat.rsplit_once(") ") else {
        return Doing::Gone;
    };
    match tail.chars().next() {
        Some('Z' | 'X') | None => Doing::Gone,
        _ if head.contains("(youki:[") => Doing::Starting,
        Some('R' | 'D') => time().map_or(Doing::Waiting, Doing::Work),
        Some(_) => Doing::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_does() {
        let of = |stat: &str| doing(stat, || Some(WORKED));
        assert_eq!(of("7 (youki:[2:INIT]) S 1 7"), Doing::Starting);
        assert_eq!(of("7 (sh) S 1 7"), Doing::Waiting);
        assert_eq!(of("7 (a) R) R 1 7"), Doing::Work(WORKED));
        assert_eq!(of("7 (sh) D 1 7"), Doing::Work(WORKED));
        assert_eq!(of("7 (sh) Z 1 7"), Doing::Gone);
        assert_eq!(of("7 (youki:[2:INIT]) Z 1 7"), Doing::Gone);
        assert_eq!(of(""), Doing::Gone);
        assert_eq!(doing("7 (sh) R 1 7", || None), Doing::Waiting);
    }

    #[test]
    fn this_process_is_one() {
        let own = std::process::id().try_into().unwrap();
        assert!(matches!(look(own), Doing::Work(_) | Doing::Waiting));
        assert_eq!(look(i32::MAX), Doing::Gone);
    }

    #[test]
    fn who_has_not_had_its_turn_is_waited_for() {
        let used = Duration::from_millis(20);
        let mut before = None;
        assert!(!stays(&mut before, Doing::Starting));
        // The runtime's time is not the program's.
        assert!(!stays(&mut before, Doing::Work(used)));
        assert!(!stays(&mut before, Doing::Work(used)));
        assert!(stays(&mut before, Doing::Work(used + WORKED)));
        assert!(stays(&mut None, Doing::Waiting));
        assert!(stays(&mut None, Doing::Gone));
    }
}
