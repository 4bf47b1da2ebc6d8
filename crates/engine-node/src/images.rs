//! Images for containers: found in the store, or pulled, by policy; events and reasons as upstream
//! (pkg/kubelet/images/image_manager.go).
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use kube::{Api, Client};

use crate::backoff::Backoff;
use crate::events::Recorder;
use crate::model::Waiting;

/// An image that is ready to be run.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The image.
    pub image: image::Image,
    /// Its layers as folders, topmost first.
    pub layers: Vec<PathBuf>,
}

/// Why there is no image, and when to look again.
#[derive(Debug, Clone)]
pub struct Missing {
    /// For the container's status.
    pub waiting: Waiting,
    /// The next time that it is worth trying.
    pub retry_at: Timestamp,
}

/// Docker's configuration in a Secret of either type; the older one is just what the newer has below `auths`.
fn docker_config(secret: Secret) -> Option<Vec<u8>> {
    let data = secret.data?;
    if let Some(config) = data.get(".dockerconfigjson") {
        return Some(config.0.clone());
    }
    let auths: serde_json::Value = serde_json::from_slice(&data.get(".dockercfg")?.0).ok()?;
    serde_json::to_vec(&serde_json::json!({"auths": auths})).ok()
}

#[derive(Debug, Clone)]
struct Failed {
    backoff: Backoff,
    since: Timestamp,
    message: String,
}

/// The node's view of the image store.
#[derive(Clone)]
pub struct Images {
    store: image::Store,
    client: Client,
    recorder: Recorder,
    failed: Arc<Mutex<HashMap<(String, String), Failed>>>,
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Images {
    /// Over a store.
    pub fn new(store: image::Store, client: Client, recorder: Recorder) -> Self {
        Self {
            store,
            client,
            recorder,
            failed: Arc::default(),
        }
    }

    /// All images of the store, for the node's status.
    pub async fn list(&self) -> Vec<image::Image> {
        let store = self.store.clone();
        let listed = tokio::task::spawn_blocking(move || store.list()).await;
        listed.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Removes blobs and layers that no image needs any more. Images that have a name stay: they may have been built here, and where there
    /// is no network nobody could bring them back.
    pub async fn prune(&self) {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.prune()).await {
            Ok(Ok(pruned)) => tracing::info!(?pruned, "image store"),
            Ok(Err(err)) => tracing::warn!(%err, "image store not pruned"),
            Err(err) => tracing::error!(%err, "image store not pruned"),
        }
    }

    /// Forgets the back-offs of a pod.
    pub fn forget(&self, uid: &str) {
        self.failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(pod, _), _| pod != uid);
    }

    /// Makes sure that a container's image is there.
    pub async fn ensure(&self, pod: &Pod, container: &Container) -> Result<Ready, Missing> {
        let name = container.image.clone().unwrap_or_default();
        let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let note = |warning: bool, reason: &str, message: String| {
            self.recorder
                .pod(pod, Some(&container.name), warning, reason, message);
        };
        if policy != "Always" {
            match self.find(&name).await {
                Ok(Some(ready)) => {
                    let text = format!(
                        "Container image \"{name}\" already present on machine and can be accessed by the pod"
                    );
                    note(false, "Pulled", text);
                    return Ok(ready);
                }
                Ok(None) if policy == "Never" => {
                    let message =
                        format!("Container image \"{name}\" is not present with pull policy of Never");
                    note(true, "ErrImageNeverPull", message.clone());
                    note(true, "Failed", "Error: ErrImageNeverPull".into());
                    return Err(missing("ErrImageNeverPull", message, later(10)));
                }
                Ok(None) => {}
                Err(image::Error::Reference { .. }) => {
                    let message = format!(
                        "Failed to apply default image tag \"{name}\": couldn't parse image name \"{name}\": {}",
                        no_reference(&name)
                    );
                    note(true, "InspectFailed", message.clone());
                    note(true, "Failed", "Error: InvalidImageName".into());
                    return Err(missing("InvalidImageName", message, later(10)));
                }
                Err(err) => {
                    let message = format!("Failed to inspect image \"{name}\": {}", chain(&err));
                    note(true, "InspectFailed", message.clone());
                    note(true, "Failed", "Error: ImageInspectError".into());
                    return Err(missing("ImageInspectError", message, later(10)));
                }
            }
        }
        self.pull(pod, &name, &note).await
    }

