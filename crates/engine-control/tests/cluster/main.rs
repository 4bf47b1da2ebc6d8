//! The controllers against the real API server, in memory. Only the kubelet is played, here in the test: it marks
//! bound pods as running and ready, ends those whose command is `true` or `false`, and lets deleted ones go.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test that cannot go on should panic, and say how long it took

mod autoscaling;
mod harness;
mod housekeeping;
mod jobs;
mod ownership;
mod scheduling;
mod services;
mod sets;
mod workloads;
