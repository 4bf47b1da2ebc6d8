//! The node agent of the embedded engine: pod workers, probes, volumes, logs and exec.