    async fn pull(
        &self,
        pod: &Pod,
        name: &str,
        note: &(dyn Fn(bool, &str, String) + Sync),
    ) -> Result<Ready, Missing> {
        let key = (pod.metadata.uid.clone().unwrap_or_default(), name.to_owned());
        let now = Timestamp::now();
        let before = self
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some((failed, until)) =
            before.and_then(|f| f.backoff.blocked_until(f.since, now).map(|until| (f, until)))
        {
            let text = format!("Back-off pulling image \"{name}\"");
            note(false, "BackOff", text.clone());
            note(true, "Failed", "Error: ImagePullBackOff".into());
            return Err(missing(
                "ImagePullBackOff",
                format!("{text}: ErrImagePull: {}", failed.message),
                until,
            ));
        }
        note(false, "Pulling", format!("Pulling image \"{name}\""));
        let began = std::time::Instant::now();
        let (store, wanted) = (self.store.clone(), name.to_owned());
        let options = image::PullOptions {
            docker_configs: self.pull_secrets(pod, note).await,
            ..image::PullOptions::default()
        };
        // On a thread of its own: unpacking blocks, and the future of a pull cannot move between threads.
        let handle = tokio::runtime::Handle::current();
        let pulled = tokio::task::spawn_blocking(move || handle.block_on(store.pull(&wanted, &options)));
        let error = match pulled.await.unwrap_or(Err(image::Error::Task)) {
            Ok(image) => match self.unpack(image).await {
                Ok(ready) => {
                    let took = began.elapsed().as_millis();
                    let took = if took < 1000 {
                        format!("{took}ms")
                    } else {
                        format!("{}.{:03}s", took / 1000, took % 1000)
                    };
                    let size = ready.image.size;
                    note(
                        false,
                        "Pulled",
                        format!(
                            "Successfully pulled image \"{name}\" in {took} ({took} including waiting). Image size: {size} bytes."
                        ),
                    );
                    self.failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&key);
                    return Ok(ready);
                }
                Err(err) => chain(&err),
            },
            Err(err) => chain(&err),
        };
        note(
            true,
            "Failed",
            format!("Failed to pull image \"{name}\": {error}"),
        );
        note(true, "Failed", "Error: ErrImagePull".into());
        let now = Timestamp::now();
        let mut all = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = all.entry(key).or_insert_with(|| Failed {
            backoff: Backoff::image_pull(),
            since: now,
            message: String::new(),
        });
        failed.backoff.next(now);
        failed.since = now;
        failed.message.clone_from(&error);
        // Soon again: that is when upstream's next sync turns the reason into ImagePullBackOff.
        Err(missing("ErrImagePull", error, later(1)))
    }

    /// Credentials of the pod's `imagePullSecrets`. One that is missing is told of, and the pull tried without it (pkg/kubelet,
    /// `getPullSecretsForPod`).
    async fn pull_secrets(&self, pod: &Pod, note: &(dyn Fn(bool, &str, String) + Sync)) -> Vec<Vec<u8>> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let references = pod
            .spec
            .iter()
            .flat_map(|s| s.image_pull_secrets.iter().flatten());
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        for reference in references {
            match api.get(&reference.name).await.map(docker_config) {
                Ok(config) => found.extend(config),
                Err(_) => lost.push(reference.name.as_str()),
            }
        }
        if !lost.is_empty() {
            let text = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                lost.join(", ")
            );
            note(true, "FailedToRetrieveImagePullSecret", text);
        }
        found
    }

    async fn find(&self, name: &str) -> Result<Option<Ready>, image::Error> {
        let (store, name) = (self.store.clone(), name.to_owned());
        let found = tokio::task::spawn_blocking(move || match store.resolve(&name) {
            Ok(image) => store
                .unpacked_layers(&image)
                .map(|layers| Some(Ready { image, layers })),
            Err(image::Error::NotFound { .. }) => Ok(None),
            Err(err) => Err(err),
        });
        found.await.unwrap_or(Ok(None))
    }

    async fn unpack(&self, image: image::Image) -> Result<Ready, image::Error> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            store
                .unpacked_layers(&image)
                .map(|layers| Ready { image, layers })
        });
        done.await.unwrap_or(Err(image::Error::Task))
    }
}

fn missing(reason: &str, message: String, retry_at: Timestamp) -> Missing {
    Missing {
        waiting: Waiting {
            reason: reason.to_owned(),
            message,
        },
        retry_at,
    }
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_secs(seconds)
}

/// An error with its causes.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Why this is no name of an image, as github.com/distribution/reference says it: capitals are told apart from all else.
fn no_reference(name: &str) -> String {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let is_host = first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase);
    let remote = match (is_host, first) {
        (true, _) => rest.to_owned(),
        (false, "") if !name.starts_with('/') => format!("library/{rest}"),
        (false, _) => name.to_owned(),
    };
    let remote = remote.split(':').next().unwrap_or_default();
    if remote.chars().any(char::is_uppercase) {
        format!("invalid reference format: repository name ({remote}) must be lowercase")
    } else {
        "invalid reference format".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_are_told_apart() {
        let lower =
            |name: &str| format!("invalid reference format: repository name ({name}) must be lowercase");
        assert_eq!(no_reference("Nginx:1"), lower("library/Nginx"));
        assert_eq!(no_reference("Bad//Name:1"), lower("/Name"));
        assert_eq!(no_reference("a.io/x/Y"), lower("x/Y"));
        assert_eq!(no_reference("a b"), "invalid reference format");
    }
}
