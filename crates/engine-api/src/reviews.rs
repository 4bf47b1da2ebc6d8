//! Requests that answer a question and store nothing: token and access reviews.
use bytes::Bytes;
use kube_types::{FieldRequirement, FieldSelector, LabelSelector};
use schema::KindInfo;
use serde_json::{Value, json};
use validation::Cause;

use crate::{
    api::{Api, Call},
    auth::{node, rbac::Attributes},
    json::{list, strings, text},
    pretty,
    registry::body,
    status::{ApiError, Result},
    time,
    user::User,
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

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
        fields: selected(&spec["resourceAttributes"]["fieldSelector"]).0,
    }
}

/// The fields that a review says are selected, and whether all of it was understood; what is not is left out, so that more is asked for
/// (kubernetes `pkg/registry/authorization/util/helpers.go`).
fn selected(selector: &Value) -> (Vec<FieldRequirement>, bool) {
    let listed = list(selector, "/requirements");
    if listed.is_empty() {
        let raw = text(selector, "/rawSelector").parse::<FieldSelector>();
        let known = raw.is_ok();
        return (raw.unwrap_or_default().requirements().to_vec(), known);
    }
    let understood: Vec<FieldRequirement> = listed.iter().filter_map(requirement).collect();
    let known = understood.len() == listed.len();
    (understood, known)
}

fn requirement(said: &Value) -> Option<FieldRequirement> {
    let equal = match text(said, "/operator") {
        "In" => true,
        "NotIn" => false,
        _ => return None,
    };
    let [value] = strings(said, "/values")[..] else {
        return None;
    };
    Some(FieldRequirement {
        field: text(said, "/key").to_owned(),
        equal,
        value: value.to_owned(),
    })
}

/// What of the selectors was not taken into account (`BuildEvaluationError`).
fn ignored(resource: &Value) -> String {
    let mut ignored = Vec::new();
    let mut note = |selector: &str, (some, all): (bool, bool)| {
        if !all {
            let partially = if some { "partially " } else { "" };
            ignored.push(format!(
                "spec.resourceAttributes.{selector} {partially}ignored due to parse error"
            ));
        }
    };
    let (fields, all) = selected(&resource["fieldSelector"]);
    note("fieldSelector", (!fields.is_empty(), all));
    let labels = &resource["labelSelector"];
    let listed = list(labels, "/requirements");
    if listed.is_empty() {
        let raw = text(labels, "/rawSelector").parse::<LabelSelector>();
        note("labelSelector", (false, raw.is_ok()));
    } else {
        let sound = |said: &&Value| {
            let selector = json!({"matchExpressions": [said]});
            LabelSelector::from_object(&selector).is_ok()
        };
        let sound = listed.iter().filter(sound).count();
        note("labelSelector", (sound > 0, sound == listed.len()));
    }
    ignored.join("; ")
}

/// Why a review is refused: one cause.
fn invalid(field: &str, value: &str, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid",
        field: field.to_owned(),
        message: format!("Invalid value: {value}: {why}"),
    }
}

/// As upstream shows attributes of a path, which have no names of their own for JSON.
fn shown_path(spec: &Value) -> String {
    let own = |pointer| Value::from(text(spec, pointer));
    format!(
        r#"{{"Path":{},"Verb":{}}}"#,
        own("/nonResourceAttributes/path"),
        own("/nonResourceAttributes/verb")
    )
}

/// What is asked has to be clear (`pkg/apis/authorization/validation/validation.go`).
fn check_access(call: &Call, kind: &'static KindInfo, review: &mut Value) -> Result<()> {
    let local = kind.kind == "LocalSubjectAccessReview";
    if local {
        body::place(kind, &call.route.namespace, review)?;
    }
    let spec = &review["spec"];
    let mut causes = Vec::new();
    let (resource, path) = (
        spec["resourceAttributes"].is_object(),
        spec["nonResourceAttributes"].is_object(),
    );
    if resource && path {
        let why = "cannot be specified in combination with resourceAttributes";
        causes.push(invalid("spec.nonResourceAttributes", &shown_path(spec), why));
    }
    if !resource && !path {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        causes.push(invalid("spec.resourceAttributes", "null", why));
    }
    let about_others = kind.kind != "SelfSubjectAccessReview";
    if about_others && text(spec, "/user").is_empty() && strings(spec, "/groups").is_empty() {
        let why = "at least one of user or group must be specified";
        causes.push(invalid("spec.user", "\"\"", why));
    }
    for selector in ["fieldSelector", "labelSelector"] {
        check_selector(&spec["resourceAttributes"][selector], selector, &mut causes);
    }
    let metadata = review["metadata"].as_object().into_iter().flatten();
    let mut metadata = metadata
        .filter(|(key, value)| !(value.is_null() || *key == "managedFields" || local && *key == "namespace"));
    if metadata.next().is_some() {
        let why = if local {
            "must be empty except for namespace"
        } else {
            "must be empty"
        };
        let shown = pretty::compact(&review["metadata"], META, &Value::Null);
        causes.push(invalid("metadata", &shown, why));
    }
    if local {
        let named = text(spec, "/resourceAttributes/namespace");
        if resource && named != call.route.namespace {
            let field = "spec.resourceAttributes.namespace";
            causes.push(invalid(
                field,
                &Value::from(named).to_string(),
                "must match metadata.namespace",
            ));
        }
        if path {
            let why = "disallowed on this kind of request";
            causes.push(invalid("spec.nonResourceAttributes", &shown_path(spec), why));
        }
    }
    if causes.is_empty() {
        Ok(())
    } else {
        // Upstream asks the object for its kind, which it has forgotten.
        Err(ApiError::invalid("authorization.k8s.io", "", "", &causes))
    }
}

