//! Creating objects.
use std::sync::Arc;

use engine_store::{Precondition, WriteError};
use schema::KindInfo;
use serde_json::Value;

use crate::{
    admission::{self, Asked},
    api::{Api, Call, storage_error},
    convert, custom,
    json::{self, text},
    keys,
    registry::{Output, Writer, addresses, body, meta, services, strategy},
    status::{ApiError, Result},
};

/// Generated names collide so rarely that this many attempts are plenty (apiserver `registry.go` maxNameGenerationCreateAttempts).
const NAME_ATTEMPTS: usize = 8;

/// What stock kubectl shows to whoever creates something that nobody here acts upon.
fn without_effect(kind: &KindInfo) -> Option<&'static str> {
    if custom::is(kind) {
        return None;
    }
    Some(match kind.plural {
        "networkpolicies" => {
            "this cluster keeps NetworkPolicies but does not enforce them: all traffic between pods stays allowed"
        }
        "flowschemas" | "prioritylevelconfigurations" => {
            "this cluster keeps flow schemas and priority levels but does not queue requests by them"
        }
        "deviceclasses" | "resourceclaims" | "resourceclaimtemplates" | "resourceslices" => {
            "this cluster keeps objects of resource.k8s.io but does not allocate devices"
        }
        _ => return None,
    })
}

impl Api {
    /// `POST` of a whole object.
    pub async fn create_from_body(self: &Arc<Self>, call: &Call, kind: &'static KindInfo) -> Result<Output> {
        let object = body::decode(call, kind, kind.definition)?;
        self.create(call, kind, object).await
    }

