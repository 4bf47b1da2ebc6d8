//! The Kubernetes OpenAPI data and what is derived from it; pure.
use serde_json::Value;

mod kinds;
mod table;
mod types;

pub use kinds::{KindInfo, Subresource, by_kind, by_resource, kinds};
pub use types::{Definition, Field, ListKind, Scalar, Shape, Type, type_of};

/// What is wrong with an object that does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// The message as upstream words it, such as `json: cannot unmarshal string into Go struct field …`.
    pub message: String,
}

/// Fill in every default that upstream would (`SetDefaults_*` and `+default`), in place. `definition` is an OpenAPI
/// definition name; idempotent.
pub fn set_defaults(_definition: &str, _object: &mut Value) {}

/// Unknown fields, as upstream words them: `unknown field "spec.containers[0].imagee"`, in document order.
pub fn unknown_fields(_definition: &str, _object: &Value) -> Vec<String> {
    Vec::new()
}

/// Drop unknown fields and null values that Go's decoder would not keep; fail where a value has the wrong JSON type.
pub fn normalise(_definition: &str, _object: &mut Value) -> Result<(), DecodeError> {
    Ok(())
}

/// A Kubernetes protobuf body (with the `k8s\0` magic) to the JSON object it stands for, apiVersion and kind included.
pub fn decode_protobuf(_bytes: &[u8]) -> Result<Value, DecodeError> {
    Err(DecodeError { message: "protobuf is not supported yet".to_owned() })
}

/// JSON object to a Kubernetes protobuf body with the `k8s\0` magic. `None` when the kind has no protobuf form.
pub fn encode_protobuf(_object: &Value) -> Option<Vec<u8>> {
    None
}

/// The OpenAPI v3 document of a group version (`api/v1`, `apis/apps/v1`) as JSON text.
pub fn openapi_v3(_group_version_path: &str) -> Option<Vec<u8>> {
    None
}
