//! What this machine is, and how busy others keep it.
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// A machine in one line.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processor.
    pub processor: String,
    /// Logical processors.
    pub processors: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Kernel.
    pub kernel: String,
}

impl Machine {
    /// Reads it from /proc.
    pub fn look() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |text: &str, name: &str| {
            text.lines()
                .find(|l| l.starts_with(name))
                .and_then(|l| l.split_once(':'))
                .map(|(_, v)| v.trim().to_owned())
        };
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = field(&memory, "MemTotal").and_then(|v| v.trim_end_matches(" kB").parse::<u64>().ok());
        Machine {
            processor: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            memory_bytes: memory.unwrap_or(0) * 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory_bytes as f64 / 1e9;
        write!(
            f,
            "{} x {}, {memory:.1} GB, Linux {}",
            self.processors, self.processor, self.kernel
        )
    }
}

/// Waits at most this long for the machine to be less than a tenth busy; gives the share that others used last.
pub async fn settle(patience: Duration) -> f64 {
    let begun = Instant::now();
    loop {
        let share = busy(Duration::from_millis(300)).await;
        if share < 0.1 || begun.elapsed() >= patience {
            return share;
        }
    }
}

/// Share of all processors that was busy during this time, in which this program sleeps.
pub async fn busy(during: Duration) -> f64 {
    let before = ticks();
    tokio::time::sleep(during).await;
    let after = ticks();
    let (busy, all) = (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    busy as f64 / all.max(1) as f64
}

/// Busy and all clock ticks of all processors. Time stolen by other virtual machines counts as busy.
fn ticks() -> (u64, u64) {
    parse_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn parse_ticks(stat: &str) -> (u64, u64) {
    let numbers: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|n| n.parse().ok())
        .collect();
    let all: u64 = numbers.iter().sum();
    let idle: u64 = numbers.iter().skip(3).take(2).sum();
    (all - idle, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_for_disks_are_not_busy() {
        assert_eq!(parse_ticks("cpu  10 1 5 100 20 0 3 1 7 0\ncpu0 1"), (20, 140));
        assert_eq!(parse_ticks(""), (0, 0));
    }
}
