//! Quantities, selectors, names, durations and other small Kubernetes value types; pure.
//!
//! Everything here has an upstream counterpart in `k8s.io/apimachinery` and answers as that does, error texts included.

mod duration;
mod fields;
mod go_json;
mod go_text;
mod intstr;
mod label_parser;
mod labels;
mod names;
pub mod pod_resources;
mod quantity;
mod time;

pub use duration::{DurationError, format_duration, human_duration, parse_duration, short_human_duration};
pub use fields::{FieldRequirement, FieldSelector, FieldSelectorError};
pub use go_json::{depth, parse_json, parse_json_object};
pub use go_text::{json_text, quote, shown_value};
pub use intstr::{IntOrString, IntOrStringError};
pub use labels::{LabelLookup, LabelSelector, Operator, Requirement, SelectorError};
pub use names::{
    is_c_identifier, is_config_map_key, is_decimal_integer, is_dns1035_label, is_dns1123_label,
    is_dns1123_subdomain, is_env_var_name, is_http_header_name, is_in_range, is_label_value, is_percent,
    is_port_name, is_port_number, is_qualified_name, is_relaxed_env_var_name, is_wildcard_dns1123_subdomain,
    max_length_message, regex_message,
};
pub use quantity::{Format, Quantity, QuantityError};
pub use time::{TimeError, format_micros, format_seconds, is_zero_time, parse_micros, parse_seconds};
