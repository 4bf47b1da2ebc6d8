use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};

use crate::{Error, Fault, Kind, Means, helper, inject, victim};

/// Breaks things on one cluster, and mends them.
#[derive(Clone)]
pub struct Chaos {
    pub(crate) client: Client,
    pub(crate) means: Option<Arc<dyn Means>>,
    pub(crate) image: Option<String>,
}

/// A fault that was injected.
#[derive(Debug, Clone)]
pub struct Injected {
    /// One word.
    pub kind: &'static str,
    /// What was done, in full.
    pub what: String,
    /// To whom: `pod/NAME`, `node/NAME`.
    pub victims: Vec<String>,
    /// The app of the victims, where they are pods of one.
    pub app: Option<String>,
    /// When it had been done.
    pub at: Instant,
    /// How long it lasts, for what lasts.
    pub lasts: Option<Duration>,
    pub(crate) undo: Vec<Undo>,
}

/// How a part of a fault is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    Helper { namespace: String, name: String },
    Node(String),
}

/// Something that is still broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// One word.
    pub kind: String,
    /// What was done.
    pub what: String,
    /// Who holds it: `pod/NAMESPACE/NAME`, `node/NAME`.
    pub holder: String,
    /// Seconds until it ends by itself at the latest, where that is known.
    pub remaining_s: Option<f64>,
    undo: Undo,
}

impl std::fmt::Debug for Chaos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chaos")
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl Chaos {
    /// On the cluster of this client.
    pub fn new(client: Client) -> Chaos {
        Chaos {
            client,
            means: None,
            image: None,
        }
    }

    /// With what only this cluster can do.
    #[must_use]
    pub fn with_means(mut self, means: Arc<dyn Means>) -> Chaos {
        self.means = Some(means);
        self
    }

    /// With the image that the pods that carry faults out are made of; without it faults that need such pods are refused.
    #[must_use]
    pub fn with_image(mut self, image: String) -> Chaos {
        self.image = Some(image);
        self
    }

    /// Whether a fault is carried out by pods of the image.
    pub fn needs_image(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Pod { .. } => false,
            Kind::Node { .. } => self.means.is_none(),
            Kind::Network { .. } | Kind::Disk { .. } | Kind::Stress { .. } => true,
        }
    }

    /// Who would be hit now; nothing is changed.
    pub async fn victims(&self, fault: &Fault) -> Result<Vec<String>, Error> {
        Ok(match fault.kind {
            Kind::Node { .. } => victim::nodes(&self.client, &fault.target)
                .await?
                .iter()
                .map(|n| format!("node/{}", n.metadata.name.as_deref().unwrap_or_default()))
                .collect(),
            _ => victim::pods(&self.client, &fault.target)
                .await?
                .iter()
                .map(inject::pod_name)
                .collect(),
        })
    }

    /// Breaks it. When a part of it fails, the parts before it are undone.
    pub async fn inject(&self, fault: &Fault) -> Result<Injected, Error> {
        inject::inject(self, fault).await
    }

    /// Mends it, if it is still broken; as often as one likes.
    pub async fn undo(&self, injected: &Injected) -> Result<(), Error> {
        self.undo_all(&injected.undo).await
    }

    /// What is broken on this cluster now, whoever broke it; nodes come first, since what is on them cannot be mended before.
    pub async fn left(&self) -> Result<Vec<Left>, Error> {
        let mut left = Vec::new();
        if let Some(means) = &self.means {
            let broken = means
                .broken_nodes()
                .await
                .map_err(Error::means("ask for broken nodes"))?;
            left.extend(broken.into_iter().map(|node| Left {
                kind: "node".to_owned(),
                what: node.what,
                holder: format!("node/{}", node.name),
                remaining_s: node.remaining_s,
                undo: Undo::Node(node.name),
            }));
        }
        let pods: Api<Pod> = Api::all(self.client.clone());
        let helpers = pods
            .list(&ListParams::default().labels(helper::LABEL))
            .await
            .map_err(Error::api("list the pods that carry faults out"))?;
        let now = jiff::Timestamp::now();
        left.extend(helpers.into_iter().map(|pod| {
            let metadata = pod.metadata;
            let said = |key: &str| metadata.annotations.as_ref().and_then(|a| a.get(key)).cloned();
            let until = said(helper::UNTIL).and_then(|t| t.parse::<jiff::Timestamp>().ok());
            let (namespace, name) = (
                metadata.namespace.clone().unwrap_or_default(),
                metadata.name.clone().unwrap_or_default(),
            );
            Left {
                kind: metadata
                    .labels
                    .as_ref()
                    .and_then(|l| l.get(helper::LABEL))
                    .cloned()
                    .unwrap_or_default(),
                what: said(helper::WHAT).unwrap_or_default(),
                holder: format!("pod/{namespace}/{name}"),
                remaining_s: until.map(|t| t.duration_since(now).as_secs_f64().max(0.0)),
                undo: Undo::Helper { namespace, name },
            }
        }));
        Ok(left)
    }

    /// Mends what [`Chaos::left`] has found.
    pub async fn undo_left(&self, left: &Left) -> Result<(), Error> {
        self.undo_all(std::slice::from_ref(&left.undo)).await
    }

    /// Tries all, and gives the first failure.
    pub(crate) async fn undo_all(&self, parts: &[Undo]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for part in parts {
            let done = match (part, &self.means) {
                (Undo::Helper { namespace, name }, _) => helper::stop(&self.client, namespace, name).await,
                (Undo::Node(node), Some(means)) => means
                    .restore_node(node)
                    .await
                    .map_err(Error::means(format!("restore node {node}"))),
                (Undo::Node(node), None) => Err(Error::Impossible(format!(
                    "node {node} can be restored only by the engine that broke it"
                ))),
            };
            outcome = outcome.and(done);
        }
        outcome
    }
}
