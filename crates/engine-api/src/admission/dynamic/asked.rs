//! What admission is asked about: one change of one object (apiserver `pkg/admission/attributes.go`).
use std::borrow::Cow;

use expressions::Question;
use schema::{KindInfo, Subresource};
use serde_json::{Value, json};

use crate::{
    api::{Api, Call},
    convert, custom,
    json::text,
    status::{ApiError, Result},
};

/// One change.
pub struct Asked<'c> {
    /// The request that it comes from.
    pub call: &'c Call,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub operation: &'static str,
    /// The resource, in the version of the request.
    pub kind: &'static KindInfo,
    /// Subresource.
    pub subresource: &'c str,
    /// Namespace, empty for none. A namespace is in itself.
    pub namespace: String,
    /// Name; empty while it has none.
    pub name: String,
    /// The object as it is to be, in the version of the request; nothing when it goes.
    pub object: Value,
    /// As it is.
    pub old: Value,
    /// `CreateOptions` and its like.
    pub options: Value,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// A version of the resource, and its kind.
#[derive(Debug, Clone)]
pub struct Form {
    pub group: String,
    pub version: String,
    pub resource: String,
    /// The resource in this version, unless it is of another subresource's kind.
    pub info: Option<&'static KindInfo>,
}

impl<'c> Asked<'c> {
    /// A change of this object by this request.
    pub fn of(
        call: &'c Call,
        operation: &'static str,
        kind: &'static KindInfo,
        object: Value,
        old: Value,
    ) -> Self {
        let route = &call.route;
        let mut name = route.name.clone();
        if route.verb == "deletecollection" {
            name.clear();
        }
        // Who is made is named by the object (apiserver `endpoints/handlers/create.go`).
        if name.is_empty() {
            text(&object, "/metadata/name").clone_into(&mut name);
        }
        let mut namespace = route.namespace.clone();
        if namespace.is_empty() && kind.group.is_empty() && kind.plural == "namespaces" {
            namespace.clone_from(&name);
        }
        Self {
            call,
            operation,
            kind,
            subresource: &call.route.subresource,
            namespace,
            name,
            object,
            old,
            options: options(call, operation),
            dry_run: call.dry_run(),
        }
    }

    /// As the request has it.
    pub fn own_form(&self) -> Form {
        let other = self.own_kind().is_some_and(|own| own.kind != self.kind.kind);
        Form {
            info: (!other).then_some(self.kind),
            ..form_of(self.kind)
        }
    }

