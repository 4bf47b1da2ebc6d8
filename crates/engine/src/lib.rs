//! Composes API server, controllers and node agents into a running cluster.
