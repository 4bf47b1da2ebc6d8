//! How the autoscaler followed the load.
use serde::{Deserialize, Serialize};

use crate::{Happening, Load, What};

/// A part of a load with a rate of its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateStep {
    /// Seconds since the load began.
    pub from_s: f64,
    /// Requests per second from then on.
    pub rate: f64,
}

/// What followed from a change of the rate. Times are seconds after it; what did not come before the next change is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reaction {
    /// The autoscaler, `hpa/NAME`.
    pub scaler: String,
    /// When the rate changed, in seconds since the load began.
    pub t: f64,
    /// Requests per second before.
    pub from_rate: f64,
    /// And after.
    pub to_rate: f64,
    /// Replicas wanted before.
    pub from_replicas: Option<u32>,
    /// Replicas wanted at the end of the step.
    pub to_replicas: Option<u32>,
    /// A measurement that had moved the same way, by a tenth or more, was in the autoscaler's status.
    pub seen_s: Option<f64>,
    /// It wanted another number of replicas.
    pub decided_s: Option<f64>,
    /// The first pod was created (or, on the way down, told to go).
    pub acted_s: Option<f64>,
    /// As many pods as were wanted at the end of the step were Ready.
    pub ready_s: Option<f64>,
    /// As many endpoints had come to the Service (or, on the way down, left it) as the replicas wanted changed by.
    pub serving_s: Option<f64>,
}

/// The reaction of every autoscaler in the timeline to every change of the load's rate.
pub fn reactions(load: &Load, timeline: &[Happening]) -> Vec<Reaction> {
    let mut scalers: Vec<(&str, Option<&str>)> = Vec::new();
    for h in timeline.iter().filter(|h| h.what == What::ScalerDecided) {
        if !scalers.iter().any(|(object, _)| *object == h.object) {
            scalers.push((&h.object, h.app.as_deref()));
        }
    }
    let changes = load.steps.windows(2).enumerate().map(|(at, pair)| {
        let until = load.steps.get(at + 2).map_or(f64::INFINITY, |s| s.from_s);
        (pair[0], pair[1], until)
    });
    changes
        .flat_map(|(before, after, until)| {
            scalers
                .iter()
                .map(move |(scaler, app)| reaction(scaler, *app, before, after, until, timeline))
        })
        .collect()
}

