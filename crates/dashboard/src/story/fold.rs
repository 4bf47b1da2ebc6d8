use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::card::{
    Card, Cluster, Decision, Headline, Line, LineKind, Link, Mark, Moment, Node, Pod, PodState, Scaler, Step,
    Tone, Workload,
};
use super::fact::{Fact, Kind, Object, Sample};
use super::lines::{self, Sentence};

/// How long a pod that is no more is shown, ms.
const GONE_FOR: i64 = 12_000;
/// How far back the charts reach, ms.
pub const WINDOW: i64 = 10 * 60_000;
/// Most cards of a kind of history; the oldest go first.
const MOST: [(&str, usize); 5] = [
    ("line/", 200),
    ("event/", 150),
    ("decision/", 200),
    ("mark/", 60),
    ("step/", 60),
];

/// A card that is new, other than before, or (`None`) taken away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change(pub String, pub Option<Card>);

/// What is shown, card by card.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    cards: BTreeMap<String, Card>,
    /// Whether a pod of this name is background work; also of pods that are no more, for what was measured of them.
    background: BTreeMap<String, bool>,
    background_apps: BTreeSet<String>,
    /// Numbers the sentences.
    lines: u64,
}

impl Story {
    /// The story of a cluster before anything is known of it.
    pub fn new(name: &str, namespace: &str, now: i64) -> Story {
        let cluster = Cluster {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            link: Link::Reaching,
            since: now,
            why: String::new(),
            version: String::new(),
            metrics: String::new(),
        };
        let mut story = Story::of_cards(BTreeMap::from([("cluster".to_owned(), Card::Cluster(cluster))]));
        story.age(now);
        story
    }

    /// A story known only by its cards, as somebody has it who follows changes.
    pub fn of_cards(cards: BTreeMap<String, Card>) -> Story {
        Story {
            cards,
            background: BTreeMap::new(),
            background_apps: BTreeSet::new(),
            lines: 0,
        }
    }

    /// Every card by its key.
    pub fn cards(&self) -> &BTreeMap<String, Card> {
        &self.cards
    }

    /// Applies a change that another story gave.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change(key, Some(card)) => drop(self.cards.insert(key, card)),
            Change(key, None) => drop(self.cards.remove(&key)),
        }
    }

    /// A fact comes to be known at an instant; what changes by it.
    pub fn tell(&mut self, now: i64, fact: Fact) -> Vec<Change> {
        let mut to = Telling {
            story: self,
            now,
            changes: BTreeMap::new(),
        };
        match fact {
            Fact::Link(link, why) => to.link(link, why),
            Fact::AnotherCluster => to.another(),
            Fact::Seen(object) => to.seen(object),
            Fact::Gone(kind, uid) => to.gone(kind, &uid),
            Fact::All(kind, uids) => to.all(kind, &uids),
            Fact::Measured(samples) => to.measured(samples),
            Fact::Unmeasured(why) => to.metrics(why),
            Fact::Told(entry) => to.told(&entry),
            Fact::NewJournal => to.drop_all(&["step/", "mark/"]),
        }
        to.forget();
        to.head();
        to.done()
    }

    /// Time has passed; what changes by that alone.
    pub fn age(&mut self, now: i64) -> Vec<Change> {
        let mut to = Telling {
            story: self,
            now,
            changes: BTreeMap::new(),
        };
        to.forget();
        to.head();
        to.done()
    }

    /// When [`Story::age`] has something to do next.
    pub fn next_age(&self) -> Option<i64> {
        self.pods()
            .filter(|(_, p)| p.state == PodState::Gone)
            .map(|(_, p)| p.since + GONE_FOR)
            .min()
    }

    fn below(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &Card)> {
        self.cards
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, card)| (key.as_str(), card))
    }
}

/// Cards of one kind, by key.
macro_rules! cards {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $card:ident;)*) => {
        impl Story {
            $($(#[$doc])*
            pub fn $name(&self) -> impl Iterator<Item = (&str, &$card)> {
                self.below($prefix).filter_map(|(key, card)| match card {
                    Card::$card(card) => Some((key, card)),
                    _ => None,
                })
            })*
        }
    };
}

cards! {
    /// Nodes.
    nodes "node/" Node;
    /// Pods.
    pods "pod/" Pod;
    /// Workloads.
    workloads "workload/" Workload;
    /// Autoscalers.
    scalers "scaler/" Scaler;
    /// What autoscalers decided, by autoscaler and time.
    decisions "decision/" Decision;
    /// Steps.
    steps "step/" Step;
    /// Marks.
    marks "mark/" Mark;
    /// Moments, oldest first.
    moments "moment/" Moment;
    /// Sentences, oldest first.
    lines "line/" Line;
    /// Events of the cluster.
    events "event/" Line;
}

