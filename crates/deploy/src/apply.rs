use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::said;
use crate::{Error, Manifest};

/// Requests under way at once. Past a few dozen the server's commit batches are full and more only queue.
const CONCURRENCY: usize = 64;

/// What became of one object.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `kind` in lower case with group, as kubectl prints it: `deployment.apps`.
    pub resource: String,
    /// Name.
    pub name: String,
    /// The object as the server has it now.
    pub object: Value,
}

/// Creates, applies and deletes objects of any kind the cluster serves.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    namespace: String,
    dry_run: bool,
    kinds: Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, Scope)>>>,
}

impl Applier {
    /// `namespace` is for objects that name none. With `dry_run` the server checks everything and keeps nothing.
    pub fn new(client: Client, namespace: &str, dry_run: bool) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            dry_run,
            kinds: Arc::default(),
        }
    }

    /// Creates objects; one that exists already is an error, as with `kubectl create`. All are tried; results are in
    /// the order of the manifests.
    pub async fn create(&self, manifests: &[Manifest]) -> Vec<Result<Outcome, Error>> {
        self.each(manifests, |api, manifest| async move {
            let params = PostParams {
                dry_run: self.dry_run,
                field_manager: Some("cncfdemo".into()),
            };
            let request = strict_create(api.resource_url(), &params, manifest)?;
            self.client
                .request::<DynamicObject>(request)
                .await
                .map_err(|e| refused(manifest, e))
        })
        .await
    }

    /// Server-side apply as field manager `cncfdemo`, taking over conflicting fields.
    pub async fn apply(&self, manifests: &[Manifest]) -> Vec<Result<Outcome, Error>> {
        self.each(manifests, |api, manifest| async move {
            let params = PatchParams {
                dry_run: self.dry_run,
                ..PatchParams::apply("cncfdemo").force().validation_strict()
            };
            let applied = api
                .patch(manifest.name(), &params, &Patch::Apply(&manifest.object))
                .await;
            match applied {
                // A Job's template cannot change. One-shot Jobs are written to be safe to run again, so a changed one
                // is replaced.
                Err(kube::Error::Api(status))
                    if status.code == 422 && manifest.kind() == "Job" && !self.dry_run =>
                {
                    replace(&api, manifest, &params).await
                }
                other => other.map_err(|e| refused(manifest, e)),
            }
        })
        .await
    }

    /// Deletes objects, dependents in the background; those that are gone already are fine.
    pub async fn delete(&self, manifests: &[Manifest]) -> Vec<Result<(), Error>> {
        let deletions = manifests.iter().map(|manifest| async move {
            let api = self.api(manifest).await?;
            let params = DeleteParams {
                dry_run: self.dry_run,
                ..DeleteParams::background()
            };
            match api.delete(manifest.name(), &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(e) => Err(refused(manifest, e)),
                Ok(_) => Ok(()),
            }
        });
        stream::iter(deletions).buffered(CONCURRENCY).collect().await
    }

    /// Whether the object is there and part of the same whole as the manifest, by its label.
    pub async fn owns(&self, manifest: &Manifest) -> Result<bool, Error> {
        const PART_OF: &str = "app.kubernetes.io/part-of";
        let found = self
            .api(manifest)
            .await?
            .get_opt(manifest.name())
            .await
            .map_err(|e| refused(manifest, e))?;
        let wanted = &manifest.object["metadata"]["labels"][PART_OF];
        let label = found.and_then(|o| o.metadata.labels?.remove(PART_OF));
        Ok(label.is_some_and(|label| *wanted == label))
    }

    async fn each<'a, F, R>(&'a self, manifests: &'a [Manifest], act: F) -> Vec<Result<Outcome, Error>>
    where
        F: Fn(Api<DynamicObject>, &'a Manifest) -> R,
        R: Future<Output = Result<DynamicObject, Error>>,
    {
        // Namespaces first: what lives in them would be refused.
        let (spaces, others): (Vec<_>, Vec<_>) = manifests
            .iter()
            .enumerate()
            .partition(|(_, m)| m.kind() == "Namespace");
        let mut results: Vec<Option<Result<Outcome, Error>>> = manifests.iter().map(|_| None).collect();
        for group in [spaces, others] {
            let calls = group.into_iter().map(|(index, manifest)| {
                let act = &act;
                async move {
                    let result = match self.api(manifest).await {
                        Ok(api) => act(api, manifest).await.and_then(|done| outcome(manifest, &done)),
                        Err(e) => Err(e),
                    };
                    (index, result)
                }
            });
            let mut done = stream::iter(calls).buffer_unordered(CONCURRENCY);
            while let Some((index, result)) = done.next().await {
                results[index] = Some(result);
            }
        }
        results.into_iter().flatten().collect()
    }

    async fn api(&self, manifest: &Manifest) -> Result<Api<DynamicObject>, Error> {
        let types = TypeMeta {
            api_version: manifest.api_version().to_owned(),
            kind: manifest.kind().to_owned(),
        };
        let no_such = || Error::NoSuchKind {
            origin: manifest.origin.clone(),
            kind: manifest.kind().to_owned(),
            api_version: manifest.api_version().to_owned(),
        };
        let gvk = GroupVersionKind::try_from(types).map_err(|_| no_such())?;
        let mut kinds = self.kinds.lock().await;
        let (resource, scope) = if let Some(known) = kinds.get(&gvk) {
            known.clone()
        } else {
            let (resource, capabilities) = pinned_kind(&self.client, &gvk).await.map_err(|e| match e {
                kube::Error::Discovery(_) => no_such(),
                kube::Error::Api(status) if status.code == 404 => no_such(),
                other => Error::api(format!("ask for the kinds of {}", manifest.api_version()))(other),
            })?;
            kinds.insert(gvk, (resource.clone(), capabilities.scope.clone()));
            (resource, capabilities.scope)
        };
        let namespace = manifest.namespace().unwrap_or(&self.namespace);
        Ok(match scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => Api::namespaced_with(self.client.clone(), namespace, &resource),
        })
    }
}

