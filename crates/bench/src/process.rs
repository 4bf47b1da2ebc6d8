//! What the kernel says about processes.
use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// The engine's own processes of the cluster in this folder: `PROGRAM ROLE DIR`. Containers are not among them.
pub fn of_cluster(dir: &Path, role: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|&b| b == 0).skip(1);
        words.next() == Some(role.as_bytes()) && words.next() == Some(dir.as_os_str().as_encoded_bytes())
    })
    .collect()
}

/// Kills with SIGKILL.
pub fn kill(pid: i32) -> anyhow::Result<()> {
    let id = Pid::from_raw(pid).context("zero is no process")?;
    rustix::process::kill_process(id, rustix::process::Signal::KILL)
        .with_context(|| format!("failed to kill {pid}"))
}

/// Resident memory in bytes: proportional (shared pages divided among their users), plain, and what of it is data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Proportional set size.
    pub pss: u64,
    /// Resident set size.
    pub rss: u64,
    /// What of the proportional set size is the process's own data: neither pages of files, which the kernel can drop and read again,
    /// nor shared memory.
    pub anonymous: u64,
}

/// Memory of a process.
pub fn memory(pid: i32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    Ok(parse_memory(&text))
}

fn parse_memory(text: &str) -> Memory {
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    Memory {
        pss: field("Pss"),
        rss: field("Rss"),
        anonymous: field("Pss_Anon"),
    }
}

/// CPU time of the living threads of a process, to the nanosecond where the kernel keeps it.
pub fn cpu(pid: i32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&path).with_context(|| format!("failed to read {path}"))?;
    let exact: Option<u64> = threads
        .flatten()
        .map(|t| {
            fs::read_to_string(t.path().join("schedstat"))
                .ok()?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    match exact {
        Some(nanoseconds) if nanoseconds > 0 => Ok(Duration::from_nanos(nanoseconds)),
        _ => whole_cpu(pid),
    }
}

/// CPU time of a process with all its threads, ended ones too. The kernel's unit here is USER_HZ, 10 ms on
/// every architecture that this runs on.
fn whole_cpu(pid: i32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    // The name in parentheses may hold spaces.
    let after = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Waits for a child and gives its CPU time.
pub fn wait_with_cpu(child: &mut Child) -> anyhow::Result<(std::process::ExitStatus, Duration)> {
    let pid = child.id() as i32;
    let id = Pid::from_raw(pid).context("zero is no process")?;
    // It stays as a zombie, whose figures can be read, until it is waited for below.
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).context("failed to wait")?;
    let cpu = whole_cpu(pid)?;
    Ok((child.wait()?, cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let memory = parse_memory(
            "00400000-7ffd r 0 [rollup]\nRss:    3000 kB\nPss:    2000 kB\nPss_Dirty: 1 kB\nPss_Anon: 500 kB\n",
        );
        assert_eq!(
            (memory.rss, memory.pss, memory.anonymous),
            (3_072_000, 2_048_000, 512_000)
        );
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let mut sum = 0u64;
        for n in 0..30_000_000u64 {
            sum = sum.wrapping_add(std::hint::black_box(n));
        }
        std::hint::black_box(sum);
        let own = std::process::id() as i32;
        assert!(memory(own).unwrap().rss > 100_000);
        assert!(cpu(own).unwrap() > Duration::ZERO);
    }

    #[test]
    fn a_childs_time_is_read_before_it_is_gone() {
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .spawn()
            .unwrap();
        let (status, cpu) = wait_with_cpu(&mut child).unwrap();
        assert!(status.success() && cpu > Duration::ZERO, "{cpu:?}");
    }
}
