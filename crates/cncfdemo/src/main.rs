//! cncfdemo: stands up a Kubernetes cluster, runs a real demo on it, loads it, breaks it and reports.
fn main() {}
