use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::story::{Card, Change, Fact, Story};

/// Changes are kept for viewers that come back: so many tellings.
const KEPT: usize = 2000;
/// Most viewers at a time; a browser opens one for each page.
const MOST_VIEWERS: usize = 64;
/// A viewer hears of what has changed at most this often.
const PACE: Duration = Duration::from_millis(150);

/// Has the story, takes facts, and tells viewers what changes.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
    told: watch::Sender<u64>,
    viewers: watch::Sender<usize>,
    /// Which hub this is: numbers of another mean nothing to it.
    boot: i64,
}

#[derive(Debug)]
struct Inner {
    story: Story,
    number: u64,
    past: VecDeque<(u64, Vec<Change>)>,
}

/// There are as many viewers as may be.
#[derive(Debug, thiserror::Error)]
#[error("{MOST_VIEWERS} viewers are watching already")]
pub struct Full;

/// What a viewer hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// All of it, in place of what the viewer had.
    Whole(BTreeMap<String, Card>),
    /// What has changed since.
    Changes(Vec<Change>),
}

impl Hub {
    /// A hub with the beginning of a story.
    pub fn new(name: &str, namespace: &str) -> Arc<Hub> {
        let now = now();
        Arc::new(Hub {
            inner: Mutex::new(Inner {
                story: Story::new(name, namespace, now),
                number: 0,
                past: VecDeque::new(),
            }),
            told: watch::Sender::new(0),
            viewers: watch::Sender::new(0),
            boot: now,
        })
    }

    /// A fact comes to be known now.
    pub fn tell(&self, fact: Fact) {
        self.change(|story| story.tell(now(), fact));
    }

    /// Reads the story.
    pub fn read<T>(&self, read: impl FnOnce(&Story) -> T) -> T {
        read(&self.inner().story)
    }

    /// How many are watching, and news of that.
    pub fn viewers(&self) -> watch::Receiver<usize> {
        self.viewers.subscribe()
    }

