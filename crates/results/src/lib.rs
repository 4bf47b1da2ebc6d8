//! The run document: schema, statistics, comparison, cost; pure.
