//! Label and field selectors of requests.
use engine_store::Stored;
use kube_types::{FieldSelector, LabelSelector};
use schema::KindInfo;
use serde_json::Value;

use crate::{
    api::Call,
    registry::fields,
    status::{ApiError, Result},
};

/// What a list, watch or deletecollection selects.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// From the parameters; fields that the kind does not offer are refused.
    pub fn of(call: &Call, kind: &KindInfo) -> Result<Self> {
        let raw_labels = call.query.get("labelSelector").unwrap_or_default();
        let raw_fields = call.query.get("fieldSelector").unwrap_or_default();
        let labels: LabelSelector = raw_labels
            .parse()
            .map_err(|e| ApiError::bad_request(format!("{e}")))?;
        let mut fields: FieldSelector = raw_fields
            .parse()
            .map_err(|e| ApiError::bad_request(format!("{e}")))?;
        let known = fields::extra(kind);
        for requirement in fields.requirements() {
            let field = requirement.field.as_str();
            if field != "metadata.name" && field != "metadata.namespace" && !known.contains(&field) {
                return Err(ApiError::bad_request(fields::refusal(kind, field)));
            }
        }
        // `GET /api/v1/watch/…/name`: who may see this one may not see another (apiserver `endpoints/handlers/get.go`).
        if call.route.verb == "watch" && !call.route.name.is_empty() {
            if fields.is_everything() {
                let own = format!("metadata.name={}", call.route.name);
                fields = own.parse().map_err(|e| ApiError::bad_request(format!("{e}")))?;
            } else if fields.exact("metadata.name") != Some(call.route.name.as_str()) {
                return Err(ApiError::bad_request(
                    "fieldSelector metadata.name doesn't match requested name",
                ));
            }
        }
        Ok(Self { labels, fields })
    }

    /// Whether a stored object is selected. Its tree is not asked for where everything is.
    pub fn matches(&self, stored: &Stored) -> bool {
        self.is_everything() || self.matches_object(&stored.value())
    }

    fn matches_object(&self, object: &Value) -> bool {
        self.labels.matches_object(object)
            && self
                .fields
                .requirements()
                .iter()
                .all(|r| (fields::value(object, &r.field) == r.value) == r.equal)
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }
}

/// Whether a `metav1.LabelSelector` selects this object; one that does not parse selects nothing.
pub fn labels_match(selector: &Value, object: &Value) -> bool {
    LabelSelector::from_object(selector).is_ok_and(|s| s.matches_object(object))
}
