//! The objects that metrics are about, by name or by selector.
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PartialObjectMeta};
use kube_types::LabelSelector;

use crate::rules::CustomRule;
use crate::status::Failure;

/// Namespace, name and labels of an object.
#[derive(Debug, Clone)]
pub struct Found {
    /// Empty for objects that live in none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// The resource that a rule is about.
pub fn described(rule: &CustomRule) -> ApiResource {
    ApiResource {
        group: rule.group().to_owned(),
        version: rule.version.clone(),
        api_version: rule.api_version(),
        kind: rule.kind.clone(),
        plural: rule.plural().to_owned(),
    }
}

/// `pods` or `nodes`.
pub fn core(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// Objects of a namespace (of all when it is empty) that a selector selects.
pub async fn select(
    client: &Client,
    resource: &ApiResource,
    namespace: &str,
    selector: &LabelSelector,
) -> Result<Vec<Found>, Failure> {
    let api: Api<DynamicObject> = if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, resource)
    };
    let parameters = ListParams::default().labels(&selector.to_string());
    let list = api
        .list_metadata(&parameters)
        .await
        .map_err(|e| Failure::internal(format!("unable to list {}: {e}", resource.plural)))?;
    Ok(list.items.into_iter().map(found).collect())
}

fn found(object: PartialObjectMeta<DynamicObject>) -> Found {
    Found {
        namespace: object.metadata.namespace.unwrap_or_default(),
        name: object.metadata.name.unwrap_or_default(),
        labels: object.metadata.labels.unwrap_or_default(),
    }
}
