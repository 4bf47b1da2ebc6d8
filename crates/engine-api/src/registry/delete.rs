//! Deleting objects: grace, finalizers, preconditions (apiserver `registry/generic/registry/store.go`).
use std::sync::Arc;

use engine_store::{Precondition, Stored, WriteError};
use schema::KindInfo;
use serde_json::{Value, json};

use crate::{
    api::{Api, Call, storage_error},
    custom,
    json::{self, list, number, text},
    keys, options,
    query::Query,
    registry::{Output, body, meta, strategy, update::finished},
    status::{ApiError, Result},
    time,
};

/// `metav1.DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds that a pod may take.
    pub grace: Option<i64>,
    /// `Orphan`, `Background`, `Foreground`.
    pub propagation: Option<String>,
    /// Only if it has this uid.
    pub uid: Option<String>,
    /// Only if it has this resource version.
    pub version: Option<String>,
    /// What is only to be tried: `All`, or nothing.
    dry_run: Vec<String>,
    /// Whether the propagation is said in both ways.
    both: bool,
}

/// Make sure that a body is `DeleteOptions`, of whatever version.
fn decode(value: &mut Value) -> Result<()> {
    if let Some(why) = body::unreadable(value).or_else(|| body::bad_version(value)) {
        return Err(ApiError::bad_request(why));
    }
    let kind = text(value, "/kind");
    if !matches!(kind, "" | "DeleteOptions") {
        let version = match text(value, "/apiVersion") {
            "" => "meta.k8s.io/v1",
            version => version,
        };
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \
             \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    schema::normalise("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", value)
        .map_err(|e| ApiError::bad_request(e.message))
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

impl DeleteOptions {
    /// From the body, or from the parameters when there is none.
    pub fn of(call: &Call) -> Result<Self> {
        let options = if call.body.is_empty() {
            Self::from_query(&call.query)?
        } else {
            let mut value = body::parse(call)?;
            decode(&mut value)?;
            let mut options = Self::from_value(&value);
            // Upstream takes no notice of the parameters then, not even of this one: what was meant as a rehearsal should not delete.
            if options.dry_run.is_empty() {
                options.dry_run = call.query.all("dryRun");
            }
            options
        };
        options.valid()?;
        Ok(options)
    }

    /// Make sure that they can be heeded (apimachinery `meta/v1/validation` ValidateDeleteOptions).
    pub fn valid(&self) -> Result<()> {
        let mut causes = Vec::new();
        let mut invalid = |reason, message: String| {
            causes.push(validation::Cause {
                reason,
                field: "propagationPolicy".to_owned(),
                message,
            });
        };
        let known = ["Orphan", "Background", "Foreground"];
        if let Some(policy) = &self.propagation {
            if self.both {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                invalid(
                    "FieldValueInvalid",
                    format!("Invalid value: {policy:?}: {detail}"),
                );
            }
            if !known.contains(&policy.as_str()) {
                invalid(
                    "FieldValueNotSupported",
                    format!(
                        "Unsupported value: {policy:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                    ),
                );
            }
        }
        causes.extend(options::dry_run(&self.dry_run));
        if causes.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &causes))
    }

    /// Take over what the request around says of trying only (`pkg/registry/core/pod/storage/eviction.go` propagateDryRun).
    pub fn rehearse(&mut self, asked: Vec<String>) -> Result<()> {
        if self.dry_run.is_empty() {
            self.dry_run = asked;
        } else if !asked.is_empty() && asked != self.dry_run {
            let shown = |values: &[String]| values.join(" ");
            let (asked, own) = (shown(&asked), shown(&self.dry_run));
            let why = format!("Non-matching dry-run options in request and content: [{asked}] and [{own}]");
            return Err(ApiError::new(500, "", why));
        }
        Ok(())
    }

    /// Whether nothing is to be changed.
    pub fn is_dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    fn from_query(query: &Query) -> Result<Self> {
        let orphan = query
            .get("orphanDependents")
            .map(|o| if o == "false" { "Background" } else { "Orphan" });
        let grace = match query.get("gracePeriodSeconds") {
            None | Some("") => None,
            Some(text) => Some(text.parse().map_err(|_| {
                ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
            })?),
        };
        // apimachinery `meta/v1/conversion.go` Convert_url_Values_To_v1_DeleteOptions.
        let given = |name: &str| query.get(name).filter(|t| !t.is_empty()).map(str::to_owned);
        Ok(Self {
            grace,
            uid: given("uid"),
            version: given("resourceVersion"),
            propagation: query.get("propagationPolicy").or(orphan).map(str::to_owned),
            dry_run: query.all("dryRun"),
            both: query.get("propagationPolicy").is_some() && orphan.is_some(),
        })
    }

    /// From a decoded `DeleteOptions`.
    pub fn from_value(value: &Value) -> Self {
        // An empty one is one that no object has.
        let owned = |pointer: &str| Some(value.pointer(pointer)?.as_str()?.to_owned());
        let orphan = match value["orphanDependents"].as_bool() {
            Some(true) => Some("Orphan".to_owned()),
            Some(false) => Some("Background".to_owned()),
            None => None,
        };
        // An empty policy is one, and none that is known.
        let policy = value["propagationPolicy"].as_str().map(str::to_owned);
        Self {
            grace: number(value, "/gracePeriodSeconds"),
            both: policy.is_some() && orphan.is_some(),
            propagation: policy.or(orphan),
            uid: owned("/preconditions/uid"),
            version: owned("/preconditions/resourceVersion"),
            dry_run: list(value, "/dryRun")
                .iter()
                .map(|said| said.as_str().unwrap_or_default().to_owned())
                .collect(),
        }
    }

    /// Whether an object is the one that is meant.
    pub fn check(&self, kind: &KindInfo, name: &str, object: &Value) -> Result<()> {
        let (uid, version) = (
            text(object, "/metadata/uid"),
            text(object, "/metadata/resourceVersion"),
        );
        let why = match (&self.uid, &self.version) {
            (Some(wanted), _) if wanted != uid => format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). \
                 The object might have been deleted and then recreated"
            ),
            (_, Some(wanted)) if wanted != version => format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified"
            ),
            _ => return Ok(()),
        };
        // Unlike other conflicts this one names the kind (apiserver `storage/etcd3/store.go`, through `InterpretDeleteError`).
        let qualified = if kind.group.is_empty() {
            kind.kind.to_owned()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let mut error = ApiError::conflict(kind, name, &why);
        error.message = format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}");
        if let Some(details) = &mut error.details {
            details["kind"] = kind.kind.into();
        }
        Err(error)
    }

    /// The finalizers that the object is to have (deletionFinalizersForGarbageCollection).
    fn finalizers(&self, kind: &KindInfo, object: &Value) -> Vec<Value> {
        let mut finalizers = list(object, "/metadata/finalizers").to_vec();
        let settled = finalizers.iter().any(|f| f == ORPHAN || f == FOREGROUND);
        let policy = match &self.propagation {
            Some(policy) => policy.as_str(),
            // What was asked for before stands.
            None if settled || !strategy::orphans_by_default(kind) => return finalizers,
            None => "Orphan",
        };
        finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
        match policy {
            "Orphan" => finalizers.push(ORPHAN.into()),
            "Foreground" => finalizers.push(FOREGROUND.into()),
            _ => {}
        }
        finalizers
    }
}

