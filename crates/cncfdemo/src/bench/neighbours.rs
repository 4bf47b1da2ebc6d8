use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Whom a processor of this machine may work for while a load runs, apart from the generator.
#[derive(Debug, Clone)]
pub enum Server {
    /// A local cluster of this name: its processes are no neighbours.
    Local(String),
    /// Somebody elsewhere: everything else here is a neighbour.
    Elsewhere,
    /// It may run here, and nobody can tell which processes it is.
    Unknown,
}

/// Watches what others use of this machine's processors.
#[derive(Debug)]
pub struct Neighbours {
    server: Server,
    begun: Instant,
    before: Option<Duration>,
}

impl Neighbours {
    /// Watches from now on.
    pub fn watch(server: Server) -> Neighbours {
        Neighbours {
            before: others(&server),
            server,
            begun: Instant::now(),
        }
    }

    /// Cores that neighbours have used on average; `None` where that cannot be told.
    pub fn cores(&self) -> Option<f64> {
        let used = others(&self.server)?.saturating_sub(self.before?);
        Some(used.as_secs_f64() / self.begun.elapsed().as_secs_f64().max(1e-9))
    }
}

/// CPU time so far of everybody but this process and the server.
fn others(server: &Server) -> Option<Duration> {
    let servers = match server {
        Server::Local(name) => {
            let used = engine::cpu_time(name)?;
            used.ordinary + used.idle
        }
        Server::Elsewhere => Duration::ZERO,
        Server::Unknown => return None,
    };
    Some(of_machine()?.saturating_sub(own() + servers))
}

/// CPU time of this process so far.
fn own() -> Duration {
    let own = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(own.tv_sec as u64, own.tv_nsec as u32)
}

/// User, nice and system time: interrupts are nobody's, and on loopback they are the load's own.
fn of_machine() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1).take(3);
    let ticks: u64 = fields.map(str::parse::<u64>).sum::<Result<_, _>>().ok()?;
    // USER_HZ is 100 on every architecture that this runs on.
    Some(Duration::from_millis(ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_uses_is_no_neighbours() {
        let (watch, before) = (Neighbours::watch(Server::Elsewhere), own());
        let all = std::thread::available_parallelism().unwrap().get();
        std::thread::scope(|scope| {
            for _ in 0..all {
                scope.spawn(|| {
                    while watch.begun.elapsed() < Duration::from_millis(300) {
                        std::hint::spin_loop();
                    }
                });
            }
        });
        let own = own().saturating_sub(before).as_secs_f64() / watch.begun.elapsed().as_secs_f64();
        // Neighbours there may be, but they cannot have used more than what this process left (and some ticks).
        let cores = watch.cores().unwrap();
        assert!(
            (0.0..all as f64 - own + 0.2).contains(&cores),
            "{cores}, {own} of {all}"
        );
        assert_eq!(Neighbours::watch(Server::Unknown).cores(), None);
    }
}
