//! Lists: which objects, of which revision.
use std::sync::Arc;

use engine_store::Stored;
use schema::KindInfo;

use crate::{
    api::{Api, Call},
    convert, keys,
    registry::continuation::Continuation,
    selector::Selection,
    status::{ApiError, Result},
};

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
        let selection = Selection::of(call, kind)?;
        if call.query.get("sendInitialEvents").is_some() {
            let cause = validation::Cause {
                reason: "FieldValueForbidden",
                field: "sendInitialEvents".to_owned(),
                message: "Forbidden: sendInitialEvents is forbidden for list".to_owned(),
            };
            return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &[cause]));
        }
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
        let version = call.query.get("resourceVersion").map(parse_version).transpose()?;
        let matching = call.query.get("resourceVersionMatch");
        check_parameters(token.as_ref(), version, matching)?;
        // Upstream's cache, which answers for version 0, knows no limit (apiserver `storage/cacher/cacher.go` GetList).
        let limit = call
            .query
            .number("limit")
            .filter(|limit| *limit > 0 && version != Some(0))
            .map_or(usize::MAX, |limit| limit as usize);

        let snapshot = match &token {
            Some(at) => self.store.list_at(&prefix, at.revision).map_err(|_| {
                ApiError::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a \
                     new list without the continue parameter.",
                )
            })?,
            None => {
                let wanted = version.unwrap_or_default();
                let current = self.store.revision();
                if wanted > current {
                    return Err(too_large(wanted, current));
                }
                if matching == Some("Exact") {
                    self.store.list_at(&prefix, wanted).map_err(|_| {
                        ApiError::expired("The resourceVersion for the provided list is too old.")
                    })?
                } else {
                    self.store.list(&prefix)
                }
            }
        };
        let start = match &token {
            Some(at) => snapshot.items.partition_point(|o| *o.key <= *at.after),
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
                next = Some(Continuation {
                    revision: snapshot.revision,
                    after: object.key.to_string(),
                });
                break;
            }
        }
        // A full page at the very end has no next one.
        let left = rest.as_slice();
        let more = left.iter().any(|o| selection.matches(o));
        Ok(Page {
            revision: snapshot.revision,
            items,
            remaining: (more && selection.is_everything()).then_some(left.len()),
            next: next.filter(|_| more).map(|n| n.encode()),
        })
    }
}

/// A single object may be asked for as of a revision, too, and is always given as it is now.
pub fn check_single(call: &Call, current: u64) -> Result<()> {
    let Some(raw) = call.query.get("resourceVersion").filter(|raw| !raw.is_empty()) else {
        return Ok(());
    };
    match raw.parse::<u64>() {
        Ok(wanted) if wanted > current => Err(too_large(wanted, current)),
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::new(500, "", not_a_version(raw))),
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

/// The combinations that upstream refuses (apimachinery `internalversion/validation`).
fn check_parameters(
    token: Option<&Continuation>,
    version: Option<u64>,
    matching: Option<&str>,
) -> Result<()> {
    let Some(matching) = matching else {
        if token.is_some() && version.is_some_and(|v| v > 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return Ok(());
    };
    let mut causes = Vec::new();
    let mut refuse = |reason, message: String| {
        causes.push(validation::Cause {
            reason,
            field: "resourceVersionMatch".to_owned(),
            message,
        });
    };
    let forbidden = "FieldValueForbidden";
    if version.is_none() {
        let why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
        refuse(forbidden, why.to_owned());
    }
    if token.is_some() {
        let why = "Forbidden: resourceVersionMatch is forbidden when continue is provided";
        refuse(forbidden, why.to_owned());
    }
    match matching {
        "Exact" if version == Some(0) => refuse(
            forbidden,
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"".to_owned(),
        ),
        "Exact" | "NotOlderThan" => {}
        other => refuse(
            "FieldValueNotSupported",
            format!("Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""),
        ),
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &causes))
    }
}
