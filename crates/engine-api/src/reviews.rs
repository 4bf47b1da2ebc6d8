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
        set(&mut review, &["metadata", "creationTimestamp"], Value::Null);
        let status = match kind.kind {
            "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
            "TokenReview" => self.token_review(&review),
            "SelfSubjectAccessReview" => self.access(&call.user, &review["spec"]),
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                let spec = &review["spec"];
                if text(spec, "/user").is_empty() && strings(spec, "/groups").is_empty() {
                    let message = "Required value: at least one of user or group must be specified";
                    return Err(ApiError::invalid_field(
                        kind,
                        "",
                        "FieldValueRequired",
                        "spec.user",
                        message,
                    ));
                }
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
            None => json!({"authenticated": false, "user": {}, "error": "invalid bearer token"}),
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

/// A body of a subresource (`Binding`, `Eviction`, `TokenRequest`): parsed, its kind not checked; `{}` when empty.
pub fn loose(call: &Call) -> Result<Value> {
    if call.body == Bytes::new() {
        Ok(json!({}))
    } else {
        body::parse(call)
    }
}
