//! The Kubernetes OpenAPI data and what is derived from it; pure.

mod core_defaults;
mod decode;
mod defaults;

mod image;
mod kinds;
mod openapi;
mod openapi_paths;
mod pod_defaults;
mod protobuf;
mod strict;
mod table;
mod types;
mod wire;
mod workload_defaults;

pub use decode::{DecodeError, normalise, unknown_fields};
pub use defaults::set_defaults;

pub use kinds::{KindInfo, Subresource, by_kind, by_resource, kinds};
pub use openapi::{openapi_v3, openapi_v3_index, openapi_v3_paths};
pub use protobuf::{decode_protobuf, encode_protobuf};
pub use strict::{duplicate_fields, strict_errors};
pub use types::{Definition, Field, ListKind, Scalar, Shape, Type, type_of};

/// The version of Kubernetes that the data describes.
pub const VERSION: &str = "v1.36.0";
