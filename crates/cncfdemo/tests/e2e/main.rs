//! Real clusters with real containers, on this machine: needs root, and no network. The demo has its own test, `demo.rs`.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
mod autoscaling;
mod bad_input;
mod death;
mod features;
mod half_made;
mod hostile;
mod lifecycle;
mod nodes;
mod priorities;
mod reboot;
mod resize;
mod side_by_side;
mod upgrade;