impl Story {
    /// What matters most now.
    pub fn head(&self) -> Option<&Headline> {
        match self.cards.get("headline") {
            Some(Card::Headline(headline)) => Some(headline),
            _ => None,
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> Option<&Cluster> {
        match self.cards.get("cluster") {
            Some(Card::Cluster(cluster)) => Some(cluster),
            _ => None,
        }
    }
}

/// The story while a fact is told.
pub(super) struct Telling<'a> {
    pub(super) story: &'a mut Story,
    now: i64,
    /// What the cards were before.
    changes: BTreeMap<String, Option<Card>>,
}

impl Telling<'_> {
    /// The changes: what is not as it was.
    fn done(self) -> Vec<Change> {
        let Telling { story, changes, .. } = self;
        let changed = changes
            .into_iter()
            .filter(|(key, before)| story.cards.get(key) != before.as_ref());
        changed
            .map(|(key, _)| Change(key.clone(), story.cards.get(&key).cloned()))
            .collect()
    }

    pub(super) fn put(&mut self, key: String, card: Card) {
        let before = self.story.cards.insert(key.clone(), card);
        self.changes.entry(key).or_insert(before);
    }

    pub(super) fn drop_card(&mut self, key: &str) {
        if let Some(before) = self.story.cards.remove(key) {
            self.changes.entry(key.to_owned()).or_insert(Some(before));
        }
    }

    fn head(&mut self) {
        let headline = self.story.headline();
        self.put("headline".to_owned(), Card::Headline(headline));
    }

