//! From what the metrics ask for to what is done: stabilisation, rates, least and most; pure
//! (pkg/controller/podautoscaler/horizontal.go, normalizeDesiredReplicas*).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// The window for scaling down where nothing else is said (`--horizontal-pod-autoscaler-downscale-stabilization`).
pub(super) const DOWNSCALE_WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// Without a behavior, one step goes up to twice the replicas, or to four.
const STEP_FACTOR: i32 = 2;
const STEP_LEAST: i32 = 4;

/// What was asked for and done lately. Upstream keeps it in memory, too.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What the metrics asked for, before stabilisation.
    asked: Vec<(Timestamp, i32)>,
    /// How many replicas were added, and when.
    added: Vec<(Timestamp, i32)>,
    /// How many were taken away.
    removed: Vec<(Timestamp, i32)>,
}

/// The numbers of an autoscaler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub min: i32,
    pub max: i32,
    pub current: i32,
}

/// What a condition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Says {
    pub reason: &'static str,
    pub message: &'static str,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub replicas: i32,
    /// For the condition AbleToScale.
    pub able: Says,
    /// For the condition ScalingLimited, and whether it is.
    pub limit: (bool, Says),
}

const READY: Says = Says {
    reason: "ReadyForNewScale",
    message: "recommended size matches current size",
};
const UP_STABILIZED: Says = Says {
    reason: "ScaleUpStabilized",
    message: "recent recommendations were lower than current one, applying the lowest recent recommendation",
};
const DOWN_STABILIZED: Says = Says {
    reason: "ScaleDownStabilized",
    message: "recent recommendations were higher than current one, applying the highest recent recommendation",
};
const WITHIN: Says = Says {
    reason: "DesiredWithinRange",
    message: "the desired count is within the acceptable range",
};
const TOO_MANY: Says = Says {
    reason: "TooManyReplicas",
    message: "the desired replica count is more than the maximum replica count",
};
const TOO_FEW: Says = Says {
    reason: "TooFewReplicas",
    message: "the desired replica count is less than the minimum replica count",
};
const UP_LIMIT: Says = Says {
    reason: "ScaleUpLimit",
    message: "the desired replica count is increasing faster than the maximum scale rate",
};
const DOWN_LIMIT: Says = Says {
    reason: "ScaleDownLimit",
    message: "the desired replica count is decreasing faster than the maximum scale rate",
};

impl History {
    /// The first thing that was asked for is what there was.
    pub fn begin(&mut self, current: i32, now: Timestamp) {
        if self.asked.is_empty() {
            self.asked.push((now, current));
        }
    }

    /// Turns what the metrics ask for into what is done.
    pub fn decide(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        bounds: Bounds,
        asked: i32,
        now: Timestamp,
    ) -> Decision {
        let (stable, able) = match behavior {
            None => self.stabilize(asked, now),
            Some(behavior) => self.stabilize_by(behavior, bounds.current, asked, now),
        };
        let (replicas, says) = match behavior {
            None => bounded(bounds, stable),
            Some(behavior) => self.bounded_by(behavior, bounds, stable, now),
        };
        Decision {
            replicas,
            able: if stable == asked { READY } else { able },
            limit: (replicas != stable, says),
        }
    }

    /// A change was made.
    pub fn scaled(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        from: i32,
        to: i32,
        now: Timestamp,
    ) {
        let Some(behavior) = behavior else { return };
        let (events, rules) = if to > from {
            (&mut self.added, behavior.scale_up.as_ref())
        } else {
            (&mut self.removed, behavior.scale_down.as_ref())
        };
        let longest = rules
            .and_then(|r| r.policies.as_ref())
            .and_then(|p| p.iter().map(|p| p.period_seconds).max())
            .unwrap_or(0);
        events.retain(|(at, _)| *at >= now - seconds(longest));
        events.push((now, (to - from).abs()));
    }

    /// The highest of what was asked for within the window.
    fn stabilize(&mut self, asked: i32, now: Timestamp) -> (i32, Says) {
        let cutoff = now - DOWNSCALE_WINDOW;
        self.asked.retain(|(at, _)| *at >= cutoff);
        let highest = self.asked.iter().map(|(_, n)| *n).fold(asked, i32::max);
        self.asked.push((now, asked));
        (highest, DOWN_STABILIZED)
    }

