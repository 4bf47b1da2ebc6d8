use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chaos::{Chaos, Injected, Observer, StoreWatch};
use kube::Client;
use results::{Fault, Happening, What};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::activity::Journal;

/// A fault that is to come while a load runs.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What and whom.
    pub fault: chaos::Fault,
    /// So long after the load has begun.
    pub after: Duration,
}

/// All faults of a load, and what they are injected with.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The tool.
    pub tool: Chaos,
    /// In order of time.
    pub planned: Vec<Planned>,
    /// Who is told.
    pub journal: Arc<Journal>,
}

/// After the load, the cluster may take so long to be whole again until that is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A load that is watched from the cluster's side, and in which things break.
pub struct Siege {
    /// What times are counted from at first.
    origin: Instant,
    begun: watch::Sender<Option<Instant>>,
    observer: Observer,
    store: Option<StoreWatch>,
    over: watch::Sender<bool>,
    tasks: Vec<JoinHandle<anyhow::Result<Option<Done>>>>,
}

/// What came of it.
pub struct Besieged {
    /// The faults, in order of time, not yet measured.
    pub faults: Vec<Fault>,
    /// What happened in the cluster.
    pub timeline: Vec<Happening>,
    /// What could not be done.
    pub missing: Vec<String>,
}

/// A fault that is over.
struct Done {
    injected: Injected,
    ended: Option<Instant>,
}

impl Siege {
    /// Watches from now on, and breaks each thing at its time after the load begins.
    pub async fn begin(client: &Client, namespace: &str, faults: Option<&Faults>) -> anyhow::Result<Siege> {
        let origin = Instant::now();
        let planned = faults.map(|f| f.planned.as_slice()).unwrap_or_default();
        let of_store = planned
            .iter()
            .any(|p| p.fault.target.role.is_some() || p.fault.kind.name() == "node");
        let store = if of_store {
            StoreWatch::start(client, namespace, "redis", origin).await?
        } else {
            None
        };
        let (over, heard) = watch::channel(false);
        let (begun, begins) = watch::channel(None);
        let tasks = faults
            .iter()
            .flat_map(|faults| faults.planned.iter().map(move |planned| (faults, planned)))
            .map(|(faults, planned)| {
                let one = One {
                    tool: faults.tool.clone(),
                    journal: Arc::clone(&faults.journal),
                    planned: planned.clone(),
                    over: heard.clone(),
                };
                tokio::spawn(one.run(begins.clone()))
            })
            .collect();
        Ok(Siege {
            origin,
            begun,
            observer: Observer::start(client, namespace, origin),
            store,
            over,
            tasks,
        })
    }

    /// When the load begins.
    pub fn load_begins(&self, instant: Instant) {
        self.begun.send_replace(Some(instant));
    }

