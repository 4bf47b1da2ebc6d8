//! Requests that answer a question and store nothing: token and access reviews.
use bytes::Bytes;
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    auth::rbac::Attributes,
    json::{set, strings, text},
    registry::body,
    status::{ApiError, Result},
    time,
    user::User,
};

/// Whether objects of this kind are answered rather than stored.
pub fn is_review(kind: &KindInfo) -> bool {
    matches!(kind.group, "authentication.k8s.io" | "authorization.k8s.io")
}

fn attributes(spec: &Value) -> Attributes {
    let own = |pointer: &str| text(spec, pointer).to_owned();
    if spec["nonResourceAttributes"].is_object() {
        return Attributes {
            verb: own("/nonResourceAttributes/verb"),
            path: own("/nonResourceAttributes/path"),
            ..Attributes::default()
        };
    }
    Attributes {
        verb: own("/resourceAttributes/verb"),
        group: own("/resourceAttributes/group"),
        resource: own("/resourceAttributes/resource"),
        subresource: own("/resourceAttributes/subresource"),
        namespace: own("/resourceAttributes/namespace"),
        name: own("/resourceAttributes/name"),
        path: String::new(),
    }
}

/// What is asked has to be clear (`pkg/apis/authorization/validation`).
fn check_access(review: &Value, about_others: bool) -> Result<()> {
    let spec = &review["spec"];
    let mut causes = Vec::new();
    let mut invalid = |field: &str, value: &str, why: &str| {
        causes.push(validation::Cause {
            reason: "FieldValueInvalid",
            field: field.to_owned(),
            message: format!("Invalid value: {value}: {why}"),
        });
    };
    let (resource, path) = (
        spec["resourceAttributes"].is_object(),
        spec["nonResourceAttributes"].is_object(),
    );
    if resource == path {
        let (field, value) = if resource {
            (
                "spec.nonResourceAttributes",
                spec["nonResourceAttributes"].to_string(),
            )
        } else {
            ("spec.resourceAttributes", "null".to_owned())
        };
        let why = if resource {
            "cannot be specified in combination with resourceAttributes"
        } else {
            "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        };
        invalid(field, &value, why);
    }
    if about_others && text(spec, "/user").is_empty() && strings(spec, "/groups").is_empty() {
        invalid(
            "spec.user",
            "\"\"",
            "at least one of user or group must be specified",
        );
    }
    let mut metadata = review["metadata"].clone();
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.retain(|key, value| key != "namespace" && !value.is_null());
        if !metadata.is_empty() {
            invalid("metadata", &json!(metadata).to_string(), "must be empty");
        }
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid("authorization.k8s.io", "", "", &causes))
    }
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

impl Api {
    /// Answer a review.
    pub fn review(&self, call: &Call, kind: &'static KindInfo) -> Result<Value> {
        let mut review = body::decode(call, kind, kind.definition)?;
        if kind.kind == "SelfSubjectReview" {
            set(&mut review, &["metadata", "creationTimestamp"], time::now());
        }
        let status = match kind.kind {
            "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
            "TokenReview" => self.token_review(&review),
            "SelfSubjectAccessReview" => {
                check_access(&review, false)?;
                self.access(&call.user, &review["spec"])
            }
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                let spec = &review["spec"];
                check_access(&review, true)?;
                let named = call.route.namespace.as_str();
                if !named.is_empty() && text(spec, "/resourceAttributes/namespace") != named {
                    let message = "Invalid value: \"\": must match metadata.namespace";
                    let field = "spec.resourceAttributes.namespace";
                    return Err(ApiError::invalid_field(
                        kind,
                        "",
                        "FieldValueInvalid",
                        field,
                        message,
                    ));
                }
                // Exactly the groups that are asked about; nothing is added.
                let user = User {
                    name: text(spec, "/user").to_owned(),
                    uid: text(spec, "/uid").to_owned(),
                    groups: strings(spec, "/groups").into_iter().map(str::to_owned).collect(),
                    ..User::default()
                };
                self.access(&user, spec)
            }
            "SelfSubjectRulesReview" => self.rules(&call.user, text(&review, "/spec/namespace")),
            other => {
                return Err(ApiError::unsupported(format!(
                    "{other} is not answered by this engine"
                )));
            }
        };
        review["status"] = status;
        Ok(review)
    }

    fn access(&self, user: &User, spec: &Value) -> Value {
        let wanted = attributes(spec);
        if self.rbac.allowed(&self.store, user, &wanted) {
            json!({"allowed": true})
        } else {
            json!({"allowed": false})
        }
    }

    fn token_review(&self, review: &Value) -> Value {
        let audiences: Vec<String> = strings(review, "/spec/audiences")
            .into_iter()
            .map(str::to_owned)
            .collect();
        match self.token_user(text(review, "/spec/token"), &audiences) {
            Some((user, audiences)) => {
                json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
            }
            None => json!({"user": {}, "error": "invalid bearer token"}),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Value {
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        for rule in self.rbac.rules_of(&self.store, user, namespace) {
            if !rule.urls.is_empty() {
                paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
            }
            if !rule.resources.is_empty() {
                let mut entry =
                    json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
                if !rule.names.is_empty() {
                    entry["resourceNames"] = json!(rule.names);
                }
                resources.push(entry);
            }
        }
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
    }
}

/// What the body of a subresource is.
pub fn body_of(subresource: &str) -> &'static str {
    match subresource {
        "binding" => "io.k8s.api.core.v1.Binding",
        "eviction" => "io.k8s.api.policy.v1.Eviction",
        "token" => "io.k8s.api.authentication.v1.TokenRequest",
        _ => "",
    }
}

/// A body of a subresource (`Binding`, `Eviction`, `TokenRequest`): its kind is not checked, its fields are what this definition
/// says they are; `{}` when empty.
pub fn loose(call: &Call, definition: &str) -> Result<Value> {
    let mut value = if call.body == Bytes::new() {
        json!({})
    } else {
        body::parse(call)?
    };
    if let Some(why) = body::unreadable(&mut value) {
        return Err(ApiError::bad_request(why));
    }
    schema::normalise(definition, &mut value).map_err(|e| {
        let kind = definition.rsplit('.').next().unwrap_or_default();
        ApiError::bad_request(format!("{kind} cannot be handled as a {kind}: {}", e.message))
    })?;
    Ok(value)
}
