use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the load was made, and what the generator saw of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Generator {
    /// Workers inside the cluster, whose recordings were merged; absent when the load came from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Seconds of load before anything counted.
    pub warm_up_s: f64,
    /// The share of the time in which the generator could have run and was given no processor, 0 to 1.
    pub starved_share: f64,
    /// Requests per second that it could send there if the server cost nothing, measured against a server that does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// Cores of its machine that neither it nor the cluster under load used; absent where that cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbours_cores: Option<f64>,
    /// The mix of requests, as `--mix` reads it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub mix: Value,
}
