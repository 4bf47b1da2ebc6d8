//! Table columns and cells as the upstream API server prints them (`meta.k8s.io/v1` Table); pure.
use serde_json::Value;

/// One column (`metav1.TableColumnDefinition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Column {
    /// Header, such as `Name`.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// OpenAPI format: `name` for the primary column, else empty.
    pub format: &'static str,
    /// What the column shows.
    pub description: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: i32,
}

/// The columns of a kind; unknown kinds get Name and Created At as upstream's default table does.
pub fn columns(_definition: &str) -> &'static [Column] {
    &[]
}

/// The cells of one object, in the order of [`columns`]. `now` is seconds since the epoch, for ages.
pub fn cells(_definition: &str, _object: &Value, _now: i64) -> Vec<Value> {
    Vec::new()
}