    /// As near to the current number as the windows of both directions demand.
    fn stabilize_by(
        &mut self,
        behavior: &HorizontalPodAutoscalerBehavior,
        current: i32,
        asked: i32,
        now: Timestamp,
    ) -> (i32, Says) {
        let window = |rules: Option<&HPAScalingRules>| rules.and_then(|r| r.stabilization_window_seconds);
        let up_from = now - seconds(window(behavior.scale_up.as_ref()).unwrap_or(0));
        let down_from = now - window(behavior.scale_down.as_ref()).map_or(DOWNSCALE_WINDOW, seconds);
        let since = |from: Timestamp| {
            self.asked
                .iter()
                .filter(move |(at, _)| *at > from)
                .map(|(_, n)| *n)
        };
        let lowest = since(up_from).fold(asked, i32::min);
        let highest = since(down_from).fold(asked, i32::max);
        self.asked.retain(|(at, _)| *at >= up_from.min(down_from));
        self.asked.push((now, asked));
        let says = if asked >= current {
            UP_STABILIZED
        } else {
            DOWN_STABILIZED
        };
        (current.max(lowest).min(highest), says)
    }

    fn bounded_by(
        &self,
        behavior: &HorizontalPodAutoscalerBehavior,
        bounds: Bounds,
        wanted: i32,
        now: Timestamp,
    ) -> (i32, Says) {
        let Bounds { min, max, current } = bounds;
        if wanted > current {
            let limit = self
                .up_limit(behavior.scale_up.as_ref(), current, now)
                .max(current);
            let (most, says) = if max > limit {
                (limit, UP_LIMIT)
            } else {
                (max, TOO_MANY)
            };
            if wanted > most {
                return (most, says);
            }
        } else if wanted < current {
            let limit = self
                .down_limit(behavior.scale_down.as_ref(), current, now)
                .min(current);
            let (least, says) = if min < limit {
                (limit, DOWN_LIMIT)
            } else {
                (min, TOO_FEW)
            };
            if wanted < least {
                return (least, says);
            }
        }
        (wanted, WITHIN)
    }

    /// How many there were when a policy's period began.
    fn at_start(&self, current: i32, period: i32, now: Timestamp) -> i32 {
        let from = now - seconds(period);
        let sum = |events: &[(Timestamp, i32)]| -> i32 {
            events.iter().filter(|(at, _)| *at > from).map(|(_, n)| *n).sum()
        };
        current - sum(&self.added) + sum(&self.removed)
    }

    fn up_limit(&self, rules: Option<&HPAScalingRules>, current: i32, now: Timestamp) -> i32 {
        let Some(rules) = rules else { return current };
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start(current, policy.period_seconds, now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_add(policy.value),
                // Rounded up: a change that adds nothing would never end.
                _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => current,
            Some("Min") => proposals.min().unwrap_or(i32::MAX),
            _ => proposals.max().unwrap_or(i32::MIN),
        }
    }