    /// Takes away what has been shown for long enough, when its time has come. Runs for as long as it is polled.
    pub async fn age(&self) {
        let mut told = self.told.subscribe();
        loop {
            let next = self.read(Story::next_age);
            let time = async {
                match next {
                    Some(at) => tokio::time::sleep(Duration::from_millis((at - now()).max(0) as u64)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = time => self.change(|story| story.age(now())),
                changed = told.changed() => if changed.is_err() { return },
            }
        }
    }

    /// A viewer; one that was here before says what it heard last, and hears what it has missed.
    ///
    /// # Errors
    /// When there are too many.
    pub fn view(self: &Arc<Self>, last: Option<&str>) -> Result<View, Full> {
        let mut admitted = false;
        self.viewers.send_if_modified(|viewers| {
            admitted = *viewers < MOST_VIEWERS;
            *viewers += usize::from(admitted);
            admitted
        });
        if !admitted {
            return Err(Full);
        }
        let mut told = self.told.subscribe();
        told.mark_unchanged();
        Ok(View {
            hub: self.clone(),
            heard: last.and_then(|last| self.number(last)),
            told,
        })
    }

    fn change(&self, change: impl FnOnce(&mut Story) -> Vec<Change>) {
        let mut inner = self.inner();
        let changes = change(&mut inner.story);
        if changes.is_empty() {
            return;
        }
        inner.number += 1;
        let number = inner.number;
        inner.past.push_back((number, changes));
        if inner.past.len() > KEPT {
            inner.past.pop_front();
        }
        drop(inner);
        self.told.send_replace(number);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `BOOT-NUMBER`, as [`View::last`] writes it; `None` when it is of another hub, or of a time that has not come.
    fn number(&self, last: &str) -> Option<u64> {
        let (boot, number) = last.split_once('-')?;
        let number = number.parse().ok()?;
        (boot == format!("{:x}", self.boot) && number <= *self.told.borrow()).then_some(number)
    }
}

impl Inner {
    /// What has happened after a number, the last change of each card only; everything where that is not known any more.
    fn since(&self, heard: Option<u64>) -> Update {
        let oldest = self.past.front().map_or(self.number + 1, |(number, _)| *number);
        let Some(heard) = heard.filter(|heard| heard + 1 >= oldest && *heard <= self.number) else {
            return Update::Whole(self.story.cards().clone());
        };
        let missed = self.past.iter().filter(|(number, _)| *number > heard);
        let last: BTreeMap<&String, &Option<Card>> = missed
            .flat_map(|(_, changes)| changes)
            .map(|Change(key, card)| (key, card))
            .collect();
        Update::Changes(
            last.into_iter()
                .map(|(key, card)| Change(key.clone(), card.clone()))
                .collect(),
        )
    }
}

/// One viewer. Dropping it takes it from the number of those who watch.
#[derive(Debug)]
pub struct View {
    hub: Arc<Hub>,
    heard: Option<u64>,
    told: watch::Receiver<u64>,
}

impl View {
    /// What is new, when there is something new; the first time at once.
    pub async fn next(&mut self) -> Update {
        let heard = self.heard;
        if let Some(heard) = heard {
            // The hub lives as long as this does.
            let _ = self.told.wait_for(|number| *number > heard).await;
            tokio::time::sleep(PACE).await;
        }
        let inner = self.hub.inner();
        self.heard = Some(inner.number);
        inner.since(heard)
    }

    /// What names the point up to which this viewer has heard.
    pub fn last(&self) -> String {
        format!("{:x}-{}", self.hub.boot, self.heard.unwrap_or(0))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.hub.viewers.send_modify(|viewers| *viewers -= 1);
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::story::Link;

    fn fact(n: usize) -> Fact {
        Fact::Link(Link::Lost, format!("reason {n}"))
    }

    async fn follow(view: &mut View, copy: &mut Story) -> bool {
        match view.next().await {
            Update::Whole(cards) => {
                *copy = Story::of_cards(cards);
                true
            }
            Update::Changes(changes) => {
                for change in changes {
                    copy.apply(change);
                }
                false
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_viewer_that_comes_back_hears_only_what_it_has_missed() {
        let hub = Hub::new("x", "demo");
        let mut copy = Story::of_cards(BTreeMap::new());
        let mut view = hub.view(None).unwrap();
        assert!(
            follow(&mut view, &mut copy).await,
            "the first time it is everything"
        );
        hub.tell(fact(1));
        assert!(!follow(&mut view, &mut copy).await);
        let last = view.last();
        drop(view);
        assert_eq!(*hub.viewers().borrow(), 0);
        hub.tell(fact(2));
        hub.tell(fact(3));
        let mut back = hub.view(Some(&last)).unwrap();
        assert!(!follow(&mut back, &mut copy).await);
        assert_eq!(copy.cards(), &hub.read(|s| s.cards().clone()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_away_for_too_long_or_comes_from_another_hub_hears_everything() {
        let hub = Hub::new("x", "demo");
        let mut copy = Story::of_cards(BTreeMap::new());
        let mut view = hub.view(None).unwrap();
        follow(&mut view, &mut copy).await;
        let last = view.last();
        for n in 0..=KEPT {
            hub.tell(fact(n));
        }
        let number = hub.inner().number;
        let future = format!("{:x}-{}", hub.boot, number + 1);
        for other in [last.as_str(), "0-1", "no number", &future, "", "é-1"] {
            let mut back = hub.view(Some(other)).unwrap();
            assert!(follow(&mut back, &mut copy).await, "{other}");
            assert_eq!(copy.cards(), &hub.read(|s| s.cards().clone()));
        }
    }

    #[test]
    fn there_is_room_for_so_many_viewers_and_again_when_one_goes() {
        let hub = Hub::new("x", "demo");
        let mut views: Vec<View> = (0..MOST_VIEWERS).map(|_| hub.view(None).unwrap()).collect();
        assert!(hub.view(None).is_err());
        views.pop();
        assert!(hub.view(None).is_ok());
    }
}
