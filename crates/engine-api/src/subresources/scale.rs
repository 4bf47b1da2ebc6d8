//! `scale` of Deployments, ReplicaSets, ReplicationControllers and StatefulSets as `autoscaling/v1` Scale.
use std::sync::Arc;

use kube_types::LabelSelector;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    custom,
    json::{number, set, text},
    registry::{
        body,
        patch::{PatchType, apply_plain, patch_error},
        update::Tracking,
    },
    status::{ApiError, Result},
};

/// The Scale of an object.
pub fn scale_of(kind: &KindInfo, object: &Value) -> Value {
    let [wanted, there, selected] = custom::of(kind).map_or_else(
        || {
            [
                "/spec/replicas".to_owned(),
                "/status/replicas".to_owned(),
                String::new(),
            ]
        },
        |custom| custom.scale(),
    );
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {},
        "status": {"replicas": number(object, &there).unwrap_or_default()}});
    if let Some(replicas) = number(object, &wanted).filter(|r| *r != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    if custom::is(kind) {
        let selector = if selected.is_empty() {
            ""
        } else {
            text(object, &selected)
        };
        if !selector.is_empty() {
            scale["status"]["selector"] = selector.into();
        }
        return scale;
    }
    let own = &object["spec"]["selector"];
    // A ReplicationController's selector is a map.
    let selector = if object["kind"] == "ReplicationController" {
        json!({"matchLabels": own})
    } else {
        own.clone()
    };
    let selector = LabelSelector::from_object(&selector)
        .map(|s| {
            if s.is_nothing() {
                String::new()
            } else {
                s.to_string()
            }
        })
        .unwrap_or_default();
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

impl Api {
    /// Read, replace or patch the scale of an object.
    pub async fn scale(self: &Arc<Self>, call: &Call, kind: &'static KindInfo) -> Result<Value> {
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        if call.route.verb == "get" {
            return Ok(scale_of(kind, &self.fetch(kind, namespace, name)?.value()));
        }
        let put = if call.route.verb == "update" {
            Some(body::parse(call)?)
        } else {
            None
        };
        let patch_type = if put.is_none() {
            Some(PatchType::of(call)?)
        } else {
            None
        };
        let change = |current: &Value| {
            let scale = scale_of(kind, current);
            let wanted = match (&put, patch_type) {
                (Some(wanted), _) => wanted.clone(),
                (None, Some(PatchType::Apply) | None) => {
                    return Err(ApiError::unsupported(
                        "server-side apply of the scale subresource is not supported here",
                    ));
                }
                (None, Some(plain)) => {
                    apply_plain(plain, "io.k8s.api.autoscaling.v1.Scale", &scale, &call.body)
                        .map_err(patch_error)?
                }
            };
            let own = text(&wanted, "/metadata/name");
            if !own.is_empty() && own != name {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({own}) does not match the name on the URL ({name})"
                )));
            }
            let replicas = match wanted.pointer("/spec/replicas") {
                None | Some(Value::Null) => 0,
                Some(number) => number.as_i64().ok_or_else(|| {
                    ApiError::bad_request(
                        "json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32",
                    )
                })?,
            };
            if replicas < 0 {
                let cause = validation::Cause {
                    reason: "FieldValueInvalid",
                    field: "spec.replicas".to_owned(),
                    message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
                };
                return Err(ApiError::invalid("autoscaling", "Scale", name, &[cause]));
            }
            let mut changed = current.clone();
            let path = custom::of(kind).map_or_else(|| "/spec/replicas".to_owned(), |c| c.scale()[0].clone());
            let path: Vec<&str> = path.split('/').skip(1).collect();
            set(&mut changed, &path, replicas);
            let version = text(&wanted, "/metadata/resourceVersion");
            if !version.is_empty() {
                set(&mut changed, &["metadata", "resourceVersion"], version);
            }
            Ok(changed)
        };
        let output = self.change(call, kind, "", Tracking::Scale, change).await?;
        Ok(scale_of(kind, &output.value()))
    }
}
