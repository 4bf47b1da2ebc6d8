//! What an autoscaler scales: any kind with a scale, found by discovery.

use k8s_openapi::api::autoscaling::v1::Scale;
use kube::Client;
use kube::core::Request;

/// A resource by its group, version and plural.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    group: String,
    version: String,
    plural: String,
    scales: bool,
}

impl Resource {
    /// `deployments.apps`, or `pods`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether those of the kind have a scale.
    pub fn scales(&self) -> bool {
        self.scales
    }

    fn collection(&self, namespace: &str) -> Request {
        let Self {
            group,
            version,
            plural,
            ..
        } = self;
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        Request::new(format!("{root}/namespaces/{namespace}/{plural}"))
    }

    /// The scale of one.
    pub async fn scale(&self, client: &Client, namespace: &str, name: &str) -> Result<Scale, String> {
        let request = self
            .collection(namespace)
            .get_subresource("scale", name)
            .map_err(|e| e.to_string())?;
        client.request(request).await.map_err(|e| worded(&e))
    }

    /// Writes the scale of one, again if somebody else wrote in between.
    pub async fn rescale(
        &self,
        client: &Client,
        namespace: &str,
        name: &str,
        mut scale: Scale,
        replicas: i32,
    ) -> Result<(), String> {
        const TRIES: usize = 5;
        for attempt in 1.. {
            scale.spec.get_or_insert_default().replicas = Some(replicas);
            let body = serde_json::to_vec(&scale).map_err(|e| e.to_string())?;
            let request = self
                .collection(namespace)
                .replace_subresource("scale", name, &kube::api::PostParams::default(), body)
                .map_err(|e| e.to_string())?;
            match client.request::<Scale>(request).await {
                Err(kube::Error::Api(status)) if status.code == 409 && attempt < TRIES => {
                    scale = self.scale(client, namespace, name).await?;
                }
                Err(error) => return Err(worded(&error)),
                Ok(_) => break,
            }
        }
        Ok(())
    }
}

/// The resource of a kind.
pub(crate) async fn resource(client: &Client, api_version: &str, kind: &str) -> Result<Resource, String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let version = if version.is_empty() { "v1" } else { version };
    let found = if group.is_empty() {
        client.list_core_api_resources(version).await
    } else {
        client
            .list_api_group_resources(&format!("{group}/{version}"))
            .await
    };
    let all = found.map(|list| list.resources).unwrap_or_default();
    let mut kinds = all.iter().filter(|r| r.kind == kind && !r.name.contains('/'));
    let plural = kinds.next().map(|r| r.name.clone());
    let plural = plural.ok_or_else(|| format!("no matches for kind {kind:?} in group {group:?}"))?;
    let scale = format!("{plural}/scale");
    Ok(Resource {
        scales: all.iter().any(|r| r.name == scale),
        plural,
        group: group.to_owned(),
        version: version.to_owned(),
    })
}

fn worded(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
