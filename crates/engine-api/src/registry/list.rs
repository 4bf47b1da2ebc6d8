//! Lists: which objects, of which revision.
use std::{sync::Arc, time::Duration};

use engine_store::Stored;
use schema::KindInfo;

use crate::{
    api::{Api, Call},
    convert, keys,
    registry::continuation::Continuation,
    selector::Selection,
    status::{ApiError, Result},
};

/// What a client is told whose page has become too old (apiserver `storage/etcd3/errors.go`).
const INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
                            the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
                            Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
                            deleted between the time the first chunk was returned and now may show up in the list.";

/// How long a request waits for a revision that has not come yet.
const BLOCKED: Duration = Duration::from_secs(3);

/// A page of objects, in the stored version.
pub struct Page {
    /// The revision of the list.
    pub revision: u64,
    /// The objects.
    pub items: Vec<Arc<Stored>>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// How many are left, when that is known.
    pub remaining: Option<usize>,
}

impl Api {
    /// The objects that a list or deletecollection selects.
    pub fn page(&self, call: &Call, kind: &'static KindInfo) -> Result<Page> {
        check_parameters(call)?;
        let selection = Selection::of(call, kind)?;
        let stored_kind = convert::stored(kind);
        let prefix = keys::prefix(
            stored_kind,
            if kind.namespaced {
                &call.route.namespace
            } else {
                ""
            },
        );
        let token = call.query.get("continue").map(Continuation::decode).transpose()?;
        let raw = call.query.get("resourceVersion");
        if token.is_some() && raw.is_some_and(|raw| raw != "0") {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let version = raw.map(parse_version).transpose()?;
        let matching = call.query.get("resourceVersionMatch");
        // Upstream's cache, which answers for version 0, knows no limit (apiserver `storage/cacher/cacher.go` GetList).
        let limit = call
            .query
            .number("limit")
            .filter(|limit| *limit > 0 && version != Some(0))
            .map_or(usize::MAX, |limit| limit as usize);

        let snapshot = match &token {
            Some(Continuation {
                revision: Some(revision),
                start,
            }) => self.store.list_at(&prefix, *revision).map_err(|_| ApiError {
                next: Continuation {
                    revision: None,
                    start: start.clone(),
                }
                .encode()
                .into(),
                ..ApiError::expired(INCONSISTENT)
            })?,
            Some(_) => self.store.list(&prefix),
            None => {
                let wanted = version.unwrap_or_default();
                let current = self.store.revision();
                if wanted > current {
                    return Err(too_large(wanted, current));
                }
                // A page of what was then, of old (apiserver `storage/interfaces.go` ValidateListOptions).
                let page = matching.is_none() && wanted > 0 && limit != usize::MAX;
                if matching == Some("Exact") || page {
                    self.store.list_at(&prefix, wanted).map_err(|_| {
                        ApiError::expired("The resourceVersion for the provided list is too old.")
                    })?
                } else {
                    self.store.list(&prefix)
                }
            }
        };
        let start = match &token {
            Some(at) => {
                let from = format!("{prefix}{}", at.start);
                snapshot.items.partition_point(|o| *o.key < *from)
            }
            None => 0,
        };
        let mut items = Vec::new();
        let mut rest = snapshot.items[start..].iter();
        let mut next = None;
        for object in rest.by_ref() {
            if !selection.matches(object) {
                continue;
            }
            items.push(object.clone());
            if items.len() == limit {
                let key = object.key.strip_prefix(&*prefix).unwrap_or_default();
                next = Some(Continuation::after(snapshot.revision, key));
                break;
            }
        }
        // A full page at the very end has no next one; whether one of the others will be selected is not looked at.
        let left = rest.as_slice();
        let more = next.is_some() && !left.is_empty();
        Ok(Page {
            revision: snapshot.revision,
            items,
            remaining: (more && selection.is_everything()).then_some(left.len()),
            next: next.filter(|_| more).map(|n| n.encode()),
        })
    }
}

impl Api {
    /// Wait for a revision to come, as long as upstream's cache does (apiserver `storage/cacher/watch_cache.go` blockTimeout).
    pub async fn reached(&self, wanted: u64) -> Result<()> {
        let current = self.store.revision();
        if wanted <= current {
            return Ok(());
        }
        // Whatever is written moves the revision.
        if let Ok(mut writes) = self.store.watch("", current) {
            let reached = async {
                while self.store.revision() < wanted && matches!(writes.next().await, Some(Ok(_))) {}
            };
            let _ = tokio::time::timeout(BLOCKED, reached).await;
        }
        let current = self.store.revision();
        if wanted > current {
            return Err(too_large(wanted, current));
        }
        Ok(())
    }

