//! `scale` of Deployments, ReplicaSets, ReplicationControllers and StatefulSets as `autoscaling/v1` Scale.
use std::sync::Arc;

use kube_types::LabelSelector;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    custom,
    json::{list, number, set, text},
    keys,
    registry::{
        Writer, body,
        patch::{self, PatchType, patch_error},
        update::Tracking,
    },
    status::{ApiError, Result},
};

/// What a Scale is to those who read and write kinds; it has none of its own in discovery.
pub fn kind() -> KindInfo {
    KindInfo {
        group: "autoscaling",
        version: "v1",
        kind: "Scale",
        definition: "io.k8s.api.autoscaling.v1.Scale",
        ..schema::kinds()[0].clone()
    }
}

/// Where objects of a kind have the number of their replicas, as a JSON pointer.
pub fn replicas_of(kind: &KindInfo) -> String {
    custom::of(kind).map_or_else(|| "/spec/replicas".to_owned(), |custom| custom.scale()[0].clone())
}

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

/// How a scale is to change.
enum Sent {
    Whole(Value),
    Patch(PatchType),
    Applied(Value, Writer),
}

impl Api {
    /// Read, replace or patch the scale of an object.
    pub async fn scale(self: &Arc<Self>, call: &Call, kind: &'static KindInfo) -> Result<Value> {
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        if call.route.verb == "get" {
            return Ok(scale_of(kind, &self.fetch(kind, namespace, name)?.value()));
        }
        let own = KindInfo {
            namespaced: kind.namespaced,
            ..self::kind()
        };
        let sent = if call.route.verb == "update" {
            check_kind(call, kind)?;
            let named = body::named(call, &own);
            Sent::Whole(named.map_err(|error| if custom::is(kind) { misread(error) } else { error })?)
        } else {
            match PatchType::of(call)? {
                PatchType::Apply => {
                    let applied = patch::applied(call, &own)?;
                    Sent::Applied(applied, Writer::of(call, kind, "scale"))
                }
                plain => {
                    patch::not_strategic(kind, plain)?;
                    Sent::Patch(plain)
                }
            }
        };
        let path = replicas_of(kind);
        let path: Vec<&str> = path.split('/').skip(1).collect();
        let change = |current: &Value| {
            let scale = scale_of(kind, current);
            let mut changed = current.clone();
            let wanted = match &sent {
                Sent::Whole(wanted) => wanted.clone(),
                Sent::Patch(plain) => patch::patched(call, &own, *plain, &scale)?,
                Sent::Applied(applied, writer) => {
                    let force = call.query.truth("force");
                    let (new, owners) =
                        ::patch::apply_scale(current, &scale, &path, applied, &writer.manager(), force)
                            .map_err(patch_error)?;
                    if custom::is(kind) {
                        return Err(unturned(current, &path, name));
                    }
                    set(&mut changed, &["metadata", "managedFields"], owners);
                    new
                }
            };
            let replicas = match wanted.pointer("/spec/replicas") {
                None | Some(Value::Null) => 0,
                Some(number) => number.as_i64().unwrap_or_default(),
            };
            // Custom resources are asked themselves.
            if replicas < 0 && !custom::is(kind) {
                let cause = validation::Cause {
                    reason: "FieldValueInvalid",
                    field: "spec.replicas".to_owned(),
                    message: format!("Invalid value: {replicas}: must be greater than or equal to 0"),
                };
                return Err(ApiError::invalid("autoscaling", "Scale", name, &[cause]));
            }
            let (uid, own_uid) = (text(&wanted, "/metadata/uid"), text(current, "/metadata/uid"));
            if !uid.is_empty() && uid != own_uid {
                let why = keys::other_uid(uid, own_uid);
                match sent {
                    // Of a patched Scale only its own storage is asked, and that of custom kinds does not ask.
                    Sent::Patch(_) if custom::is(kind) => {}
                    Sent::Patch(_) => return Err(unmet_scale(kind, name, &why)),
                    _ => return Err(keys::unmet(call, kind, name, &why)),
                }
            }
            set(&mut changed, &path, replicas);
            let version = text(&wanted, "/metadata/resourceVersion");
            if !version.is_empty() {
                set(&mut changed, &["metadata", "resourceVersion"], version);
            }
            Ok(changed)
        };
        let tracking = match sent {
            Sent::Applied(..) => Tracking::ScaleApplied,
            _ => Tracking::Scale,
        };
        let output = self.change(call, kind, "", tracking, change).await?;
        Ok(scale_of(kind, &output.value()))
    }
}

/// What the server of custom resources says of a Scale that is none: it knows no other kind, and not even its own by that name.
fn check_kind(call: &Call, kind: &KindInfo) -> Result<()> {
    let said = body::parse(call).unwrap_or_default();
    let (version, name) = (text(&said, "/apiVersion"), text(&said, "/kind"));
    let right = matches!(name, "" | "Scale") && matches!(version, "" | "autoscaling/v1");
    if right || !custom::is(kind) {
        return Ok(());
    }
    Err(no_scale())
}

fn no_scale() -> ApiError {
    ApiError::bad_request(
        "no kind is registered for the type v1.Scale in scheme \
         \"k8s.io/apiextensions-apiserver/pkg/apiserver/customresource_handler.go:781\"",
    )
}

/// Nor can it make one a custom resource, to look up whose fields it has: applies that are no conflict fail all the same (1.36.2).
fn unturned(object: &Value, path: &[&str], name: &str) -> ApiError {
    let owned = format!("/f:{}", path.join("/f:"));
    let entries = list(object, "/metadata/managedFields");
    let what = if entries
        .iter()
        .any(|entry| entry["fieldsV1"].pointer(&owned).is_some())
    {
        format!("failed to convert new object (/{name}; ")
    } else {
        "failed to create manager for existing fields: failed to convert live object (/; ".to_owned()
    };
    let why = "autoscaling/v1, Kind=Scale) to proper version: request to convert CR to an invalid group/version: autoscaling/v1";
    ApiError::new(500, "", what + why)
}

/// Nor does it know how to say what is wrong with one.
fn misread(error: ApiError) -> ApiError {
    if error.code == 400 && error.message.contains(" cannot be handled as a Scale: ") {
        return no_scale();
    }
    error
}

/// A Scale that a patch means for another object of the name (apiserver `registry/rest/update.go`).
fn unmet_scale(kind: &KindInfo, name: &str, why: &str) -> ApiError {
    let qualified = if kind.group.is_empty() {
        format!("{}/scale", kind.plural)
    } else {
        format!("{}/scale.{}", kind.plural, kind.group)
    };
    let mut error = ApiError::conflict(kind, name, why);
    error.message =
        format!("Operation cannot be fulfilled on {qualified} {name:?}: Precondition failed: {why}");
    if let Some(details) = &mut error.details {
        details["kind"] = format!("{}/scale", kind.plural).into();
    }
    error
}