fn reaction(
    scaler: &str,
    app: Option<&str>,
    before: RateStep,
    after: RateStep,
    until: f64,
    timeline: &[Happening],
) -> Reaction {
    let up = after.rate > before.rate;
    let t = after.from_s;
    let earlier = |what: What| {
        let mut found = timeline.iter().rev().filter(|h| h.t < t);
        found
            .find(|h| h.what == what && h.object == scaler)
            .and_then(|h| h.value)
    };
    let within = || timeline.iter().filter(move |h| h.t >= t && h.t < until);
    let of_scaler = |what: What| within().filter(move |h| h.what == what && h.object == scaler);
    let of_app = |what: What| within().filter(move |h| h.what == what && h.app.as_deref() == app);
    let moved = |from: Option<f64>, to: Option<f64>, by: f64| match (from, to) {
        (Some(from), Some(to)) if up => to > from * (1.0 + by),
        (Some(from), Some(to)) => to < from * (1.0 - by),
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let (saw, wanted) = (earlier(What::ScalerSaw), earlier(What::ScalerDecided));
    let decided = of_scaler(What::ScalerDecided).find(|h| moved(wanted, h.value, 0.0));
    let last = of_scaler(What::ScalerDecided)
        .next_back()
        .and_then(|h| h.value)
        .or(wanted);
    let mut reaction = Reaction {
        scaler: scaler.to_owned(),
        t,
        from_rate: before.rate,
        to_rate: after.rate,
        from_replicas: wanted.map(|v| v as u32),
        to_replicas: last.map(|v| v as u32),
        seen_s: of_scaler(What::ScalerSaw)
            .find(|h| moved(saw, h.value, 0.1))
            .map(|h| h.t - t),
        decided_s: decided.map(|h| h.t - t),
        ..Reaction::default()
    };
    let Some(decided) = decided.map(|h| h.t) else {
        return reaction;
    };
    let since = |h: &&Happening| h.t >= decided;
    let acts = if up { What::PodCreated } else { What::PodDeleted };
    reaction.acted_s = of_app(acts).find(since).map(|h| h.t - t);
    let there = |h: &&Happening| match (h.value, last) {
        (Some(ready), Some(wanted)) if up => ready >= wanted,
        (Some(ready), Some(wanted)) => ready <= wanted,
        _ => false,
    };
    reaction.ready_s = of_app(What::ReplicasReady)
        .filter(since)
        .find(there)
        .map(|h| h.t - t);
    // A pod that is killed meanwhile takes an endpoint away and brings one back: neither counts.
    let change = last.zip(wanted).map(|(last, wanted)| last - wanted);
    let mut balance = 0.0;
    let endpoints = within().filter(|h| h.app.as_deref() == app);
    let mut balances = endpoints.filter_map(|h| {
        balance += match h.what {
            What::EndpointAdded => 1.0,
            What::EndpointRemoved => -1.0,
            _ => return None,
        };
        Some((h.t, balance))
    });
    reaction.serving_s = change.and_then(|change| {
        let there = |balance: f64| if up { balance >= change } else { balance <= change };
        balances
            .find(|(at, balance)| *at >= decided && there(*balance))
            .map(|(at, _)| at - t)
    });
    reaction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(t: f64, what: What, value: Option<f64>) -> Happening {
        let scaler = matches!(what, What::ScalerSaw | What::ScalerDecided);
        Happening {
            t,
            what,
            object: if scaler { "hpa/tally" } else { "x" }.to_owned(),
            app: Some("tally".to_owned()),
            detail: String::new(),
            value,
        }
    }

    #[test]
    fn a_rise_is_seen_decided_and_served_and_a_fall_that_is_not_followed_says_so() {
        let mut load = crate::Run::read(include_str!("../tests/data/run-of-0.1.0.json"))
            .expect("the recorded run")
            .load;
        let step = |from_s, rate| RateStep { from_s, rate };
        load.steps = vec![step(0.0, 100.0), step(20.0, 400.0), step(60.0, 100.0)];
        let timeline = [
            happening(-1.0, What::ScalerDecided, Some(2.0)),
            happening(5.0, What::ScalerSaw, Some(50.0)),
            happening(22.0, What::ScalerSaw, Some(52.0)),
            happening(24.0, What::ScalerSaw, Some(180.0)),
            happening(24.5, What::ScalerDecided, Some(4.0)),
            happening(24.6, What::PodCreated, None),
            happening(25.0, What::ReplicasReady, Some(3.0)),
            happening(25.1, What::EndpointAdded, None),
            happening(26.0, What::ReplicasReady, Some(4.0)),
            happening(26.1, What::EndpointAdded, None),
            // A pod is killed and comes back.
            happening(30.0, What::EndpointRemoved, None),
            happening(40.0, What::EndpointAdded, None),
            happening(63.0, What::ScalerSaw, Some(20.0)),
        ];
        let found = reactions(&load, &timeline);
        assert_eq!(found.len(), 2);
        let up = &found[0];
        assert_eq!((up.from_replicas, up.to_replicas), (Some(2), Some(4)));
        let times = [up.seen_s, up.decided_s, up.acted_s, up.ready_s, up.serving_s];
        let rounded = times.map(|t| t.map(|t| (t * 10.0).round() as i64));
        assert_eq!(rounded, [40, 45, 46, 60, 61].map(Some));
        let down = &found[1];
        assert_eq!(
            (down.seen_s, down.decided_s, down.acted_s),
            (Some(3.0), None, None)
        );
        assert_eq!(down.to_replicas, Some(4));
    }
}
