//! Quantities, selectors, names, durations and other small Kubernetes value types; pure.
