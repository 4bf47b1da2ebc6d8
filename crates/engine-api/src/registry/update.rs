//! Updating objects: read, change, check, write if nothing was written meanwhile.
use std::sync::Arc;

use engine_store::{Precondition, Stored, WriteError};
use schema::KindInfo;
use serde_json::Value;
use validation::Cause;

use crate::{
    admission::{self, Asked},
    api::{Api, Call, storage_error},
    convert, custom,
    json::{self, list, number, text},
    keys,
    registry::{Output, Writer, addresses, body, meta, services, strategy},
    status::{ApiError, Result},
    subresources::scale::{replicas_of, scale_of},
};

/// Attempts of an update that does not name a resource version.
const ATTEMPTS: usize = 64;

/// How an update is tracked in managed fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// The writer owns what differs.
    Update,
    /// The same, by the subresource `scale`.
    Scale,
    /// The change of the scale did it already (apply).
    ScaleApplied,
    /// The change did it already (apply), or leaves ownership alone (binding).
    Done,
}

impl Api {
    /// `PUT` of a whole object, or of one of its subresources.
    pub async fn update_from_body(
        self: &Arc<Self>,
        call: &Call,
        kind: &'static KindInfo,
        subresource: &str,
    ) -> Result<(Output, bool)> {
        let name = call.route.name.as_str();
        let mut object = body::named(call, kind)?;
        let creates = subresource.is_empty() && strategy::put_creates(kind);
        if creates
            && self
                .store
                .get(&keys::key(kind, &call.route.namespace, name))
                .is_none()
        {
            json::remove(&mut object, &["metadata", "resourceVersion"]);
            return self.create(call, kind, object).await.map(|output| (output, true));
        }
        let version = text(&object, "/metadata/resourceVersion").to_owned();
        if matches!(version.as_str(), "" | "0") && !strategy::unconditional(kind) {
            let stored = convert::stored(kind);
            self.fetch(stored, &call.route.namespace, name)
                .map_err(|_| ApiError::not_found(kind, name))?;
            // Upstream's store knows no kind and names the resource (apiserver `registry/generic/registry/store.go`, Update).
            let cause = Cause {
                reason: "FieldValueInvalid",
                field: "metadata.resourceVersion".to_owned(),
                message: "Invalid value: 0: must be specified for an update".to_owned(),
            };
            return Err(ApiError::invalid(kind.group, kind.plural, name, &[cause]));
        }
        let change = |_: &Value| Ok(object.clone());
        self.change(call, kind, subresource, Tracking::Update, change)
            .await
            .map(|output| (output, false))
    }

    /// Change the object that the call names. `change` gets the object in the version of the request and returns it
    /// changed; it is asked again when somebody else wrote meanwhile, unless the result names a resource version of its own.
    pub async fn change(
        self: &Arc<Self>,
        call: &Call,
        kind: &'static KindInfo,
        subresource: &str,
        tracking: Tracking,
        mut change: impl FnMut(&Value) -> Result<Value>,
    ) -> Result<Output> {
        let (namespace, name) = (call.route.namespace.as_str(), call.route.name.as_str());
        let key = keys::key(kind, namespace, name);
        for attempt in 1.. {
            let stored = self.turned(kind, self.fetch(kind, namespace, name)?).await?;
            let value = stored.value();
            let current = convert::from_stored(kind, &value);
            let changed = change(&current)?;
            match self
                .replace(call, kind, subresource, tracking, &key, &stored, changed)
                .await
            {
                Err(Replace::Raced { pinned }) if pinned || attempt >= ATTEMPTS => {
                    return Err(ApiError::modified(kind, name));
                }
                Err(Replace::Raced { .. }) => {}
                Err(Replace::Failed(error)) => return Err(error),
                Ok(output) => return Ok(output.in_version(kind)),
            }
        }
        Err(ApiError::internal("no attempt was made"))
    }

