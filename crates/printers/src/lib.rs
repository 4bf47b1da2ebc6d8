//! Table columns and cells as the upstream API server prints them (`meta.k8s.io/v1` Table); pure.
//!
//! One function a kind, after what upstream's `pkg/printers/internalversion/printers.go` (v1.36) shows for it.
mod cell;
mod descriptions;
mod kinds;
mod labels;
mod pod;

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

/// How a kind is printed.
struct Printer {
    columns: &'static [Column],
    cells: fn(&Value, i64) -> Vec<Value>,
}

/// The columns of a kind; unknown kinds get Name and Created At as upstream's default table does.
pub fn columns(definition: &str) -> &'static [Column] {
    descriptions::described(definition).unwrap_or_else(|| kinds::printer(definition).columns)
}

/// The cells of one object, in the order of [`columns`]. `now` is seconds since the epoch, for ages.
pub fn cells(definition: &str, object: &Value, now: i64) -> Vec<Value> {
    (kinds::printer(definition).cells)(object, now)
}

#[cfg(test)]
mod tests;
