//! The story in sentences.
use results::activity::{Entry, State};

use super::card::{
    Card, Cluster, LineKind, Link, Mark, MarkKind, Node, Pod, PodState, Scaler, Step, StepState, Tone,
};

/// What about, how it is meant, and the words.
pub(super) type Sentence = (LineKind, Tone, String);

pub(super) fn link(before: Link, now: &Cluster) -> Option<Sentence> {
    let say = |tone, text: String| Some((LineKind::Cluster, tone, text));
    match (before, now.link) {
        (a, b) if a == b => None,
        (_, Link::Live) => say(
            Tone::Good,
            format!("cluster {} answers: {}", now.name, now.version),
        ),
        (_, Link::Lost) => say(
            Tone::Bad,
            format!("cluster {} has stopped answering: {}", now.name, now.why),
        ),
        (Link::Live | Link::Lost, Link::Absent) => say(Tone::Bad, format!("cluster {} is gone", now.name)),
        _ => None,
    }
}

pub(super) fn node(before: Option<&Card>, now: &Node) -> Option<Sentence> {
    let say = |tone, text: String| Some((LineKind::Cluster, tone, text));
    let before = match before {
        Some(Card::Node(before)) => Some(before.ready),
        _ => None,
    };
    match (before, now.ready) {
        (Some(true), true) | (Some(false) | None, false) => None,
        (_, true) => say(Tone::Good, format!("node {} is Ready", now.name)),
        (_, false) if now.why.is_empty() => say(Tone::Bad, format!("node {} is not Ready", now.name)),
        (_, false) => say(Tone::Bad, format!("node {} is not Ready: {}", now.name, now.why)),
    }
}

/// Of a pod that is seen for the first time only trouble is told: it may have been there for long.
pub(super) fn pod(before: Option<&Pod>, now: &Pod) -> Option<Sentence> {
    let say = |tone, text: String| Some((LineKind::Pod, tone, text));
    let (name, was) = (&now.name, before.map(|p| p.state));
    if before.is_some_and(|b| now.restarts > b.restarts) {
        return say(Tone::Bad, format!("pod {name} has restarted"));
    }
    if was == Some(now.state) {
        return None;
    }
    let because = if now.why.is_empty() {
        String::new()
    } else {
        format!(": {}", now.why)
    };
    match now.state {
        PodState::Ready if was.is_some() => say(Tone::Good, format!("pod {name} is ready")),
        PodState::Starting if was == Some(PodState::Ready) => {
            say(Tone::Bad, format!("pod {name} is no longer ready{because}"))
        }
        PodState::Failing => say(Tone::Bad, format!("pod {name} keeps failing{because}")),
        PodState::Failed => say(Tone::Bad, format!("pod {name} has failed{because}")),
        PodState::Done if was.is_some() => say(Tone::Good, format!("pod {name} has done its work")),
        PodState::Ending if was.is_some() => say(Tone::Plain, format!("pod {name} is asked to end")),
        _ => None,
    }
}

pub(super) fn pod_gone(pod: &Pod) -> Sentence {
    // Whoever was asked to end or had done its work is expected to go.
    let expected = matches!(pod.state, PodState::Ending | PodState::Done);
    let tone = if expected { Tone::Plain } else { Tone::Bad };
    (LineKind::Pod, tone, format!("pod {} is gone", pod.name))
}

pub(super) fn scaler(before: Option<&Scaler>, now: &Scaler) -> Option<Sentence> {
    // An autoscaler wants 0 as long as it has decided nothing: before its first look, and while its target is switched off.
    let before = before.filter(|b| b.desired > 0);
    let was = before.map_or(now.current, |b| b.desired);
    if now.desired == 0 || was == now.desired || (before.is_none() && now.current == 0) {
        return None;
    }
    let reasons: Vec<String> = now
        .metrics
        .iter()
        .filter(|m| !m.now.is_empty())
        .map(|m| format!("{} {} of {}", m.name, m.now, m.target))
        .collect();
    let because = if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join(", "))
    };
    let verb = if now.desired > was { "up" } else { "down" };
    Some((
        LineKind::Scale,
        Tone::Plain,
        format!(
            "{} is scaled {verb}, {was} → {}{because}",
            now.scales, now.desired
        ),
    ))
}

pub(super) fn step(step: &Step) -> Sentence {
    let took = step
        .ended
        .map_or(0.0, |ended| (ended - step.begun) as f64 / 1000.0);
    let note = if step.note.is_empty() {
        String::new()
    } else {
        format!(": {}", step.note)
    };
    match step.state {
        StepState::Failed => (
            LineKind::Step,
            Tone::Bad,
            format!("step {} has failed after {took:.1} s{note}", step.name),
        ),
        _ => (
            LineKind::Step,
            Tone::Good,
            format!("step {} done after {took:.1} s{note}", step.name),
        ),
    }
}

impl MarkKind {
    /// What sentences about it are about.
    pub(super) fn line(self) -> LineKind {
        match self {
            MarkKind::Load => LineKind::Load,
            MarkKind::Fault => LineKind::Fault,
        }
    }

    fn word(self) -> &'static str {
        match self {
            MarkKind::Load => "load",
            MarkKind::Fault => "fault",
        }
    }
}

pub(super) fn mark_began(mark: &Mark) -> Sentence {
    let tone = if mark.kind == MarkKind::Fault {
        Tone::Bad
    } else {
        Tone::Plain
    };
    (
        mark.kind.line(),
        tone,
        format!("{} begins: {}", mark.kind.word(), mark.what),
    )
}

pub(super) fn mark_ended(mark: &Mark, entry: &Entry) -> Sentence {
    let (kind, word) = (mark.kind.line(), mark.kind.word());
    if entry.state == State::Failed {
        return (kind, Tone::Bad, format!("{word} failed: {}", entry.text));
    }
    let figure = |name: &str| entry.figures.get(name);
    let mut came_to = Vec::new();
    if let Some(rate) = figure("throughput") {
        came_to.push(format!("{rate:.0}/s"));
    }
    if let Some(p99) = figure("p99_ms") {
        came_to.push(format!("p99 {p99:.1} ms"));
    }
    if let Some(failed) = figure("failed") {
        came_to.push(format!("{failed:.0} failed"));
    }
    let text = if entry.text.is_empty() {
        &mark.what
    } else {
        &entry.text
    };
    let came_to = if came_to.is_empty() {
        String::new()
    } else {
        format!(" ({})", came_to.join(", "))
    };
    (kind, Tone::Good, format!("{word} over: {text}{came_to}"))
}