/// What a DELETE has done.
pub struct Deletion {
    /// The object as it was last.
    pub output: Output,
    /// Whether it is gone.
    pub gone: bool,
}

impl Deletion {
    /// The answer to the client.
    pub fn into_answer(self, kind: &KindInfo) -> Output {
        if !self.gone || strategy::returns_deleted(kind) {
            return self.output.in_version(kind);
        }
        let object = self.output.value();
        let mut details = json!({"name": object["metadata"]["name"], "kind": kind.plural, "uid": object["metadata"]["uid"]});
        if !kind.group.is_empty() {
            details["group"] = kind.group.into();
        }
        Output::made(
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        )
    }
}

impl Api {
    /// Delete one object.
    pub async fn delete(
        self: &Arc<Self>,
        kind: &'static KindInfo,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deletion> {
        let kind = crate::convert::stored(kind);
        if kind.plural == "namespaces"
            && !custom::is(kind)
            && matches!(
                name,
                "default" | "kube-system" | "kube-public" | "kube-node-lease"
            )
        {
            return Err(ApiError::forbidden(
                kind,
                name,
                "this namespace may not be deleted",
            ));
        }
        // Those that upstream makes itself (`pkg/registry/scheduling/priorityclass/storage/storage.go`).
        if kind.plural == "priorityclasses"
            && !custom::is(kind)
            && matches!(name, "system-node-critical" | "system-cluster-critical")
        {
            return Err(ApiError::forbidden(
                kind,
                name,
                "this is a system priority class and cannot be deleted",
            ));
        }
        let key = keys::key(kind, namespace, name);
        let mut marked: Option<Arc<Stored>> = None;
        loop {
            let found = self.fetch(kind, namespace, name);
            // Somebody else removed what was marked here.
            if let Some(last) = marked.take_if(|last| is_gone(last, found.as_ref().ok())) {
                return Ok(Deletion {
                    output: Output::Stored(last),
                    gone: true,
                });
            }
            let stored = found?;
            options.check(kind, name, &stored.value())?;
            let next = mark(kind, &stored.value(), options);
            let revision = Precondition::Revision(stored.revision);
            let written = match next {
                Next::Keep => {
                    return Ok(Deletion {
                        output: Output::Stored(stored),
                        gone: false,
                    });
                }
                Next::Remove(object) if options.is_dry_run() => {
                    return Ok(Deletion {
                        output: last_seen(kind, stored, object),
                        gone: true,
                    });
                }
                Next::Mark(object) if options.is_dry_run() => {
                    return Ok(Deletion {
                        output: Output::made(object),
                        gone: false,
                    });
                }
                Next::Remove(object) => self
                    .erase_marked(kind, &key, &stored, object, &mut marked)
                    .await
                    .map(|gone| (Output::Stored(gone), true)),
                Next::Mark(object) => {
                    let marked = self.write(kind, &key, object, revision).await;
                    marked.map(|stored| (Output::Stored(stored), false))
                }
            };
            match written {
                Ok((output, gone)) => return Ok(Deletion { output, gone }),
                // Somebody else wrote: look again.
                Err(WriteError::Conflict { .. } | WriteError::NotFound { .. }) => {}
                Err(other) => return Err(storage_error(&other)),
            }
        }
    }