    fn down_limit(&self, rules: Option<&HPAScalingRules>, current: i32, now: Timestamp) -> i32 {
        let Some(rules) = rules else { return current };
        let proposals = rules.policies.iter().flatten().map(|policy| {
            let start = self.at_start(current, policy.period_seconds, now);
            match policy.type_.as_str() {
                "Pods" => start.saturating_sub(policy.value),
                _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => current,
            // The smallest change leaves the most.
            Some("Min") => proposals.max().unwrap_or(i32::MIN),
            _ => proposals.min().unwrap_or(i32::MAX),
        }
    }
}

fn seconds(seconds: i32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(seconds))
}

fn bounded(bounds: Bounds, wanted: i32) -> (i32, Says) {
    let step = bounds.current.saturating_mul(STEP_FACTOR).max(STEP_LEAST);
    let (most, says) = if bounds.max > step {
        (step, UP_LIMIT)
    } else {
        (bounds.max, TOO_MANY)
    };
    if wanted < bounds.min {
        (bounds.min, TOO_FEW)
    } else if wanted > most {
        (most, says)
    } else {
        (wanted, WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn bounds(min: i32, max: i32, current: i32) -> Bounds {
        Bounds { min, max, current }
    }

    fn behavior(value: serde_json::Value) -> HorizontalPodAutoscalerBehavior {
        serde_json::from_value(value).unwrap()
    }

    fn reasons(decision: &Decision) -> (i32, &str, bool, &str) {
        let (limited, says) = decision.limit;
        (decision.replicas, decision.able.reason, limited, says.reason)
    }

    #[test]
    fn without_behavior() {
        let mut history = History::default();
        history.begin(2, at(0));
        let mut decide = |min, max, current, asked, seconds| {
            let decision = history.decide(None, bounds(min, max, current), asked, at(seconds));
            let found = reasons(&decision);
            (found.0, found.1.to_owned(), found.2, found.3.to_owned())
        };
        let is = |n, able: &str, limited, says: &str| (n, able.to_owned(), limited, says.to_owned());
        // Twice as many, or four, at once.
        assert_eq!(
            decide(1, 100, 1, 50, 0),
            is(4, "ReadyForNewScale", true, "ScaleUpLimit")
        );
        assert_eq!(
            decide(1, 100, 10, 50, 15),
            is(20, "ReadyForNewScale", true, "ScaleUpLimit")
        );
        assert_eq!(
            decide(1, 15, 10, 50, 30),
            is(15, "ReadyForNewScale", true, "TooManyReplicas")
        );
        // The highest of the last five minutes.
        assert_eq!(
            decide(1, 100, 50, 2, 60),
            is(50, "ScaleDownStabilized", false, "DesiredWithinRange")
        );
        assert_eq!(
            decide(1, 100, 50, 2, 400),
            is(2, "ReadyForNewScale", false, "DesiredWithinRange")
        );
        assert_eq!(
            decide(3, 100, 50, 2, 800),
            is(3, "ReadyForNewScale", true, "TooFewReplicas")
        );
    }

    #[test]
    fn windows_of_both_directions() {
        let rules = behavior(json!({
            "scaleUp": {"stabilizationWindowSeconds": 30, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 900, "periodSeconds": 60}]},
            "scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
        }));
        let mut history = History::default();
        history.begin(5, at(0));
        let mut decide = |current, asked, seconds| {
            let decision = history.decide(Some(&rules), bounds(1, 100, current), asked, at(seconds));
            (decision.replicas, decision.able.reason)
        };
        // Up: the lowest of the last 30 seconds, which is what there was.
        assert_eq!(decide(5, 10, 15), (5, "ScaleUpStabilized"));
        assert_eq!(decide(5, 10, 40), (10, "ReadyForNewScale"));
        // Down: the highest of the last 60 seconds.
        assert_eq!(decide(10, 2, 50), (10, "ScaleDownStabilized"));
        assert_eq!(decide(10, 2, 101), (2, "ReadyForNewScale"));
    }

    #[test]
    fn rates_of_policies() {
        let rules = |up: &str, down: &str| {
            behavior(json!({
                "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": up, "policies": [
                    {"type": "Pods", "value": 4, "periodSeconds": 60}, {"type": "Percent", "value": 100, "periodSeconds": 60}]},
                "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": down, "policies": [
                    {"type": "Pods", "value": 4, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]},
            }))
        };
        let once = |rules: &HorizontalPodAutoscalerBehavior, current, asked| {
            let decision = History::default().decide(Some(rules), bounds(1, 100, current), asked, at(0));
            (decision.replicas, decision.limit.1.reason)
        };
        assert_eq!(once(&rules("Max", "Max"), 10, 100), (20, "ScaleUpLimit"));
        assert_eq!(once(&rules("Min", "Max"), 10, 100), (14, "ScaleUpLimit"));
        assert_eq!(once(&rules("Disabled", "Max"), 10, 100), (10, "ScaleUpLimit"));
        assert_eq!(once(&rules("Max", "Max"), 10, 1), (5, "ScaleDownLimit"));
        assert_eq!(once(&rules("Max", "Min"), 10, 1), (6, "ScaleDownLimit"));
        assert_eq!(once(&rules("Max", "Disabled"), 10, 1), (10, "ScaleDownLimit"));
        assert_eq!(once(&rules("Max", "Max"), 99, 200), (100, "TooManyReplicas"));

        // What was added in the period counts against its rate.
        let rules = rules("Min", "Max");
        let mut history = History::default();
        history.scaled(Some(&rules), 10, 14, at(0));
        let mut decide = |current, asked, seconds| {
            let decision = history.decide(Some(&rules), bounds(1, 100, current), asked, at(seconds));
            (decision.replicas, decision.limit.1.reason)
        };
        assert_eq!(decide(14, 50, 30), (14, "ScaleUpLimit"));
        assert_eq!(decide(14, 50, 61), (18, "ScaleUpLimit"));
    }

    #[test]
    fn percentages_are_rounded_so_that_something_happens() {
        let rules = behavior(json!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]},
            "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]},
        }));
        let once = |current, asked| {
            History::default()
                .decide(Some(&rules), bounds(1, 100, current), asked, at(0))
                .replicas
        };
        assert_eq!(once(3, 10), 4);
        assert_eq!(once(3, 1), 2);
    }
}
