//! Versions of custom kinds that a webhook turns into one another (apiextensions `pkg/apiserver/conversion/webhook_converter.go`).
use std::{sync::Arc, time::Duration};

use engine_store::Stored;
use schema::KindInfo;
use serde_json::{Value, json};

use super::of;
use crate::{
    api::Api,
    json::{list, strings, text},
    outward::Target,
    registry::Output,
    status::{ApiError, Result},
};

/// How long a webhook may take (`webhook_converter.go` has no timeout of its own; upstream's client ends after this).
const TIMEOUT: Duration = Duration::from_secs(30);

/// `spec.conversion` of a definition whose strategy is `Webhook`.
#[derive(Debug)]
pub struct Conversion {
    target: Target,
    /// The first version of reviews that both know.
    review: Option<&'static str>,
    /// What objects are stored as.
    stored: String,
}

impl Conversion {
    /// Of a definition, unless its versions differ by name only.
    pub fn of(spec: &Value) -> Option<Self> {
        if spec["conversion"]["strategy"] != "Webhook" {
            return None;
        }
        let webhook = &spec["conversion"]["webhook"];
        let stored = list(spec, "/versions").iter().find(|v| v["storage"] == true)?;
        Some(Self {
            target: Target::of(&webhook["clientConfig"]),
            review: strings(webhook, "/conversionReviewVersions")
                .into_iter()
                .find_map(|v| match v {
                    "v1" => Some("v1"),
                    "v1beta1" => Some("v1beta1"),
                    _ => None,
                }),
            stored: format!("{}/{}", text(spec, "/group"), text(stored, "/name")),
        })
    }
}

impl Api {
    /// Stored objects in the version of a kind.
    pub async fn turned_all(
        &self,
        kind: &'static KindInfo,
        found: Vec<Arc<Stored>>,
    ) -> Result<Vec<Arc<Stored>>> {
        let Some(custom) = of(kind).filter(|custom| custom.conversion.is_some()) else {
            return Ok(found);
        };
        let Some(conversion) = &custom.conversion else {
            return Ok(found);
        };
        let wanted = kind.api_version();
        let other: Vec<Value> = found
            .iter()
            .filter(|stored| stored.value()["apiVersion"] != wanted.as_str())
            .map(|stored| Value::clone(&stored.value()))
            .collect();
        if other.is_empty() {
            return Ok(found);
        }
        let mut made = self.turn(conversion, &wanted, other).await?.into_iter();
        let turned = found.into_iter().map(|stored| {
            if stored.value()["apiVersion"] == wanted.as_str() {
                return stored;
            }
            let mut value = made.next().unwrap_or_default();
            structural::set_defaults(custom.schema(), &mut value);
            Arc::new(stored.with(value))
        });
        Ok(turned.collect())
    }

    /// One stored object in the version of a kind.
    pub async fn turned(&self, kind: &'static KindInfo, stored: Arc<Stored>) -> Result<Arc<Stored>> {
        if !super::is(kind) {
            return Ok(stored);
        }
        let mut all = self.turned_all(kind, vec![stored]).await?;
        all.pop().ok_or_else(|| ApiError::internal("an object was lost"))
    }

    /// What is answered, in the version of a kind.
    pub async fn turned_output(&self, kind: &'static KindInfo, output: Output) -> Result<Output> {
        match output {
            Output::Stored(stored) => self.turned(kind, stored).await.map(Output::Stored),
            made @ Output::Made(_) => Ok(made),
        }
    }

    /// An object of a kind as it is to be stored.
    pub async fn for_storage(&self, kind: &'static KindInfo, object: Value) -> Result<Value> {
        let Some(custom) = of(kind) else { return Ok(object) };
        let Some(conversion) = custom
            .conversion
            .as_ref()
            .filter(|c| object["apiVersion"] != c.stored.as_str())
        else {
            return Ok(object);
        };
        let made = self.turn(conversion, &conversion.stored, vec![object]).await?;
        made.into_iter()
            .next()
            .ok_or_else(|| ApiError::internal("an object was lost"))
    }

    /// An object of one version of a custom kind in another.
    pub async fn turned_value(
        &self,
        from: &'static KindInfo,
        to: &'static KindInfo,
        object: &Value,
    ) -> Result<Value> {
        let wanted = to.api_version();
        let custom = of(from);
        let Some(conversion) = custom.as_ref().and_then(|custom| custom.conversion.as_ref()) else {
            let mut object = object.clone();
            object["apiVersion"] = wanted.into();
            return Ok(object);
        };
        let made = self.turn(conversion, &wanted, vec![object.clone()]).await?;
        made.into_iter()
            .next()
            .ok_or_else(|| ApiError::internal("an object was lost"))
    }

