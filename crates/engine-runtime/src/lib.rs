//! The container runtime daemon: single-threaded, starts containers by libcontainer, keeps their logs and exit codes.