async fn replace(
    api: &Api<DynamicObject>,
    manifest: &Manifest,
    params: &PatchParams,
) -> Result<DynamicObject, Error> {
    let name = manifest.name();
    let uid = api
        .get(name)
        .await
        .map_err(|e| refused(manifest, e))?
        .metadata
        .uid
        .unwrap_or_default();
    api.delete(name, &DeleteParams::foreground())
        .await
        .map_err(|e| refused(manifest, e))?;
    kube::runtime::wait::await_condition(
        api.clone(),
        name,
        kube::runtime::wait::conditions::is_deleted(&uid),
    )
    .await
    .map_err(|e| Error::Refused {
        origin: manifest.origin.clone(),
        kind: manifest.kind().to_owned(),
        name: name.to_owned(),
        reason: format!("the old one does not go: {e}"),
    })?;
    api.patch(name, params, &Patch::Apply(&manifest.object))
        .await
        .map_err(|e| refused(manifest, e))
}

/// A create request with `fieldValidation=Strict`, which kube's own create does not ask for: a field with a typing error
/// is refused instead of dropped, as with kubectl.
fn strict_create(
    url: &str,
    params: &PostParams,
    manifest: &Manifest,
) -> Result<http::Request<Vec<u8>>, Error> {
    let malformed = |reason: String| Error::Manifest {
        origin: manifest.origin.clone(),
        reason,
    };
    let body = serde_json::to_vec(&manifest.object).map_err(|e| malformed(e.to_string()))?;
    let mut request = kube::core::Request::new(url)
        .create(params, body)
        .map_err(|e| malformed(e.to_string()))?;
    let uri = request.uri().to_string();
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    *request.uri_mut() = format!("{uri}{separator}fieldValidation=Strict")
        .parse()
        .map_err(|_| malformed(format!("{uri} is no address")))?;
    Ok(request)
}

fn outcome(manifest: &Manifest, done: &DynamicObject) -> Result<Outcome, Error> {
    let object = serde_json::to_value(done).map_err(|e| Error::Manifest {
        origin: manifest.origin.clone(),
        reason: e.to_string(),
    })?;
    let kind = manifest.kind().to_lowercase();
    let resource = match manifest.api_version().split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind,
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(Outcome {
        resource,
        name,
        object,
    })
}

fn refused(manifest: &Manifest, error: kube::Error) -> Error {
    Error::Refused {
        origin: manifest.origin.clone(),
        kind: manifest.kind().to_owned(),
        name: manifest.name().to_owned(),
        reason: said(&error),
    }
}