    /// Who watches pods is told that one has no time left before it is gone (`updateForGracefulDeletionAndFinalizers`).
    async fn erase_marked(
        self: &Arc<Self>,
        kind: &'static KindInfo,
        key: &str,
        stored: &Arc<Stored>,
        object: Value,
        marked: &mut Option<Arc<Stored>>,
    ) -> std::result::Result<Arc<Stored>, WriteError> {
        let mut revision = stored.revision;
        if ends_gracefully(kind) && object != *stored.value() {
            let told = self
                .write(kind, key, object, Precondition::Revision(revision))
                .await?;
            revision = told.revision;
            *marked = Some(told);
        }
        self.erase(kind, key, Precondition::Revision(revision)).await
    }

    /// Delete what a list selects; yields the objects as they were listed (apiserver `registry/generic/registry/store.go` DeleteCollection).
    pub async fn delete_collection(
        self: &Arc<Self>,
        kind: &'static KindInfo,
        namespace: &str,
        found: Vec<Arc<Stored>>,
        options: &DeleteOptions,
    ) -> Result<Vec<Value>> {
        let mut listed = Vec::new();
        for stored in found {
            let value = stored.value();
            let own = text(&value, "/metadata/namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            match self
                .delete(kind, namespace, text(&value, "/metadata/name"), options)
                .await
            {
                Err(other) if other.code != 404 => return Err(other),
                _ => listed.push(Value::clone(&Output::Stored(stored).in_version(kind).value())),
            }
        }
        Ok(listed)
    }
}

/// What would be gone, as it was; only what ends gracefully is shown with its end.
fn last_seen(kind: &KindInfo, stored: Arc<Stored>, marked: Value) -> Output {
    if ends_gracefully(kind) {
        Output::made(marked)
    } else {
        Output::Stored(stored)
    }
}

/// Whether nothing is there any more, or another object of the same name.
fn is_gone(last: &Stored, found: Option<&Arc<Stored>>) -> bool {
    let uid = |stored: &Stored| text(&stored.value(), "/metadata/uid").to_owned();
    found.is_none_or(|found| uid(found) != uid(last))
}

fn ends_gracefully(kind: &KindInfo) -> bool {
    kind.plural == "pods" && !custom::is(kind)
}

enum Next {
    Keep,
    Mark(Value),
    Remove(Value),
}

/// What deleting does to an object.
fn mark(kind: &KindInfo, old: &Value, options: &DeleteOptions) -> Next {
    let mut new = old.clone();
    let built_in = !custom::is(kind);
    let finalizers = options.finalizers(kind, old);
    let graceful = ends_gracefully(kind);
    let grace = if graceful {
        strategy::pod_grace(old, options.grace)
    } else {
        0
    };
    if finalizers.is_empty() {
        json::remove(&mut new, &["metadata", "finalizers"]);
    } else {
        json::set(&mut new, &["metadata", "finalizers"], finalizers);
    }
    if meta::deleting(old) {
        // A second DELETE can only shorten (rest/delete.go BeforeDelete); without a wish of its own it changes nothing.
        let before = number(old, "/metadata/deletionGracePeriodSeconds").unwrap_or_default();
        if graceful && before > 0 && (options.grace.is_some() || grace == 0) && grace < before {
            json::set(&mut new, &["metadata", "deletionGracePeriodSeconds"], grace);
            json::set(
                &mut new,
                &["metadata", "deletionTimestamp"],
                shortened(old, before, grace),
            );
        }
    } else {
        json::set(&mut new, &["metadata", "deletionTimestamp"], time::later(grace));
        json::set(&mut new, &["metadata", "deletionGracePeriodSeconds"], grace);
        if kind.plural == "customresourcedefinitions" && built_in {
            json::remove(&mut new, &["metadata", "deletionGracePeriodSeconds"]);
            custom::begin_deletion(&mut new);
        } else if number(&new, "/metadata/generation").is_some() {
            meta::bump_generation(&mut new);
        }
    }
    if kind.plural == "namespaces" && built_in {
        json::remove(&mut new, &["metadata", "deletionGracePeriodSeconds"]);
        json::set(&mut new, &["status", "phase"], "Terminating");
    }
    if finished(kind, &new) {
        return Next::Remove(new);
    }
    if new == *old { Next::Keep } else { Next::Mark(new) }
}

/// A deletion time that counts the new grace from the same start as the old.
fn shortened(old: &Value, before: i64, grace: i64) -> String {
    let at: Option<jiff::Timestamp> = text(old, "/metadata/deletionTimestamp").parse().ok();
    match at.and_then(|at| {
        at.checked_sub(jiff::SignedDuration::from_secs(before - grace))
            .ok()
    }) {
        Some(at) => time::seconds(at),
        None => time::later(grace),
    }
}
