//! Reading and writing objects: the steps that all kinds share (apiserver `registry/generic/registry/store.go`), and what
//! differs from kind to kind.
use std::sync::Arc;

use engine_store::Stored;
use schema::KindInfo;
use serde_json::Value;

use crate::{api::Call, convert};

pub mod addresses;
pub mod body;
pub mod continuation;
pub mod create;
mod data_sources;
pub mod delete;
pub mod fields;
mod gates;
pub mod label_keys;
pub mod list;
pub mod meta;
pub mod patch;
mod ranges;
pub mod resize;
pub mod services;
pub mod strategy;
pub mod update;
mod versions;

/// An object to answer with: as stored, or made for this answer (a dry run, a converted object).
#[derive(Debug, Clone)]
pub enum Output {
    /// As stored: its JSON text is shared.
    Stored(Arc<Stored>),
    /// Made for this answer.
    Made(Arc<Value>),
}

impl Output {
    /// Made for an answer.
    pub fn made(value: Value) -> Self {
        Self::Made(Arc::new(value))
    }

    /// The object, in the stored version.
    pub fn value(&self) -> Arc<Value> {
        match self {
            Self::Stored(stored) => stored.value(),
            Self::Made(value) => value.clone(),
        }
    }

    /// The object in the version of the request.
    pub fn in_version(self, kind: &KindInfo) -> Self {
        if convert::needed(kind) {
            Self::made(convert::from_stored(kind, &self.value()).into_owned())
        } else {
            self
        }
    }
}

/// Whom to write in managed fields.
pub struct Writer {
    manager: String,
    api_version: String,
    subresource: String,
    time: String,
}

impl Writer {
    /// The writer of a request.
    pub fn of(call: &Call, kind: &KindInfo, subresource: &str) -> Self {
        Self {
            manager: call.manager(),
            api_version: kind.api_version(),
            subresource: subresource.to_owned(),
            time: crate::time::now(),
        }
    }

    /// As the patch crate wants it.
    pub fn manager(&self) -> ::patch::Manager<'_> {
        ::patch::Manager {
            name: &self.manager,
            api_version: &self.api_version,
            subresource: &self.subresource,
            time: &self.time,
        }
    }
}
