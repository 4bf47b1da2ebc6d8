use super::card::{Headline, Link, MarkKind, PodState, StepState, Tone};
use super::fold::Story;

impl Story {
    /// What matters most now, in one sentence.
    pub(super) fn headline(&self) -> Headline {
        let (tone, text) = self.sentence();
        Headline { tone, text }
    }

    fn sentence(&self) -> (Tone, String) {
        let link = self.cluster().map_or(Link::Absent, |c| c.link);
        let step = self
            .steps()
            .map(|(_, s)| s)
            .find(|s| s.state == StepState::Running);
        let step = step.map(|s| {
            let note = if s.note.is_empty() {
                String::new()
            } else {
                format!(": {}", s.note)
            };
            (
                Tone::Plain,
                format!("Starting, step {} ({}){note}", s.name, s.title),
            )
        });
        match link {
            // The cluster is the first step.
            Link::Absent | Link::Reaching if step.is_some() => return step.unwrap_or_else(Self::nothing),
            Link::Absent => return Self::nothing(),
            Link::Reaching => return (Tone::Plain, "The cluster has not answered yet".to_owned()),
            Link::Lost => {
                return (
                    Tone::Bad,
                    "The cluster does not answer: what is shown was so before".to_owned(),
                );
            }
            Link::Live => {}
        }
        let open = |kind: MarkKind| {
            self.marks()
                .map(|(_, m)| m)
                .filter(|m| m.ended.is_none())
                .find(|m| m.kind == kind)
        };
        if let Some(fault) = open(MarkKind::Fault) {
            return (Tone::Bad, format!("A fault is under way: {}", fault.what));
        }
        let failing = self
            .pods()
            .map(|(_, p)| p)
            .find(|p| matches!(p.state, PodState::Failing));
        if let Some(pod) = failing {
            return (Tone::Bad, format!("Pod {} keeps failing: {}", pod.name, pod.why));
        }
        if let Some(load) = open(MarkKind::Load) {
            return (Tone::Plain, format!("Under load: {}", load.what));
        }
        if let Some(step) = step {
            return step;
        }
        let count = |states: &[PodState]| self.pods().filter(|(_, p)| states.contains(&p.state)).count();
        let ready = count(&[PodState::Ready]);
        let all = ready + count(&[PodState::Pending, PodState::Starting, PodState::Failing]);
        if all == 0 {
            return (
                Tone::Plain,
                "The cluster is up, and the demo is not: cncfdemo start deploys it".to_owned(),
            );
        }
        let unready = self.nodes().filter(|(_, n)| !n.ready).count();
        let tone = if ready == all && unready == 0 {
            Tone::Good
        } else {
            Tone::Plain
        };
        let nodes = match unready {
            0 => String::new(),
            1 => ", 1 node is not Ready".to_owned(),
            n => format!(", {n} nodes are not Ready"),
        };
        (tone, format!("{ready} of {all} pods ready{nodes}"))
    }

    fn nothing() -> (Tone, String) {
        (
            Tone::Plain,
            "There is no cluster yet: cncfdemo start makes one and deploys the demo on it".to_owned(),
        )
    }
}
