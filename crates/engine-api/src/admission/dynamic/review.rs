//! The documents that go to webhooks and come back (apiserver `pkg/admission/plugin/webhook/request/admissionreview.go`,
//! `plugin/webhook/errors/statuserror.go`).
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::asked::{Asked, Form};
use crate::{
    json::{number, strings, text},
    status::ApiError,
};

/// What a webhook has said.
#[derive(Debug)]
pub struct Said {
    pub allowed: bool,
    /// JSON Patch.
    pub patch: Option<Value>,
    pub status: Value,
    pub warnings: Vec<String>,
    pub annotations: Vec<(String, String)>,
}

/// The question, and the id that the answer has to name. `version` is of the review itself.
pub fn question(asked: &Asked<'_>, form: &Form, objects: (&Value, &Value), version: &str) -> (String, Value) {
    let uid = uuid::Uuid::new_v4().to_string();
    let mut request = asked.request(form);
    request["uid"] = uid.as_str().into();
    request["object"] = objects.0.clone();
    request["oldObject"] = objects.1.clone();
    let review = json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request});
    (uid, review)
}

/// The answer, if it is one.
pub fn answer(review: &Value, uid: &str, version: &str, mutates: bool) -> Result<Said, String> {
    let response = &review["response"];
    if !response.is_object() {
        return Err("webhook response was absent".to_owned());
    }
    if version == "v1" {
        let said = text(response, "/uid");
        if said != uid {
            return Err(format!("expected response.uid={uid:?}, got {said:?}"));
        }
        let (is_version, kind) = (text(review, "/apiVersion"), text(review, "/kind"));
        if (is_version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
            let group = if is_version.contains('/') { "" } else { "/" };
            return Err(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}{is_version}, Kind={kind}"
            ));
        }
    }
    let (encoded, kind) = (text(response, "/patch"), &response["patchType"]);
    if version == "v1" && !mutates {
        if !encoded.is_empty() {
            return Err("validating webhook may not return response.patch".to_owned());
        }
        if !kind.is_null() {
            return Err("validating webhook may not return response.patchType".to_owned());
        }
    }
    if version == "v1" && mutates {
        match (encoded.is_empty(), kind.as_str()) {
            (false, None) => {
                return Err("webhook returned response.patch but not response.patchType".to_owned());
            }
            (true, Some(_)) => {
                return Err("webhook returned response.patchType but not response.patch".to_owned());
            }
            (false, Some("")) => return Err("webhook returned invalid response.patchType of \"\"".to_owned()),
            (false, Some(other)) if other != "JSONPatch" => {
                return Err(format!("unsupported patch type {other:?}"));
            }
            _ => {}
        }
    }
    let patch = if encoded.is_empty() || !mutates {
        None
    } else {
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|e| format!("illegal base64 data: {e}"))?;
        let patch = serde_json::from_slice(&bytes);
        Some(patch.map_err(|e| format!("received undecodable patch in webhook response: {e}"))?)
    };
    let annotations = response["auditAnnotations"].as_object().into_iter().flatten();
    Ok(Said {
        allowed: response["allowed"] == true,
        patch,
        status: response["status"].clone(),
        warnings: strings(response, "/warnings")
            .into_iter()
            .map(str::to_owned)
            .collect(),
        annotations: annotations
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
    })
}

/// A refusal in the webhook's words, with its code and reason.
pub fn rejection(name: &str, status: &Value) -> ApiError {
    let by = format!("admission webhook {name:?} denied the request");
    let reason = text(status, "/reason");
    let message = match (text(status, "/message"), reason) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    let code = number(status, "/code")
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(400)
        .max(400);
    let mut error = ApiError::new(code, "", message);
    error.own_reason = reason.to_owned();
    error.details = Some(status["details"].clone()).filter(Value::is_object);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(response: Value, mutates: bool) -> Result<Said, String> {
        let review =
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        answer(&review, "u", "v1", mutates)
    }

    #[test]
    fn answers_that_are_none() {
        let patch = STANDARD.encode("[]");
        for (response, mutates, why) in [
            (json!(null), false, "webhook response was absent"),
            (
                json!({"uid": "x"}),
                false,
                "expected response.uid=\"u\", got \"x\"",
            ),
            (
                json!({"uid": "u", "patch": patch}),
                false,
                "validating webhook may not return response.patch",
            ),
            (
                json!({"uid": "u", "patch": patch}),
                true,
                "webhook returned response.patch but not response.patchType",
            ),
            (
                json!({"uid": "u", "patchType": "JSONPatch"}),
                true,
                "webhook returned response.patchType but not response.patch",
            ),
            (
                json!({"uid": "u", "patch": patch, "patchType": "Merge"}),
                true,
                "unsupported patch type \"Merge\"",
            ),
        ] {
            assert_eq!(of(response, mutates).unwrap_err(), why);
        }
        let other = json!({"kind": "Pod", "apiVersion": "v1", "response": {"uid": "u"}});
        assert_eq!(
            answer(&other, "u", "v1", false).unwrap_err(),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /v1, Kind=Pod"
        );
        assert!(of(json!({"uid": "u", "allowed": true}), true).unwrap().allowed);
    }

    #[test]
    fn words_of_refusals() {
        let of = |status: Value| {
            let error = rejection("a.b.c", &status);
            (error.code, error.message, error.own_reason)
        };
        let by = "admission webhook \"a.b.c\" denied the request";
        assert_eq!(
            of(json!(null)),
            (400, format!("{by} without explanation"), String::new())
        );
        assert_eq!(
            of(json!({"code": 403, "message": "no", "reason": "Forbidden"})),
            (403, format!("{by}: no"), "Forbidden".to_owned())
        );
        assert_eq!(
            of(json!({"code": 200, "reason": "Odd"})),
            (400, format!("{by}: Odd"), "Odd".to_owned())
        );
    }
}