    fn drop_all(&mut self, prefixes: &[&'static str]) {
        for prefix in prefixes {
            let keys: Vec<String> = self.story.below(prefix).map(|(key, _)| key.to_owned()).collect();
            for key in &keys {
                self.drop_card(key);
            }
        }
    }

    pub(super) fn say(&mut self, t: i64, sentence: impl Into<Option<Sentence>>) {
        let Some((kind, tone, text)) = sentence.into() else {
            return;
        };
        self.story.lines += 1;
        let key = format!("line/{t:013}/{:06}", self.story.lines);
        self.put(
            key,
            Card::Line(Line {
                t,
                kind,
                tone,
                text,
                times: 1,
            }),
        );
    }

    fn link(&mut self, link: Link, why: String) {
        let Some(mut cluster) = self.story.cluster().cloned() else {
            return;
        };
        let before = cluster.link;
        if link == Link::Live {
            cluster.version = why;
            cluster.why = String::new();
        } else {
            cluster.why = why;
            // What Prometheus is said to lack is news of a cluster that answers.
            cluster.metrics = String::new();
        }
        if before != link {
            cluster.link = link;
            cluster.since = self.now;
        }
        let line = lines::link(before, &cluster);
        self.put("cluster".to_owned(), Card::Cluster(cluster));
        self.say(self.now, line);
        if link == Link::Absent {
            self.forget_objects();
        }
    }

    fn another(&mut self) {
        self.forget_objects();
        self.drop_all(&["decision/", "moment/", "event/"]);
    }

    fn forget_objects(&mut self) {
        self.drop_all(&["node/", "pod/", "workload/", "scaler/"]);
        self.story.background.clear();
        self.story.background_apps.clear();
    }

    fn metrics(&mut self, why: String) {
        if let Some(cluster) = self.story.cluster() {
            let cluster = Cluster {
                metrics: why,
                ..cluster.clone()
            };
            self.put("cluster".to_owned(), Card::Cluster(cluster));
        }
    }

    fn seen(&mut self, object: Object) {
        match object {
            Object::Node(uid, node) => {
                let key = format!("node/{uid}");
                let before = self.story.cards.get(&key);
                let line = lines::node(before, &node);
                self.put(key, Card::Node(node));
                self.say(self.now, line);
            }
            Object::Pod(uid, pod) => self.pod(&uid, pod),
            Object::Workload(kind, uid, workload) => {
                self.put(format!("{}{uid}", kind.prefix()), Card::Workload(workload));
            }
            Object::Scaler(uid, scaler) => self.scaler(&uid, scaler),
            Object::Event(uid, line) => self.put(format!("event/{uid}"), Card::Line(line)),
        }
    }

    fn pod(&mut self, uid: &str, mut pod: Pod) {
        let key = format!("pod/{uid}");
        let before = match self.story.cards.get(&key) {
            Some(Card::Pod(before)) => Some(before.clone()),
            _ => None,
        };
        pod.since = match &before {
            Some(before) if before.state == pod.state => before.since,
            Some(_) => self.now,
            // It may have been so for long; what is known is since when it is seen.
            None => {
                if pod.since > 0 {
                    pod.since
                } else {
                    self.now
                }
            }
        };
        if pod.background {
            self.story.background_apps.insert(pod.app.clone());
        }
        self.story.background.insert(pod.name.clone(), pod.background);
        let line = lines::pod(before.as_ref(), &pod);
        self.put(key, Card::Pod(pod));
        self.say(self.now, line);
    }

    fn scaler(&mut self, uid: &str, scaler: Scaler) {
        let key = format!("scaler/{uid}");
        let before = match self.story.cards.get(&key) {
            Some(Card::Scaler(before)) => Some(before.clone()),
            _ => None,
        };
        let same = before
            .as_ref()
            .is_some_and(|b| (b.current, b.desired) == (scaler.current, scaler.desired));
        if !same {
            let decision = Decision {
                scaler: scaler.name.clone(),
                t: self.now,
                current: scaler.current,
                desired: scaler.desired,
            };
            self.put(
                format!("decision/{}/{:013}", scaler.name, self.now),
                Card::Decision(decision),
            );
        }
        let line = lines::scaler(before.as_ref(), &scaler);
        self.put(key, Card::Scaler(scaler));
        self.say(self.now, line);
    }

    fn gone(&mut self, kind: Kind, uid: &str) {
        let key = format!("{}{uid}", kind.prefix());
        match self.story.cards.get(&key).cloned() {
            // What happened has happened, also when the cluster forgets it.
            Some(Card::Line(_)) | None => {}
            Some(Card::Pod(pod)) if pod.state == PodState::Gone => {}
            Some(Card::Pod(pod)) => {
                let line = lines::pod_gone(&pod);
                let pod = Pod {
                    state: PodState::Gone,
                    since: self.now,
                    why: String::new(),
                    ..pod
                };
                self.put(key, Card::Pod(pod));
                self.say(self.now, line);
            }
            Some(Card::Node(node)) => {
                self.drop_card(&key);
                self.say(
                    self.now,
                    (
                        LineKind::Cluster,
                        Tone::Bad,
                        format!("node {} is gone", node.name),
                    ),
                );
            }
            Some(_) => self.drop_card(&key),
        }
    }

    fn all(&mut self, kind: Kind, uids: &BTreeSet<String>) {
        let prefix = kind.prefix();
        let keys: Vec<String> = self
            .story
            .below(prefix)
            .map(|(key, _)| key[prefix.len()..].to_owned())
            .collect();
        for uid in keys.iter().filter(|uid| !uids.contains(*uid)) {
            self.gone(kind, uid);
        }
    }

    fn measured(&mut self, samples: Vec<Sample>) {
        self.metrics(String::new());
        for sample in samples {
            let mut cores = [None, None];
            for (pod, used) in &sample.cpu {
                let sum = &mut cores[usize::from(self.story.is_background(pod))];
                *sum = Some(sum.unwrap_or(0.0) + used);
            }
            let moment = Moment {
                t: sample.t,
                rate: sample.rate,
                errors: sample.errors,
                p50: sample.p50,
                p99: sample.p99,
                foreground: cores[0],
                background: cores[1],
            };
            self.put(format!("moment/{:013}", sample.t), Card::Moment(moment));
        }
    }

    /// Takes away what is no longer to be shown.
    fn forget(&mut self) {
        let now = self.now;
        let mut old: Vec<String> = Vec::new();
        old.extend(
            self.story
                .pods()
                .filter(|(_, p)| p.state == PodState::Gone && p.since + GONE_FOR <= now)
                .map(|(k, _)| k.to_owned()),
        );
        let newest = self.story.moments().last().map_or(i64::MIN, |(_, m)| m.t);
        old.extend(
            self.story
                .moments()
                .take_while(|(_, m)| m.t < newest - WINDOW)
                .map(|(k, _)| k.to_owned()),
        );
        for (prefix, most) in MOST {
            let mut by_time: Vec<(i64, &str)> = self
                .story
                .below(prefix)
                .map(|(key, card)| (time_of(card), key))
                .collect();
            if by_time.len() > most {
                let surplus = by_time.len() - most;
                by_time.sort_unstable();
                old.extend(by_time[..surplus].iter().map(|(_, key)| (*key).to_owned()));
            }
        }
        for key in &old {
            self.drop_card(key);
        }
    }
}

impl Story {
    fn is_background(&self, pod: &str) -> bool {
        let by_app = || {
            self.background_apps.iter().any(|app| {
                pod.strip_prefix(app.as_str())
                    .is_some_and(|rest| rest.starts_with('-'))
            })
        };
        self.background.get(pod).copied().unwrap_or_else(by_app)
    }
}

fn time_of(card: &Card) -> i64 {
    match card {
        Card::Line(line) => line.t,
        Card::Decision(decision) => decision.t,
        Card::Mark(mark) => mark.begun,
        Card::Step(step) => step.begun,
        _ => 0,
    }
}
