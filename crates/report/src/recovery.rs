//! What was broken, how the client fared and what the cluster did, in words and lines.
use std::fmt::Write as _;

use results::{Fault, Happening, Reaction, Run, What};

use crate::chart::Line;
use crate::text::ms;

/// `3.4 s`, or that it did not come to that.
fn after(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "not seen".to_owned(), |s| format!("{s:.1} s"))
}

/// The client's side in a sentence.
pub(crate) fn client(fault: &Fault) -> String {
    let Some(recovery) = &fault.recovery else {
        return format!("{} requests lost, {} s degraded", fault.failed, fault.degraded_s);
    };
    let peak = recovery
        .p99_peak_ms
        .map(|p| format!(", p99 up to {}", ms(p)))
        .unwrap_or_default();
    let usual = recovery
        .band
        .map(|b| format!(" (usually {})", ms(b.usual_p99_ms)))
        .unwrap_or_default();
    let back = match recovery.back_s {
        Some(s) if s <= 0.0 => "never left its usual band".to_owned(),
        Some(s) => format!("back after {s:.1} s"),
        None => "not back within the run".to_owned(),
    };
    format!(
        "{} requests lost, {} s outside the band{peak}{usual}, {back}",
        recovery.lost, recovery.outside_s
    )
}

/// The cluster's side in a sentence: what it did, and when.
pub(crate) fn server(fault: &Fault) -> String {
    let milestones = fault.recovery.as_ref().map(results::Recovery::milestones);
    let milestones: Vec<String> = milestones
        .unwrap_or_default()
        .iter()
        .map(|(name, s)| format!("{name} {s:.2} s"))
        .collect();
    milestones.join(", ")
}

/// How an autoscaler followed a step, in a sentence.
pub(crate) fn reaction(r: &Reaction) -> String {
    let replicas = match (r.from_replicas, r.to_replicas) {
        (Some(from), Some(to)) if from == to => format!("stays at {from} replicas"),
        (Some(from), Some(to)) => format!("goes from {from} to {to} replicas"),
        _ => "says nothing of replicas".to_owned(),
    };
    let verb = if r.to_rate > r.from_rate {
        "created"
    } else {
        "told to go"
    };
    let mut text = format!(
        "{:.0}/s to {:.0}/s at {:.0} s: {} {replicas}: seen after {}",
        r.from_rate,
        r.to_rate,
        r.t,
        r.scaler,
        after(r.seen_s)
    );
    if r.decided_s.is_some() {
        let _ = write!(
            text,
            ", decided {}, first pod {verb} {}, all ready {}, all endpoints {}",
            after(r.decided_s),
            after(r.acted_s),
            after(r.ready_s),
            after(r.serving_s)
        );
    }
    text
}

/// What the terminal shows of faults, autoscaling, counting and the background's share.
pub(crate) fn text(run: &Run, out: &mut String) {
    let mut line = |name: &str, text: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{name:<12} {text}");
    };
    for fault in &run.faults {
        line("fault", &format!("{} after {:.1} s", fault.what, fault.t));
        line("", &client(fault));
        let server = server(fault);
        if !server.is_empty() {
            line("", &server);
        }
    }
    for r in &run.scaling {
        line("autoscaling", &reaction(r));
    }
    if let Some(counted) = &run.counted {
        line("counted", &counted.verdict());
    }
    if let Some(hours) = background_hours(run) {
        line(
            "background",
            &format!("low-priority pods got {hours:.4} CPU hours meanwhile"),
        );
    }
}

/// CPU hours that low-priority pods got while the loads ran.
pub(crate) fn background_hours(run: &Run) -> Option<f64> {
    let known: Vec<f64> = run.loads().filter_map(|l| l.background_cpu_s).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / 3600.0)
}

/// Replicas of what an autoscaler moves (else of the victims' app) over time: asked for, Ready, and reached by its Service.
pub(crate) fn replicas(run: &Run) -> Vec<Line> {
    let app = run
        .timeline
        .iter()
        .find(|h| h.what == What::ScalerDecided)
        .map(|h| h.app.clone())
        .or_else(|| run.faults.first().map(|f| f.app.clone()))
        .flatten();
    let Some(app) = app else { return Vec::new() };
    let of_app = |h: &&Happening| h.app.as_ref() == Some(&app);
    let until = run.load.planned_s.unwrap_or(run.load.seconds);
    let steps = |what: What| {
        let found = run
            .timeline
            .iter()
            .filter(of_app)
            .filter(|h| h.what == what && h.t <= until);
        stairs(found.filter_map(|h| Some((h.t, h.value?))), until)
    };
    let mut serving = 0.0;
    let endpoints = run
        .timeline
        .iter()
        .filter(of_app)
        .filter(|h| h.t <= until)
        .filter_map(|h| {
            serving += match h.what {
                What::EndpointAdded => 1.0,
                What::EndpointRemoved => -1.0,
                _ => return None,
            };
            Some((h.t, serving))
        });
    let endpoints = stairs(endpoints.collect::<Vec<_>>().into_iter(), until);
    [
        ("wanted by the autoscaler", steps(What::ScalerDecided)),
        ("asked for", steps(What::ReplicasAsked)),
        ("ready", steps(What::ReplicasReady)),
        ("endpoints", endpoints),
    ]
    .into_iter()
    .filter(|(_, points)| !points.is_empty())
    .map(|(name, points)| Line {
        name: name.to_owned(),
        points,
    })
    .collect()
}

/// A value that holds until the next: two points for each change, from the load's beginning to its end.
fn stairs(changes: impl Iterator<Item = (f64, f64)>, until: f64) -> Vec<(f64, Option<f64>)> {
    let mut points: Vec<(f64, Option<f64>)> = Vec::new();
    for (t, value) in changes {
        let t = t.max(0.0);
        match points.last().copied() {
            // What stood before the load is one value.
            Some((last, _)) if last >= t => drop(points.pop()),
            Some((_, before)) => points.push((t, before)),
            None => {}
        }
        points.push((t, Some(value)));
    }
    if let Some((last, value)) = points.last().copied()
        && last < until
    {
        points.push((until, value));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next() {
        let changes = [(-1.0, 1.0), (-0.5, 2.0), (3.0, 4.0)];
        let points = stairs(changes.into_iter(), 10.0);
        let plain: Vec<(f64, f64)> = points.iter().map(|(t, v)| (*t, v.unwrap_or(-1.0))).collect();
        assert_eq!(plain, [(0.0, 2.0), (3.0, 2.0), (3.0, 4.0), (10.0, 4.0)]);
    }
}