    /// Create a decoded and defaulted object.
    pub async fn create(
        self: &Arc<Self>,
        call: &Call,
        kind: &'static KindInfo,
        mut object: Value,
    ) -> Result<Output> {
        let request_kind = kind;
        let namespace = call.route.namespace.as_str();
        if kind.namespaced && namespace.is_empty() {
            return Err(ApiError::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
        body::place(kind, namespace, &mut object)?;
        let shares_labels = strategy::left_labels_out(kind, &mut object);
        strategy::before_create(kind, &mut object);
        if let Some(warning) = without_effect(kind) {
            call.warn(warning);
        }
        // Only who really stores it minds (apiserver `storage/etcd3/store.go` Create), and only a number; apply has forgotten it by then.
        let versioned = json::remove(&mut object, &["metadata", "resourceVersion"])
            .and_then(|version| version.as_str()?.parse::<u64>().ok())
            .is_some_and(|version| version != 0 && call.route.verb != "patch");
        // What is the server's to say is nobody's (apiserver `registry/rest/meta.go` WipeObjectMetaSystemFields).
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            json::remove(&mut object, &["metadata", field]);
        }
        // Apply has worked out managed fields already.
        if call.route.verb != "patch" {
            json::remove(&mut object, &["metadata", "managedFields"]);
            let writer = Writer::of(call, kind, "");
            custom::with_typing(kind, |typing| {
                ::patch::track_update(typing, None, &mut object, &writer.manager());
            });
        }
        let (kind, mut object) = body::to_stored(kind, object);
        let generated =
            text(&object, "/metadata/name").is_empty() && !text(&object, "/metadata/generateName").is_empty();
        admission::mutate_create(self, call, kind, &mut object).await?;
        let shown = |object: &Value| convert::from_stored(request_kind, object).into_owned();
        let asked = || Asked::of(call, "CREATE", request_kind, shown(&object), Value::Null);
        if let Some(changed) = admission::mutate(self, asked).await? {
            let (_, changed) = body::to_stored(request_kind, changed);
            if changed != object {
                object = changed;
                body::place(kind, namespace, &mut object)?;
                // What webhooks have brought wants what all such objects get.
                admission::mutate_create(self, call, kind, &mut object).await?;
            }
        }
        let shares_labels =
            shares_labels && object["metadata"]["labels"] == object["spec"]["template"]["metadata"]["labels"];
        meta::fill_new(&mut object, strategy::counts_generations(kind));
        for attempt in 1.. {
            let mut candidate = object.clone();
            if generated {
                name_it(&mut candidate);
            }
            strategy::prepare_create(kind, &mut candidate);
            if shares_labels {
                strategy::share_labels(&mut candidate);
            }
            let name = text(&candidate, "/metadata/name").to_owned();
            let causes = match custom::of(request_kind) {
                Some(custom) => custom::causes(call, &custom, None, &candidate),
                None => {
                    let mut causes: Vec<_> = admission::administration(self, request_kind.kind, &candidate)
                        .into_iter()
                        .collect();
                    let check = |object: &Value| validation::validate_create(request_kind.definition, object);
                    causes.extend(call.shown(request_kind, check(&candidate), &candidate, check));
                    admission::add_causes(&mut causes, request_kind, None, &candidate);
                    causes.extend(custom::rule_causes(request_kind, None, &candidate));
                    causes
                }
            };
            let mut causes = causes;
            if let Some(cause) = admission::unreadable(request_kind, &candidate) {
                // Where upstream looks at it: after the metadata.
                let at = causes.iter().position(|c| !c.field.starts_with("metadata"));
                causes.insert(at.unwrap_or(causes.len()), cause);
            }
            if !causes.is_empty() {
                return Err(ApiError::invalid_kind(kind, &name, &causes));
            }
            for warning in validation::warnings(kind.definition, None, &candidate) {
                call.warn(warning);
            }
            admission::validate_create(self, call, kind, &candidate)?;
            // Before any lock is taken: webhooks may write.
            admission::validate(self, || {
                Asked::of(call, "CREATE", request_kind, shown(&candidate), Value::Null)
            })
            .await?;
            match self
                .store_new(call, [request_kind, kind], &name, candidate, versioned)
                .await
            {
                Err(error) if error.reason == "AlreadyExists" && generated && attempt < NAME_ATTEMPTS => {}
                done => return done.map(|output| output.in_version(request_kind)),
            }
        }
        Err(ApiError::internal("no attempt was made"))
    }

    async fn store_new(
        self: &Arc<Self>,
        call: &Call,
        [request_kind, kind]: [&'static KindInfo; 2],
        name: &str,
        mut object: Value,
        versioned: bool,
    ) -> Result<Output> {
        if !call.dry_run() {
            object = self.for_storage(kind, object).await?;
        }
        // Both locks are held until the object is visible, so that the next request counts it.
        let is_service = kind.plural == "services" && !custom::is(kind);
        let _services = if is_service {
            Some(self.services.lock().await)
        } else {
            None
        };
        let _quotas = if admission::counted(self, kind, &call.route.namespace) {
            Some(self.quotas.lock().await)
        } else {
            None
        };
        if is_service {
            services::allocate(self, &mut object, None, call.dry_run())?;
        }
        let key = keys::key(kind, &call.route.namespace, name);
        let given = !text(&object, "/metadata/generateName").is_empty();
        let taken = |being_deleted| {
            let error = ApiError::already_exists(request_kind, name, being_deleted);
            if given { error.not_generated() } else { error }
        };
        // Looked for before quota, as upstream does not charge for what cannot be made.
        if let Some(existing) = self.store.get(&key) {
            return Err(taken(meta::deleting(&existing.value())));
        }
        Self::check_storable(&object)?;
        let charge = admission::check_quota(self, kind, &object)?;
        if call.dry_run() {
            return Ok(Output::made(object));
        }
        if versioned {
            // An error of upstream's store that nobody gives a reason (apiserver `storage/etcd3/store.go`).
            return Err(ApiError::new(
                500,
                "",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let allocated = if is_service {
            addresses::take(self, &object, None).await?
        } else {
            Vec::new()
        };
        // Before the object, as upstream: who sees it sees the charge.
        admission::charge(self, charge).await;
        let stored = match self.write(kind, &key, object, Precondition::Absent).await {
            Ok(stored) => stored,
            Err(error) => {
                addresses::release(self, &allocated).await;
                return Err(match error {
                    WriteError::Exists { .. } => {
                        taken(self.store.get(&key).is_some_and(|o| meta::deleting(&o.value())))
                    }
                    other => storage_error(&other),
                });
            }
        };
        Ok(Output::Stored(self.turned(kind, stored).await?))
    }
}

fn name_it(object: &mut Value) {
    let name = meta::generated_name(text(object, "/metadata/generateName"));
    json::set(object, &["metadata", "name"], name);
}