    async fn turn(&self, conversion: &Conversion, wanted: &str, objects: Vec<Value>) -> Result<Vec<Value>> {
        let first = objects.first().cloned().unwrap_or_default();
        let of = format!("{}, Kind={}", text(&first, "/apiVersion"), text(&first, "/kind"));
        let failed = |why: String| ApiError::internal(format!("conversion webhook for {of} {why}"));
        let version = conversion
            .review
            .ok_or_else(|| failed("failed: no supported conversion review versions".to_owned()))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let api_version = format!("apiextensions.k8s.io/{version}");
        let review = json!({"kind": "ConversionReview", "apiVersion": api_version,
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects}});
        let answer = self
            .post(&conversion.target, &review, TIMEOUT)
            .await
            .map_err(|why| failed(format!("failed: {why}")))?;
        let made = converted(&answer, &uid, &api_version).map_err(|why| failed(format!("failed: {why}")))?;
        if made.len() != objects.len() {
            return Err(failed(format!(
                "returned {} objects, expected {}",
                made.len(),
                objects.len()
            )));
        }
        let mut all = Vec::with_capacity(made.len());
        for (at, (old, new)) in objects.iter().zip(made).enumerate() {
            let new = restored(old, new, wanted)
                .map_err(|why| failed(format!("returned invalid converted object at index {at}: {why}")))?;
            all.push(new);
        }
        Ok(all)
    }
}

/// The objects of an answer, if it is one.
fn converted(answer: &Value, uid: &str, api_version: &str) -> Result<Vec<Value>, String> {
    let (is, kind) = (text(answer, "/apiVersion"), text(answer, "/kind"));
    if (is, kind) != (api_version, "ConversionReview") {
        return Err(format!(
            "expected webhook response of {api_version}, Kind=ConversionReview, got {is}, Kind={kind}"
        ));
    }
    let response = &answer["response"];
    if !response.is_object() {
        return Err("no response provided".to_owned());
    }
    let said = text(response, "/uid");
    if said != uid && api_version.ends_with("/v1") {
        return Err(format!("expected response.uid={uid:?}, got {said:?}"));
    }
    let status = text(response, "/result/status");
    if status != "Success" {
        return Err(match text(response, "/result/message") {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        });
    }
    Ok(list(response, "/convertedObjects").to_vec())
}

/// Of metadata only labels and annotations may be changed by a conversion.
fn restored(old: &Value, mut new: Value, wanted: &str) -> Result<Value, String> {
    let is = text(&new, "/apiVersion");
    if is != wanted {
        return Err(format!("invalid groupVersion (expected {wanted}, received {is})"));
    }
    if new["kind"] != old["kind"] {
        return Err(format!(
            "invalid kind (expected {}, received {})",
            text(old, "/kind"),
            text(&new, "/kind")
        ));
    }
    for field in ["name", "namespace", "uid"] {
        let pointer = format!("/metadata/{field}");
        let (was, is) = (text(old, &pointer), text(&new, &pointer));
        if was != is {
            let shown = if field == "uid" { "UID" } else { field };
            return Err(format!("must have the same {shown}: {was} != {is}"));
        }
    }
    let mut metadata = old["metadata"].clone();
    for field in ["labels", "annotations"] {
        match new["metadata"].get(field).filter(|texts| texts.is_object()) {
            Some(texts) => metadata[field] = texts.clone(),
            None => {
                if let Some(map) = metadata.as_object_mut() {
                    map.remove(field);
                }
            }
        }
    }
    new["metadata"] = metadata;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stays() {
        let old = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "u", "labels": {"x": "y"}, "generation": 2}});
        let new = |metadata: Value| json!({"apiVersion": "g/v2", "kind": "K", "metadata": metadata});
        let made = restored(
            &old,
            new(json!({"name": "a", "uid": "u", "annotations": {"n": "1"}, "generation": 9})),
            "g/v2",
        )
        .unwrap();
        assert_eq!(
            made["metadata"],
            json!({"name": "a", "uid": "u", "annotations": {"n": "1"}, "generation": 2})
        );
        let wrong = |object: Value| restored(&old, object, "g/v2").unwrap_err();
        assert_eq!(
            wrong(new(json!({"name": "b"}))),
            "must have the same name: a != b"
        );
        assert_eq!(
            wrong(old.clone()),
            "invalid groupVersion (expected g/v2, received g/v1)"
        );
    }

    #[test]
    fn answers_that_are_none() {
        let of = |response: Value| {
            let answer = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
            converted(&answer, "u", "apiextensions.k8s.io/v1")
        };
        assert_eq!(of(json!(null)).unwrap_err(), "no response provided");
        assert_eq!(
            of(json!({"uid": "x"})).unwrap_err(),
            "expected response.uid=\"u\", got \"x\""
        );
        let failed = json!({"uid": "u", "result": {"status": "Failed", "message": "cannot"}});
        assert_eq!(of(failed).unwrap_err(), "cannot");
        assert_eq!(
            of(json!({"uid": "u", "result": {"status": "Success"}, "convertedObjects": [1]})).unwrap(),
            [json!(1)]
        );
    }
}
