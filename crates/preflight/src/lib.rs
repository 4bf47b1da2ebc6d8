//! Facts of a machine to findings; pure.
