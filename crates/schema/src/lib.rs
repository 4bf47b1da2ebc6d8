//! The Kubernetes OpenAPI data and what is derived from it; pure.

mod decode;
mod defaults;
mod duplicates;
mod image;
mod kinds;
mod openapi;
mod pod_defaults;
mod protobuf;
mod table;
mod types;
mod wire;

pub use decode::{DecodeError, normalise, unknown_fields};
pub use defaults::set_defaults;
pub use duplicates::duplicate_fields;
pub use kinds::{KindInfo, Subresource, by_kind, by_resource, kinds};
pub use openapi::{openapi_v3, openapi_v3_index, openapi_v3_paths};
pub use protobuf::{decode_protobuf, encode_protobuf};
pub use types::{Definition, Field, ListKind, Scalar, Shape, Type, type_of};

/// The version of Kubernetes that the data describes.
pub const VERSION: &str = "v1.36.0";
