//! The controllers against the real API server, in memory. Only the kubelet is played, here in the test: it marks
//! bound pods as running and ready, ends those whose command is `true` or `false`, and lets deleted ones go.

mod harness;
mod housekeeping;
mod jobs;
mod ownership;
mod scheduling;
mod services;
mod sets;
mod workloads;
