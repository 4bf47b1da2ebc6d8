//! What a person sees of the command line, without root and without a network.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
mod arguments;
mod create;
mod dashboard;
mod documents;
mod manifests;
mod no_root;
mod output;
mod reference;
