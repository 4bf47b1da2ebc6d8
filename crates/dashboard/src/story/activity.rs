use results::activity::{Entry, State};

use super::card::{Card, LineKind, Mark, MarkKind, Step, StepState, Tone};
use super::fold::Telling;
use super::lines;

impl Telling<'_> {
    /// An entry of the journal. `start` has steps; what loads is marked in the charts, and so is whatever else a benchmark or
    /// `chaos` does, which are faults.
    pub(super) fn told(&mut self, entry: &Entry) {
        let Ok(time) = entry.time.parse::<jiff::Timestamp>() else {
            return;
        };
        let t = time.as_millisecond();
        match (entry.kind.as_str(), entry.step.as_str()) {
            ("start", "start") => self.run_of_start(entry, t),
            ("start", step) => {
                self.step(entry, t);
                if step == "load" {
                    self.mark(entry, t, MarkKind::Load);
                }
            }
            (_, "load") => self.mark(entry, t, MarkKind::Load),
            _ => self.mark(entry, t, MarkKind::Fault),
        }
    }

    fn run_of_start(&mut self, entry: &Entry, t: i64) {
        match entry.state {
            State::Begun => self.only_steps_of(&entry.run),
            State::Progress => {}
            State::Done => self.say(t, (LineKind::Step, Tone::Good, entry.text.clone())),
            State::Failed => {
                let running: Vec<(String, Step)> =
                    self.steps_of(&entry.run, |s| s.state == StepState::Running);
                for (key, step) in running {
                    let step = Step {
                        state: StepState::Failed,
                        ended: Some(t),
                        note: entry.text.clone(),
                        ..step
                    };
                    self.put(key, Card::Step(step));
                }
                self.say(
                    t,
                    (
                        LineKind::Step,
                        Tone::Bad,
                        format!("start has failed: {}", entry.text),
                    ),
                );
            }
        }
    }

    fn step(&mut self, entry: &Entry, t: i64) {
        let open = self
            .steps_of(&entry.run, |s| {
                s.name == entry.step && s.state == StepState::Running
            })
            .pop();
        match (entry.state, open) {
            (State::Begun, None) => {
                self.only_steps_of(&entry.run);
                self.begin(entry, t);
            }
            (State::Progress, Some((key, step))) => {
                self.put(
                    key,
                    Card::Step(Step {
                        note: entry.text.clone(),
                        ..step
                    }),
                );
            }
            (State::Done | State::Failed, open) => {
                // Some steps are only told of when they are over, with how long they took.
                let seconds = entry
                    .figures
                    .get("seconds")
                    .copied()
                    .filter(|s| s.is_finite() && *s >= 0.0);
                let (key, step) = open.unwrap_or_else(|| {
                    self.begin(entry, t.saturating_sub((seconds.unwrap_or(0.0) * 1000.0) as i64))
                });
                let good = entry.state == State::Done;
                let note = if good { String::new() } else { entry.text.clone() };
                let state = if good { StepState::Done } else { StepState::Failed };
                let step = Step {
                    ended: Some(t.max(step.begun)),
                    state,
                    note,
                    ..step
                };
                let line = lines::step(&step);
                self.put(key, Card::Step(step));
                self.say(t, line);
            }
            (State::Begun, Some(_)) | (State::Progress, None) => {}
        }
    }

    fn begin(&mut self, entry: &Entry, t: i64) -> (String, Step) {
        let step = Step {
            run: entry.run.clone(),
            name: entry.step.clone(),
            title: entry.text.clone(),
            begun: t,
            ended: None,
            state: StepState::Running,
            note: String::new(),
        };
        let key = format!("step/{t:013}/{}", entry.step);
        self.put(key.clone(), Card::Step(step.clone()));
        (key, step)
    }

    fn steps_of(&self, run: &str, which: impl Fn(&Step) -> bool) -> Vec<(String, Step)> {
        let steps = self.story.steps().filter(|(_, s)| s.run == run && which(s));
        steps.map(|(key, step)| (key.to_owned(), step.clone())).collect()
    }

    /// A new run begins with an empty list of steps.
    fn only_steps_of(&mut self, run: &str) {
        let others: Vec<String> = self
            .story
            .steps()
            .filter(|(_, s)| s.run != run)
            .map(|(key, _)| key.to_owned())
            .collect();
        for key in &others {
            self.drop_card(key);
        }
    }

    fn mark(&mut self, entry: &Entry, t: i64, kind: MarkKind) {
        let end = format!("/{}/{}", entry.run, entry.step);
        let open = self
            .story
            .marks()
            .filter(|(key, m)| m.ended.is_none() && key.ends_with(&end))
            .last();
        let open = open.map(|(key, mark)| (key.to_owned(), mark.clone()));
        match (entry.state, open) {
            (State::Begun, None) => {
                let mark = Mark {
                    kind,
                    what: entry.text.clone(),
                    begun: t,
                    ended: None,
                };
                self.say(t, lines::mark_began(&mark));
                self.put(format!("mark/{t:013}{end}"), Card::Mark(mark));
            }
            (State::Progress, Some((_, mark))) => {
                let tone = if kind == MarkKind::Fault {
                    Tone::Bad
                } else {
                    Tone::Plain
                };
                if mark.what != entry.text {
                    self.say(t, (mark.kind.line(), tone, entry.text.clone()));
                }
            }
            (State::Done | State::Failed, Some((key, mark))) => {
                let mark = Mark {
                    ended: Some(t.max(mark.begun)),
                    ..mark
                };
                let line = lines::mark_ended(&mark, entry);
                self.put(key, Card::Mark(mark));
                self.say(t, line);
            }
            (State::Begun, Some(_)) | (_, None) => {}
        }
    }
}
