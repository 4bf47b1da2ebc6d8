//! The Kubernetes OpenAPI data and what is derived from it; pure.
use serde_json::Value;

mod decode;
mod defaults;
mod duplicates;
mod image;
mod kinds;
mod pod_defaults;
mod table;
mod types;

pub use decode::{DecodeError, normalise, unknown_fields};
pub use defaults::set_defaults;
pub use duplicates::duplicate_fields;
pub use kinds::{KindInfo, Subresource, by_kind, by_resource, kinds};
pub use types::{Definition, Field, ListKind, Scalar, Shape, Type, type_of};

/// A Kubernetes protobuf body (with the `k8s\0` magic) to the JSON object it stands for, apiVersion and kind included.
pub fn decode_protobuf(_bytes: &[u8]) -> Result<Value, DecodeError> {
    Err(DecodeError {
        message: "protobuf is not supported yet".to_owned(),
    })
}

/// JSON object to a Kubernetes protobuf body with the `k8s\0` magic. `None` when the kind has no protobuf form.
pub fn encode_protobuf(_object: &Value) -> Option<Vec<u8>> {
    None
}

/// The OpenAPI v3 document of a group version (`api/v1`, `apis/apps/v1`) as JSON text.
pub fn openapi_v3(_group_version_path: &str) -> Option<Vec<u8>> {
    None
}
