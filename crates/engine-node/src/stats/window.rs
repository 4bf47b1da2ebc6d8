//! CPU use as an average over a window, for the resource metrics API: metrics-server looks every 15 seconds; here a look is taken
//! when somebody asks, and compared with one that is about as old.
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::NodeStats;

/// The age that the look before should have (metrics-server's `--metric-resolution`).
const RESOLUTION: Duration = Duration::from_secs(15);
/// Looks closer than this tell little: the clock ticks of the kernel show.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// A look older than this says nothing of now.
const OLDEST: Duration = Duration::from_secs(90);
/// Looks closer together than this are not kept.
const SPACING: Duration = Duration::from_secs(4);

/// CPU time at one moment, by the node (`/`) and by container id.
#[derive(Debug, Clone)]
struct Look {
    at: Timestamp,
    cpu_nanos: HashMap<String, u64>,
}

/// The looks of the last minute or so, oldest first.
#[derive(Debug, Default)]
pub struct Window {
    looks: VecDeque<Look>,
}

/// Use of a container or node over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Billionths of a core.
    pub nano_cores: u64,
    /// Over how long.
    pub window: Duration,
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

impl Window {
    /// Takes in a look. Whether there is an earlier one that it can be compared with.
    pub fn look(&mut self, stats: &NodeStats) -> bool {
        let now = stats.at;
        self.looks.retain(|look| age(look.at, now) <= OLDEST);
        let comparable = self.before(now).is_some();
        if self.looks.back().is_none_or(|last| age(last.at, now) >= SPACING) {
            let containers = stats.pods.iter().flat_map(|pod| &pod.containers);
            let mut cpu_nanos: HashMap<String, u64> =
                containers.map(|c| (c.id.clone(), c.usage.cpu_nanos)).collect();
            cpu_nanos.insert("/".to_owned(), stats.usage.cpu_nanos);
            self.looks.push_back(Look { at: now, cpu_nanos });
        }
        comparable
    }

    /// The look to compare with: the youngest that is old enough, else the oldest there is.
    fn before(&self, now: Timestamp) -> Option<&Look> {
        // A client that asks every 15 seconds is now and then a little early.
        let enough = RESOLUTION * 9 / 10;
        let old = self.looks.iter().rev().find(|look| age(look.at, now) >= enough);
        old.or(self.looks.front())
            .filter(|look| age(look.at, now) >= SHORTEST)
    }

    /// Use of a container (by its id) or of the node (`/`). What has begun since the look before is averaged since its start.
    pub fn rate(&self, id: &str, cpu_nanos: u64, started: Option<Timestamp>, now: Timestamp) -> Option<Rate> {
        let before = self.before(now);
        let since = before.and_then(|look| Some((look.at, *look.cpu_nanos.get(id)?)));
        let (at, old) = since.or_else(|| started.map(|at| (at, 0)))?;
        let window = age(at, now);
        if window < SHORTEST || cpu_nanos < old {
            return None;
        }
        Some(Rate {
            nano_cores: ((cpu_nanos - old) as f64 / window.as_secs_f64()) as u64,
            window,
        })
    }
}

/// What the resource metrics API shows of a node.
#[derive(Debug, Clone)]
pub struct ResourceUsage {
    /// Its name.
    pub node: String,
    /// When this was measured.
    pub at: Timestamp,
    /// The node as a whole; `None` when nothing can be said yet.
    pub rate: Option<Rate>,
    /// Working set of the node in bytes.
    pub memory: u64,
    /// Its pods.
    pub pods: Vec<PodResources>,
}

/// What the resource metrics API shows of a pod.
#[derive(Debug, Clone)]
pub struct PodResources {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Name, CPU and working set in bytes of each running container.
    pub containers: Vec<(String, Rate, u64)>,
}

impl ResourceUsage {
    /// Pods with a container of which nothing can be said yet are left out, as metrics-server does.
    pub(super) fn new(stats: &NodeStats, window: &Window) -> Self {
        let pods = stats.pods.iter().filter_map(|pod| {
            let containers = pod.containers.iter().map(|container| {
                let usage = &container.usage;
                let rate = window.rate(
                    &container.id,
                    usage.cpu_nanos,
                    Some(container.started_at),
                    stats.at,
                )?;
                Some((container.name.clone(), rate, usage.working_set))
            });
            Some(PodResources {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                containers: containers.collect::<Option<Vec<_>>>()?,
            })
        });
        Self {
            node: stats.node.clone(),
            at: stats.at,
            rate: window.rate("/", stats.usage.cpu_nanos, None, stats.at),
            memory: stats.usage.working_set,
            pods: pods.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_runtime::usage::Usage;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn look(window: &mut Window, seconds: i64, cpu_nanos: u64) -> Option<Rate> {
        let stats = NodeStats {
            at: at(seconds),
            node: "n".to_owned(),
            usage: Usage {
                cpu_nanos,
                ..Usage::default()
            },
            nano_cores: None,
            memory: 0,
            cpu_milli: 0,
            pods: Vec::new(),
        };
        window.look(&stats);
        window.rate("/", cpu_nanos, None, stats.at)
    }

    fn rate(nano_cores: u64, seconds: u64) -> Rate {
        Rate {
            nano_cores,
            window: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_window_is_that_of_the_look_before() {
        let mut window = Window::default();
        assert_eq!(look(&mut window, 0, 0), None);
        assert_eq!(look(&mut window, 15, 15), Some(rate(1, 15)));
        // Somebody else asks in between: the first look that is old enough counts.
        assert_eq!(look(&mut window, 20, 30), Some(rate(1, 20)));
        assert_eq!(look(&mut window, 30, 60), Some(rate(3, 15)));
        // After a long silence nothing is known.
        assert_eq!(look(&mut window, 300, 1000), None);
        assert_eq!(look(&mut window, 302, 1002), Some(rate(1, 2)));
    }

    #[test]
    fn what_has_just_begun_counts_since_its_start() {
        let window = Window::default();
        assert_eq!(window.rate("c", 8, Some(at(0)), at(4)), Some(rate(2, 4)));
        assert_eq!(window.rate("c", 8, Some(at(0)), at(0)), None);
        assert_eq!(window.rate("c", 8, None, at(4)), None);
    }
}
