//! The Kubernetes OpenAPI data and what is derived from it; pure.
//!
//! One generated table (`data/`, made by `generate/generate.py`) holds every definition of the served kinds: fields, Go types,
//! pointers, list types, merge keys, protobuf numbers. It is inflated and parsed on first use, in about a millisecond, to about a
//! megabyte. Descriptions stay packed until an OpenAPI document is asked for. Their text is by the Kubernetes authors, Apache-2.0.
//!
//! A body on its way in: [`decode_protobuf`] or JSON, [`strict_errors`], [`normalise`], [`set_defaults`]; what admission or a
//! patch changed afterwards goes through the last two again. Both are idempotent.
//!
//! `definition` is everywhere an OpenAPI definition name such as `io.k8s.api.core.v1.Pod`; unknown ones are left alone.

mod core_defaults;
mod decode;
mod defaults;
mod empties;
mod extension_defaults;
mod image;
mod internal;
mod kinds;
mod openapi;
mod openapi_custom;
mod openapi_schemas;
mod openapi_v2;
mod openapi_v2_protobuf;
mod operations;
mod parameters;
mod pod_defaults;
mod protobuf;
mod strict;
mod table;
mod text;
mod types;
mod unified;
mod wire;
mod workload_defaults;
mod written;

pub use decode::{DecodeError, normalise, normalise_text, unknown_fields};
pub use defaults::set_defaults;
pub use empties::{empties, put_empties, without_empties};
pub use internal::{internal_compact, internal_diff, internal_json};
pub use kinds::{KindInfo, Subresource, by_kind, by_resource, kinds};
pub use openapi::{openapi_state, openapi_v3, openapi_v3_index, openapi_v3_paths};
pub use openapi_custom::{CustomKind, openapi_v3_custom};
pub use openapi_v2::{OpenApiForm, openapi_v2};
pub use protobuf::{ProtobufList, decode_protobuf, encode_protobuf, is_registered, protobuf_event};
pub use strict::{duplicate_fields, strict_errors};
pub use types::{Definition, Field, ListKind, Scalar, Shape, Type, type_of};

/// The version of Kubernetes that the data describes.
pub const VERSION: &str = "1.36";
