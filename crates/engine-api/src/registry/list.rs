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
        let limit = call
            .query
            .number("limit")
            .filter(|l| *l > 0)
            .map_or(usize::MAX, |l| l as usize);
        let token = call.query.get("continue").map(Continuation::decode).transpose()?;
        let version = call.query.get("resourceVersion").map(parse_version).transpose()?;
        let matching = call.query.get("resourceVersionMatch");
        check_parameters(token.as_ref(), version, matching)?;

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
    let refuse = |reason, message: &str| {
        let cause = validation::Cause {
            reason,
            field: "resourceVersionMatch".to_owned(),
            message: message.to_owned(),
        };
        Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &[cause]))
    };
    let Some(matching) = matching else {
        if token.is_some() && version.is_some_and(|v| v > 0) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return Ok(());
    };
    if version.is_none() {
        return refuse(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        );
    }
    if token.is_some() {
        return refuse(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch is forbidden when continue is provided",
        );
    }
    match matching {
        "Exact" if version == Some(0) => refuse(
            "FieldValueForbidden",
            "Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        "Exact" | "NotOlderThan" => Ok(()),
        other => refuse(
            "FieldValueNotSupported",
            &format!("Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\", \"\""),
        ),
    }
}
