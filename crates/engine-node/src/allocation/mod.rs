//! What pods were promised of the node's resources, which may be less than their specs ask for since those can be changed: the ledger, its
//! copies on disk (one for each pod, so that a new agent knows what its containers run with), and who is told of decisions.
mod condition;
mod granted;
mod ledger;
#[cfg(test)]
mod ledger_tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use tokio::sync::mpsc;

pub use condition::{IN_PROGRESS, PENDING, message};
pub use granted::{Granted, in_force};
pub use ledger::Kept;
use ledger::{Ledger, Misfit};

use crate::downward::Facts;
use crate::events::Recorder;
use crate::worker::Message;

const FILE: &str = "resources.json";

/// The node's ledger, as its workers see it. A decision is told to the pod's worker by [`Message::Granted`].
pub struct Book {
    inner: Mutex<Inner>,
    recorder: Recorder,
}

struct Inner {
    ledger: Ledger,
    homes: HashMap<String, Home>,
    /// All pods of before are known.
    open: bool,
}

struct Home {
    dir: PathBuf,
    mailbox: mpsc::UnboundedSender<Message>,
}

impl Book {
    /// An empty book for a node that has this.
    pub fn new(facts: &Facts, most_pods: i64, recorder: Recorder) -> Self {
        Self {
            inner: Mutex::new(Inner {
                ledger: Ledger::new(facts, most_pods),
                homes: HashMap::new(),
                open: false,
            }),
            recorder,
        }
    }

    /// A pod comes, or comes back; `dir` is its folder.
    pub fn add(&self, uid: &str, desired: &Arc<Pod>, dir: &Path, mailbox: &mpsc::UnboundedSender<Message>) {
        let mut inner = self.lock();
        let kept = read(dir);
        let is_new = kept.is_none();
        inner.ledger.add(uid, desired, kept);
        let home = Home {
            dir: dir.to_owned(),
            mailbox: mailbox.clone(),
        };
        inner.homes.insert(uid.to_owned(), home);
        if is_new {
            inner.keep(uid);
        }
        self.retry(&mut inner);
    }

    /// All pods that were there before are added: what waits may be decided.
    pub fn open(&self) {
        let mut inner = self.lock();
        inner.open = true;
        self.retry(&mut inner);
    }

    /// Another form of a pod.
    pub fn update(&self, uid: &str, desired: &Arc<Pod>) {
        let mut inner = self.lock();
        if inner.ledger.update(uid, desired) {
            self.retry(&mut inner);
        }
    }

    /// The pod with what it was promised in place of what it asks for.
    pub fn promised(&self, uid: &str, desired: &Arc<Pod>) -> Arc<Pod> {
        let inner = self.lock();
        inner
            .ledger
            .kept(uid)
            .map_or_else(|| Arc::clone(desired), |kept| kept.allocated.applied(desired))
    }

    /// What is known of a pod.
    pub fn kept(&self, uid: &str) -> Option<Kept> {
        self.lock().ledger.kept(uid).cloned()
    }

    /// Notes what is in force of a pod now.
    pub fn note(&self, uid: &str, change: impl FnOnce(&mut Kept)) {
        let mut inner = self.lock();
        let before = inner.ledger.kept(uid).cloned();
        let freed = inner.ledger.note(uid, change);
        if inner.ledger.kept(uid) != before.as_ref() {
            inner.keep(uid);
        }
        if freed {
            self.retry(&mut inner);
        }
    }

    /// A pod needs nothing any more.
    pub fn end(&self, uid: &str) {
        let mut inner = self.lock();
        if inner.ledger.end(uid) {
            self.retry(&mut inner);
        }
    }

    /// A pod is gone.
    pub fn remove(&self, uid: &str) {
        let mut inner = self.lock();
        inner.homes.remove(uid);
        if inner.ledger.remove(uid) {
            self.retry(&mut inner);
        }
    }

    /// What a pod's status says of its resizes.
    pub fn conditions(&self, uid: &str) -> Vec<PodCondition> {
        let inner = self.lock();
        let (pending, progress) = inner.ledger.conditions(uid);
        let pending = pending.map(|condition| condition.shown(PENDING));
        let progress = progress.map(|condition| condition.shown(IN_PROGRESS));
        pending.into_iter().chain(progress).collect()
    }

    /// A resize is being carried out, or could not be; see [`Ledger::progress`].
    pub fn progress(&self, uid: &str, reason: &str, message: &str) -> (bool, i64) {
        self.lock()
            .ledger
            .progress(uid, reason, message, Timestamp::now())
    }

    /// No resize is being carried out; the generation of the one that was.
    pub fn done(&self, uid: &str) -> Option<i64> {
        self.lock().ledger.done(uid)
    }

    /// Why a new pod cannot run here beside the others.
    pub fn misfit(&self, uid: &str, pod: &Pod) -> Option<Misfit> {
        self.lock().ledger.misfit(uid, pod)
    }

    fn retry(&self, inner: &mut Inner) {
        if !inner.open {
            return;
        }
        for verdict in inner.ledger.retry(Timestamp::now()) {
            if let Some(said) = verdict.said {
                self.recorder
                    .pod(&verdict.pod, None, said.warning, said.reason, said.message);
            }
            if verdict.granted {
                inner.keep(&verdict.uid);
            }
            if let Some(home) = inner.homes.get(&verdict.uid) {
                let _ = home.mailbox.send(Message::Granted);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Writes a pod's part to its folder.
    fn keep(&self, uid: &str) {
        let (Some(home), Some(kept)) = (self.homes.get(uid), self.ledger.kept(uid)) else {
            return;
        };
        let written = serde_json::to_vec(kept)
            .map_err(std::io::Error::other)
            .and_then(|bytes| {
                std::fs::create_dir_all(&home.dir)?;
                let temporary = home.dir.join(".resources.json");
                std::fs::write(&temporary, bytes)?;
                std::fs::rename(temporary, home.dir.join(FILE))
            });
        if let Err(err) = written {
            tracing::warn!(dir = %home.dir.display(), %err, "a pod's resources are not written down");
        }
    }
}

fn read(dir: &Path) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
}
