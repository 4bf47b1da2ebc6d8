//! Entries of connection tracking.