    /// The same for whoever reads an object or a list as of a revision.
    pub async fn fresh_enough(&self, call: &Call) -> Result<()> {
        let wanted = call.query.get("resourceVersion").and_then(|raw| raw.parse().ok());
        let exact = call.query.get("resourceVersionMatch") == Some("Exact");
        if route_is_list(call) {
            check_parameters(call)?;
        }
        match wanted.filter(|_| !exact) {
            Some(wanted) => self.reached(wanted).await,
            None => Ok(()),
        }
    }
}

fn route_is_list(call: &Call) -> bool {
    matches!(call.route.verb, "list" | "deletecollection")
}

/// A single object may be asked for as of a revision, too, and is always given as it is now.
pub fn check_single(call: &Call) -> Result<()> {
    match call.query.get("resourceVersion") {
        Some(raw) if raw.parse::<u64>().is_err() => Err(ApiError::new(500, "", not_a_version(raw))),
        _ => Ok(()),
    }
}

fn parse_version(raw: &str) -> Result<u64> {
    raw.parse()
        .map_err(|_| ApiError::bad_request(format!("invalid resource version: {}", not_a_version(raw))))
}

/// What is wrong with a resource version that is no number.
pub fn not_a_version(raw: &str) -> String {
    format!("resourceVersion: Invalid value: {raw:?}: strconv.ParseUint: parsing {raw:?}: invalid syntax")
}

/// A revision that has not come yet (apiserver `storage/errors.go` NewTooLargeResourceVersionError).
pub fn too_large(wanted: u64, current: u64) -> ApiError {
    let message = format!("Too large resource version: {wanted}, current: {current}");
    ApiError {
        details: Some(serde_json::json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        })),
        ..ApiError::new(504, "Timeout", format!("Timeout: {message}"))
    }
}

/// The combinations that upstream refuses (apimachinery `internalversion/validation`), before anything else is looked at.
pub fn check_parameters(call: &Call) -> Result<()> {
    const MATCH: &str = "resourceVersionMatch";
    let mut causes = Vec::new();
    let mut refuse = |field: &str, reason, message: String| {
        causes.push(validation::Cause {
            reason,
            field: field.to_owned(),
            message,
        });
    };
    let forbidden = "FieldValueForbidden";
    let version = call.query.get("resourceVersion");
    if let Some(matching) = call.query.get(MATCH) {
        if version.is_none() {
            let why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
            refuse(MATCH, forbidden, why.to_owned());
        }
        if call.query.get("continue").is_some() {
            let why = "Forbidden: resourceVersionMatch is forbidden when continue is provided";
            refuse(MATCH, forbidden, why.to_owned());
        }
        match matching {
            "Exact" if version == Some("0") => refuse(
                MATCH,
                forbidden,
                "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"".to_owned(),
            ),
            "Exact" | "NotOlderThan" => {}
            other => refuse(
                MATCH,
                "FieldValueNotSupported",
                format!(
                    "Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""
                ),
            ),
        }
    }
    if call.query.get("sendInitialEvents").is_some() {
        let why = "Forbidden: sendInitialEvents is forbidden for list";
        refuse("sendInitialEvents", forbidden, why.to_owned());
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &causes))
    }
}
