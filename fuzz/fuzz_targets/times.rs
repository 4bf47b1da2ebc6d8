//! Durations, times, names and `IntOrString`.
#![no_main]
use std::time::Duration;

use kube_types::{
    IntOrString, format_duration, format_seconds, human_duration, is_dns1123_subdomain, is_percent, is_qualified_name, parse_duration,
    parse_micros, parse_seconds, short_human_duration,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(nanos) = parse_duration(text) {
        let printed = format_duration(nanos);
        assert_eq!(parse_duration(&printed), Ok(nanos), "{text:?} is printed as {printed:?}");
        let age = Duration::from_nanos(nanos.unsigned_abs());
        let _ = (human_duration(age), short_human_duration(age));
    }
    if let Ok(time) = parse_seconds(text) {
        let printed = format_seconds(time);
        assert!(parse_seconds(&printed).is_ok(), "{text:?} is printed as {printed:?}");
    }
    let _ = parse_micros(text);
    let _ = (is_dns1123_subdomain(text), is_qualified_name(text), is_percent(text));
    if let Some(value) = IntOrString::from_value(&text.into()) {
        let _ = (value.scaled(i64::MAX, true), value.scaled(-3, false), value.as_int());
    }
});
