use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Arrivals, Mix, MixError, Mode, Plan, Step};

/// A load as it is told to a worker elsewhere: everything but when it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What is sent.
    pub mix: Mix,
    /// The target that the mix's paths are below.
    pub base: String,
    /// When to send.
    pub pace: Pace,
    /// Seconds of load before anything counts.
    pub warm_up_s: f64,
    /// Connections.
    pub connections: u32,
    /// Threads.
    pub threads: u32,
    /// Seconds after which a request counts as failed.
    pub timeout_s: f64,
}

/// When requests are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Open loop: rate in requests per second and seconds, one after the other.
    Open(Vec<(f64, f64)>),
    /// Closed loop for so many seconds.
    Closed(f64),
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}

impl Task {
    /// The part of one of so many workers, who together make the whole: each has its part of the rate and the connections.
    pub fn part(&self, workers: u32) -> Task {
        let workers = workers.max(1);
        let pace = match &self.pace {
            Pace::Open(steps) => {
                let part = |(rate, time): &(f64, f64)| (rate / f64::from(workers), *time);
                Pace::Open(steps.iter().map(part).collect())
            }
            Pace::Closed(time) => Pace::Closed(*time),
        };
        Task {
            pace,
            connections: self.connections.div_ceil(workers),
            ..self.clone()
        }
    }

    /// How late a worker of this number begins so that all of them take turns, when `self` is its [`part`](Self::part).
    pub fn turn(&self, index: u32, workers: u32) -> Duration {
        match &self.pace {
            Pace::Open(steps) => {
                let rate = steps.first().map_or(0.0, |s| s.0) * f64::from(workers.max(1));
                seconds(f64::from(index) / rate)
            }
            Pace::Closed(_) => Duration::ZERO,
        }
    }

    /// The plan; hosts are looked up now.
    pub fn plan(&self, start: Option<Instant>) -> Result<Plan, MixError> {
        let mode = match &self.pace {
            Pace::Open(steps) => {
                let step = |(rate, time): &(f64, f64)| Step {
                    rate: *rate,
                    time: seconds(*time),
                };
                Mode::Open(Arrivals::steps(steps.iter().map(step).collect()))
            }
            Pace::Closed(time) => Mode::Closed(seconds(*time)),
        };
        Ok(Plan {
            lanes: self.mix.lanes(Some(&self.base))?.into(),
            mode,
            warm_up: seconds(self.warm_up_s),
            connections: self.connections,
            threads: self.threads,
            timeout: seconds(self.timeout_s),
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_have_their_parts_and_take_turns() {
        let task = Task {
            mix: Mix::single("/"),
            base: "http://127.0.0.1:1".to_owned(),
            pace: Pace::Open(vec![(1000.0, 2.0), (500.0, 1.0)]),
            warm_up_s: 0.5,
            connections: 10,
            threads: 1,
            timeout_s: 10.0,
        };
        let part = task.part(4);
        assert_eq!(part.pace, Pace::Open(vec![(250.0, 2.0), (125.0, 1.0)]));
        assert_eq!(part.connections, 3);
        assert_eq!(part.turn(3, 4), Duration::from_millis(3));
        let told: Task = serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap();
        assert_eq!(told, part);
        assert_eq!(part.plan(None).unwrap().time(), Duration::from_secs(3));
    }
}