/// A selector is said in one way.
fn check_selector(selector: &Value, name: &str, causes: &mut Vec<Cause>) {
    if !selector.is_object() {
        return;
    }
    let path = format!("spec.resourceAttributes.{name}");
    let raw = text(selector, "/rawSelector");
    let listed = !list(selector, "/requirements").is_empty();
    if !raw.is_empty() && listed {
        let why = "may not specified at the same time as requirements";
        causes.push(invalid(
            &format!("{path}.rawSelector"),
            &Value::from(raw).to_string(),
            why,
        ));
    }
    if raw.is_empty() && !listed {
        causes.push(Cause {
            reason: "FieldValueRequired",
            field: format!("{path}.requirements"),
            message: format!(
                "Required value: when {path} is specified, requirements or rawSelector is required"
            ),
        });
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
        // The other two are answered anew.
        if !matches!(kind.kind, "SelfSubjectReview" | "SelfSubjectRulesReview") {
            body::owned(call, kind, "", &mut review);
        }
        if kind.kind == "SelfSubjectReview" {
            review["metadata"] = json!({"creationTimestamp": time::now()});
        }
        let status = match kind.kind {
            "SelfSubjectReview" => json!({"userInfo": user_info(&call.user)}),
            "TokenReview" => self.token_review(&review)?,
            "SelfSubjectAccessReview" => {
                check_access(call, kind, &mut review)?;
                self.access(&call.user, &review["spec"])
            }
            "SubjectAccessReview" | "LocalSubjectAccessReview" => {
                check_access(call, kind, &mut review)?;
                let spec = &review["spec"];
                // Exactly the groups that are asked about; nothing is added.
                let user = User {
                    name: text(spec, "/user").to_owned(),
                    uid: text(spec, "/uid").to_owned(),
                    groups: strings(spec, "/groups").into_iter().map(str::to_owned).collect(),
                    ..User::default()
                };
                self.access(&user, spec)
            }
            "SelfSubjectRulesReview" => {
                let status = self.rules(&call.user, text(&review, "/spec/namespace"))?;
                // Upstream answers with a new one that says nothing else.
                review["spec"] = json!({});
                status
            }
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
        let decided = self.decide(user, &attributes(spec));
        let mut status = json!({"allowed": decided.allowed});
        if !decided.reason.is_empty() {
            status["reason"] = decided.reason.into();
        }
        let ignored = ignored(&spec["resourceAttributes"]);
        if !ignored.is_empty() {
            status["evaluationError"] = ignored.into();
        }
        status
    }

    fn token_review(&self, review: &Value) -> Result<Value> {
        let token = text(review, "/spec/token");
        if token.is_empty() {
            return Err(ApiError::bad_request(
                "token is required for TokenReview in authentication",
            ));
        }
        let audiences: Vec<String> = strings(review, "/spec/audiences")
            .into_iter()
            .map(str::to_owned)
            .collect();
        Ok(match self.token_user(token, &audiences) {
            Ok((user, audiences)) => {
                json!({"authenticated": true, "user": user_info(&user), "audiences": audiences})
            }
            // Why one of the ways to read a token fails is told beside that all do.
            Err(refused) if !refused.told.is_empty() => {
                json!({"user": {}, "error": format!("[invalid bearer token, {}]", refused.told)})
            }
            Err(_) => json!({"user": {}, "error": "invalid bearer token"}),
        })
    }

    fn rules(&self, user: &User, namespace: &str) -> Result<Value> {
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        let (mut resources, mut paths) = (Vec::new(), Vec::new());
        let (rules, missing) = self.rbac.given(&self.store, user, namespace);
        for rule in rules {
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
        let is_node = node::identity(user).is_some();
        let mut errors = Vec::new();
        if is_node {
            errors.push("node authorizer does not support user rule resolution".to_owned());
        }
        if !missing.is_empty() {
            errors.push(missing);
        }
        let mut status =
            json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": is_node});
        match errors.as_slice() {
            [] => {}
            [one] => status["evaluationError"] = one.as_str().into(),
            many => status["evaluationError"] = format!("[{}]", many.join(", ")).into(),
        }
        Ok(status)
    }
}

/// A body whose kind does not matter: its fields are what this definition says they are; `{}` when empty.
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