    /// One attempt: `new` is in the version of the request.
    #[allow(
        clippy::too_many_arguments,
        reason = "one caller; each is another part of the attempt"
    )]
    async fn replace(
        self: &Arc<Self>,
        call: &Call,
        request_kind: &'static KindInfo,
        subresource: &str,
        tracking: Tracking,
        key: &str,
        stored: &Arc<Stored>,
        mut new: Value,
    ) -> Result<Output, Replace> {
        let name = call.route.name.as_str();
        let old = &*stored.value();
        let old_version = text(old, "/metadata/resourceVersion");
        let version = text(&new, "/metadata/resourceVersion");
        // Patches carry the version they were made from; only another one is the client's own wish.
        let pinned =
            !version.is_empty() && version != "0" && (call.route.verb == "update" || version != old_version);
        if pinned && version.parse::<u64>().is_err() {
            let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
            return Err(ApiError::new(500, "", why).into());
        }
        if pinned && version != old_version {
            return Err(ApiError::modified(request_kind, name).into());
        }
        let (uid, old_uid) = (text(&new, "/metadata/uid"), text(old, "/metadata/uid"));
        // What a patch makes of it is for validation to refuse.
        if !uid.is_empty() && uid != old_uid && call.route.verb == "update" {
            return Err(keys::unmet(call, request_kind, name, &keys::other_uid(uid, old_uid)).into());
        }
        json::set(&mut new, &["metadata", "resourceVersion"], old_version);

        let current = convert::from_stored(request_kind, old);
        // Nodes are looked at before anything is put back.
        let by_node = admission::Request {
            operation: "UPDATE",
            kind: request_kind,
            subresource,
            namespace: &call.route.namespace,
            name,
            new: &new,
            old: &current,
        };
        admission::restrict(self, call, &by_node)?;
        // Endpoints that take a part only give their writers what is dropped, too (their storages tell of no fields to reset, 1.36.2).
        let takes_a_part = matches!(subresource, "ephemeralcontainers" | "resize");
        if !takes_a_part {
            strategy::before_update(request_kind, subresource, &mut new, &current);
        }
        let by = if matches!(tracking, Tracking::Scale | Tracking::ScaleApplied) {
            "scale"
        } else {
            subresource
        };
        let writer = Writer::of(call, request_kind, by);
        match tracking {
            Tracking::Update => custom::with_typing(request_kind, |typing| {
                ::patch::track_update(typing, Some(&current), &mut new, &writer.manager());
            }),
            Tracking::Scale => {
                let path = replicas_of(request_kind);
                let path: Vec<&str> = path.split('/').skip(1).collect();
                ::patch::track_scale(&current, &mut new, &path, &writer.manager());
            }
            Tracking::ScaleApplied | Tracking::Done => {}
        }
        if takes_a_part {
            strategy::before_update(request_kind, subresource, &mut new, &current);
        }
        let (kind, mut new) = body::to_stored(request_kind, new);
        admission::mutate_update(self, kind, by, &mut new, old)?;
        // Whoever binds is asked about the binding.
        let asks = by != "binding";
        let shown = |object: &Value| match by {
            "scale" => scale_of(request_kind, object),
            _ => convert::from_stored(request_kind, object).into_owned(),
        };
        let asked = |new: &Value| Asked::of(call, "UPDATE", request_kind, shown(new), shown(old));
        if asks
            && by != "scale"
            && let Some(changed) = admission::mutate(self, || asked(&new)).await?
        {
            new = body::to_stored(request_kind, changed).1;
            meta::keep_old(&mut new, old);
            json::set(&mut new, &["metadata", "resourceVersion"], old_version);
            if takes_a_part {
                strategy::before_update(kind, subresource, &mut new, old);
            }
            admission::mutate_update(self, kind, by, &mut new, old)?;
        }
        let mut services = if kind.plural == "services" && !custom::is(kind) {
            Some(self.services.lock().await)
        } else {
            None
        };
        if services.is_some() && subresource.is_empty() {
            services::carry_over(&mut new, old);
        }
        strategy::prepare_update(kind, subresource, &mut new, old);
        let said = strategy::tells_empty(kind).filter(|_| subresource.is_empty());
        let counted = number(&new, "/metadata/generation") != number(old, "/metadata/generation");
        if !counted && said.is_some_and(|at| call.says_empty(at, &new)) {
            meta::bump_generation(&mut new);
        }
        let causes = match subresource {
            // Checked by whoever binds; the pod's own rules forbid just this change.
            "binding" => Vec::new(),
            _ => match custom::of(request_kind) {
                Some(custom) => custom::causes(call, &custom, Some(old), &new),
                None => {
                    let check = |new: &Value| {
                        validation::validate_update(request_kind.definition, subresource, old, new)
                    };
                    let mut causes = call.shown(request_kind, check(&new), &new, check);
                    if subresource.is_empty() {
                        admission::add_causes(&mut causes, kind, Some(old), &new);
                        causes.extend(custom::rule_causes(kind, Some(old), &new));
                    }
                    causes
                }
            },
        };
        if !causes.is_empty() {
            return Err(ApiError::invalid_kind(kind, name, &causes).into());
        }
        if subresource.is_empty() {
            for warning in validation::warnings(kind.definition, Some(old), &new) {
                call.warn(warning);
            }
        }
        admission::validate_update(self, call, kind, by, &new, old)?;
        if asks && !self.dynamic.is_idle() {
            // Nobody who is asked may be kept waiting by who asks.
            let was_held = services.take().is_some();
            admission::validate(self, || asked(&new)).await?;
            if was_held {
                services = Some(self.services.lock().await);
            }
        }
        if services.is_some() && subresource.is_empty() {
            services::allocate(self, &mut new, Some(old), call.dry_run())?;
        }
        Self::check_storable(&new)?;
        if call.dry_run() {
            return Ok(Output::made(new));
        }
        if finished(kind, &new) {
            return match self
                .erase(kind, key, Precondition::Revision(stored.revision))
                .await
            {
                Ok(_) => Ok(Output::made(new)),
                Err(error) => Err(Replace::from_write(error, pinned)),
            };
        }
        if new == *old {
            return Ok(Output::Stored(stored.clone()));
        }
        let new = self.for_storage(kind, new).await?;
        let allocated = match services {
            Some(_) => addresses::take(self, &new, Some(old)).await?,
            None => Vec::new(),
        };
        match self
            .write(kind, key, new, Precondition::Revision(stored.revision))
            .await
        {
            Ok(written) => {
                if services.is_some() {
                    addresses::release_left(self, Some(&written.value()), old).await;
                }
                Ok(Output::Stored(self.turned(kind, written).await?))
            }
            Err(error) => {
                addresses::release(self, &allocated).await;
                Err(Replace::from_write(error, pinned))
            }
        }
    }
}

/// Whether an object that is being deleted has nothing left to wait for.
pub fn finished(kind: &KindInfo, object: &Value) -> bool {
    meta::deleting(object)
        && list(object, "/metadata/finalizers").is_empty()
        && number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or_default() == 0
        && (kind.plural != "namespaces" || custom::is(kind) || list(object, "/spec/finalizers").is_empty())
}

/// How an attempt failed.
pub enum Replace {
    /// Somebody else wrote first. `pinned`: the client insists on the version it saw.
    Raced { pinned: bool },
    /// For good.
    Failed(ApiError),
}

impl From<ApiError> for Replace {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl Replace {
    fn from_write(error: WriteError, pinned: bool) -> Self {
        match error {
            // Gone in the meantime: the next attempt answers 404.
            WriteError::Conflict { .. } | WriteError::NotFound { .. } | WriteError::Exists { .. } => {
                Self::Raced { pinned }
            }
            other => Self::Failed(storage_error(&other)),
        }
    }
}
