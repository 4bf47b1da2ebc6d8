//! The analytics server of the demo: Countly's HTTP API on a Redis Cluster.
