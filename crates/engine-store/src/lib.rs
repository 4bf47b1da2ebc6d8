//! The engine's store: ordered objects, one revision, watch events, a write-ahead log with group commit and snapshots.