    /// The kind of a subresource.
    fn own_kind(&self) -> Option<&'static Subresource> {
        self.kind
            .subresource_table
            .iter()
            .find(|s| s.name == self.subresource)
    }

    /// All other versions in which this resource is served, in the order of discovery.
    pub fn other_forms(&self, api: &Api) -> Vec<Form> {
        let own = self.own_form();
        if own.info.is_none() {
            return Vec::new();
        }
        let events = self.kind.plural == "events" && matches!(self.kind.group, "" | "events.k8s.io");
        let same = |kind: &KindInfo| {
            kind.plural == self.kind.plural
                && (kind.group == self.kind.group || events && matches!(kind.group, "" | "events.k8s.io"))
                && (kind.group, kind.version) != (self.kind.group, self.kind.version)
        };
        let customs = api.customs.all();
        let built_in = schema::kinds().iter();
        let all = built_in.chain(customs.iter().map(|custom| custom.kind));
        all.filter(|kind| same(kind)).map(form_of).collect()
    }

    /// The object that errors are about.
    pub fn shown_name(&self) -> &str {
        if !self.name.is_empty() {
            return &self.name;
        }
        match text(&self.object, "/metadata/generateName") {
            "" => "Unknown",
            prefix => prefix,
        }
    }

    /// Refused, by somebody's word.
    pub fn forbidden(&self, why: impl std::fmt::Display) -> ApiError {
        ApiError::forbidden(self.kind, self.shown_name(), why)
    }

    /// `request` of an expression, and of a webhook's review with the rest.
    pub fn request(&self, form: &Form) -> Value {
        let own = self.own_form();
        let user = &self.call.user;
        let mut info = json!({"username": user.name, "groups": user.groups});
        if !user.extra.is_empty() {
            info["extra"] = json!(user.extra);
        }
        if !user.uid.is_empty() {
            info["uid"] = user.uid.as_str().into();
        }
        let kind = |f: &Form| match &f.info {
            Some(info) => json!({"group": info.group, "version": info.version, "kind": info.kind}),
            None => self.other_kind(),
        };
        let resource = |f: &Form| json!({"group": f.group, "version": f.version, "resource": f.resource});
        let mut request = json!({
            "kind": kind(form), "resource": resource(form), "requestKind": kind(&own), "requestResource": resource(&own),
            "operation": self.operation, "userInfo": info, "dryRun": self.dry_run, "options": self.options,
        });
        for (field, value) in [
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
            ("name", &self.name),
            ("namespace", &self.namespace),
        ] {
            if !value.is_empty() {
                request[field] = value.into();
            }
        }
        request
    }

    /// The kind that a subresource has for itself, such as `Scale`.
    fn other_kind(&self) -> Value {
        self.own_kind().map_or(
            Value::Null,
            |s| json!({"group": s.group, "version": s.version, "kind": s.kind}),
        )
    }

    /// Object and old object in another version of the resource.
    pub async fn objects(&self, api: &Api, form: &Form) -> Result<(Value, Value)> {
        let Some(to) = form.info.filter(|to| !std::ptr::eq(*to, self.kind)) else {
            return Ok((self.object.clone(), self.old.clone()));
        };
        let turned = async |object: &Value| match object {
            Value::Null => Ok(Value::Null),
            object => api.in_version(self.kind, to, object).await,
        };
        Ok((turned(&self.object).await?, turned(&self.old).await?))
    }

    /// What `authorizer.requestResource` asks.
    pub fn question(&self) -> Question {
        Question {
            group: self.kind.group.to_owned(),
            resource: self.kind.plural.to_owned(),
            subresource: self.subresource.to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            ..Question::default()
        }
    }

    /// Whether this is about what admission itself is made of, which no hook is asked about
    /// (`webhook/predicates/rules/rules.go` IsExemptAdmissionConfigurationResource).
    pub fn is_exempt(&self) -> bool {
        self.kind.group == "admissionregistration.k8s.io"
    }
}

/// A kind as a form.
fn form_of(kind: &'static KindInfo) -> Form {
    Form {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        resource: kind.plural.to_owned(),
        info: Some(kind),
    }
}

fn options(call: &Call, operation: &str) -> Value {
    let kind = match (operation, call.route.verb) {
        ("CREATE", _) => "CreateOptions",
        ("UPDATE", "patch") => "PatchOptions",
        ("UPDATE", _) => "UpdateOptions",
        ("DELETE", _) => "DeleteOptions",
        _ => return Value::Null,
    };
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    for field in ["fieldManager", "fieldValidation", "propagationPolicy"] {
        if let Some(value) = call.query.get(field) {
            options[field] = value.into();
        }
    }
    if let Some(value) = call.query.get("dryRun") {
        options["dryRun"] = json!([value]);
    }
    if call.query.get("force").is_some() && kind == "PatchOptions" {
        options["force"] = call.query.truth("force").into();
    }
    options
}

impl Api {
    /// An object of one version of a resource in another.
    pub async fn in_version(
        &self,
        from: &'static KindInfo,
        to: &'static KindInfo,
        object: &Value,
    ) -> Result<Value> {
        if custom::is(from) {
            return self.turned_value(from, to, object).await;
        }
        let mut stored = object.clone();
        if convert::needed(from) {
            convert::to_stored(from, &mut stored);
        }
        Ok(match convert::from_stored(to, &stored) {
            Cow::Borrowed(_) => stored,
            Cow::Owned(turned) => turned,
        })
    }
}
