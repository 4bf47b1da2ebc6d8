//! What every way of creating a cluster has in common: the plan, the journal, the trait.