    /// Ends: what still lasts is mended, and the cluster has a while to be whole again.
    pub async fn end(mut self) -> anyhow::Result<Besieged> {
        let _ = self.over.send(true);
        let (mut faults, mut missing) = (Vec::new(), Vec::new());
        let mut failure = None;
        for task in std::mem::take(&mut self.tasks) {
            match task.await? {
                Ok(Some(done)) => faults.push(self.describe(&done)),
                Ok(None) => missing.push("a fault: the load was over before its time".to_owned()),
                // The others are mended all the same.
                Err(e) => failure = Some(e),
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        faults.sort_by(|a, b| a.t.total_cmp(&b.t));
        // What stood before the load stays before it.
        let shift = self.begun().saturating_duration_since(self.origin).as_secs_f64();
        let so_far = |observer: &Observer| {
            let mut seen = observer.so_far();
            for happening in &mut seen {
                happening.t -= shift;
            }
            seen
        };
        let waiting = Instant::now();
        while waiting.elapsed() < PATIENCE && !whole(&faults, &so_far(&self.observer)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut timeline = so_far(&self.observer);
        let mut store = self.store.take().map(StoreWatch::finish).unwrap_or_default();
        for happening in &mut store {
            happening.t -= shift;
        }
        timeline.extend(store);
        timeline.extend(faults.iter().flat_map(own));
        timeline.sort_by(|a, b| a.t.total_cmp(&b.t));
        Ok(Besieged {
            faults,
            timeline,
            missing,
        })
    }

    fn begun(&self) -> Instant {
        self.begun.borrow().unwrap_or(self.origin)
    }

    fn describe(&self, done: &Done) -> Fault {
        let begun = self.begun();
        let at = |instant: Instant| instant.saturating_duration_since(begun).as_secs_f64();
        Fault {
            t: at(done.injected.at),
            what: done.injected.what.clone(),
            failed: 0,
            degraded_s: 0,
            ready_s: None,
            kind: Some(done.injected.kind.to_owned()),
            app: done.injected.app.clone(),
            victims: done.injected.victims.clone(),
            ended_s: done.ended.map(at),
            recovery: None,
        }
    }
}

struct One {
    tool: Chaos,
    journal: Arc<Journal>,
    planned: Planned,
    over: watch::Receiver<bool>,
}

impl One {
    /// `None` when the load was over before its time came.
    async fn run(mut self, mut begins: watch::Receiver<Option<Instant>>) -> anyhow::Result<Option<Done>> {
        let begun = tokio::select! {
            begun = begins.wait_for(Option::is_some) => begun.ok().and_then(|b| *b),
            _ = self.over.wait_for(|over| *over) => None,
        };
        let Some(begun) = begun else { return Ok(None) };
        if self.until(begun + self.planned.after).await {
            return Ok(None);
        }
        let kind = self.planned.fault.kind.name();
        let injected = match self.tool.inject(&self.planned.fault).await {
            Ok(injected) => injected,
            Err(e) => {
                self.journal.failed(kind, &e.to_string());
                return Err(e).with_context(|| format!("failed to inject chaos `{kind}`"));
            }
        };
        self.journal.begun(kind, &injected.what);
        let mut ended = None;
        if let Some(lasts) = injected.lasts {
            self.until(injected.at + lasts).await;
            self.tool
                .undo(&injected)
                .await
                .with_context(|| format!("failed to mend: {}", injected.what))?;
            ended = Some(Instant::now());
        }
        let took = injected.at.elapsed().as_secs_f64();
        self.journal.done(kind, &injected.what, &[("seconds", took)]);
        Ok(Some(Done { injected, ended }))
    }

    /// Waits for an instant, or until the load is over; gives whether it is over.
    async fn until(&mut self, instant: Instant) -> bool {
        let over = self.over.wait_for(|over| *over);
        tokio::select! {
            () = tokio::time::sleep_until(instant.into()) => false,
            _ = over => true,
        }
    }
}

/// Whether replacements are Ready and lost nodes are back.
fn whole(faults: &[Fault], timeline: &[Happening]) -> bool {
    faults.iter().all(|fault| {
        let since = |h: &&Happening| h.t >= fault.t;
        match fault.kind.as_deref() {
            Some("pod") => timeline
                .iter()
                .filter(since)
                .any(|h| h.what == What::PodReady && h.app == fault.app),
            Some("node") => {
                let of = |what| {
                    let found = timeline
                        .iter()
                        .filter(since)
                        .filter(|h| fault.victims.contains(&h.object));
                    found.filter(|h| h.what == what).count()
                };
                of(What::NodeReady) >= of(What::NodeNotReady)
            }
            _ => true,
        }
    })
}

/// What this program did itself.
fn own(fault: &Fault) -> Vec<Happening> {
    let tell = |t, what| Happening {
        t,
        what,
        object: fault.victims.join(", "),
        app: fault.app.clone(),
        detail: fault.what.clone(),
        value: None,
    };
    let ended = fault.ended_s.map(|t| tell(t, What::FaultEnded));
    [Some(tell(fault.t, What::FaultBegun)), ended]
        .into_iter()
        .flatten()
        .collect()
}
