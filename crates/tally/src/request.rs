use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// A write request of Countly's `/i`, reduced to what is counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// App key.
    pub app_key: String,
    /// Device id.
    pub device_id: String,
    /// Whether a session begins.
    pub begin_session: bool,
    /// Whether a session ends.
    pub end_session: bool,
    /// Seconds to add to the session.
    pub session_duration: u64,
    /// Custom events.
    pub events: Vec<Event>,
    /// Client's time in Unix seconds, if it sent one.
    pub timestamp: Option<i64>,
}

/// A custom event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event {
    /// Event key.
    pub key: String,
    /// How often it happened.
    #[serde(default = "one")]
    pub count: u64,
    /// Sum of a value such as a price.
    #[serde(default)]
    pub sum: f64,
    /// Duration in seconds.
    #[serde(default)]
    pub dur: f64,
}

fn one() -> u64 {
    1
}

/// Why a request is not counted, with Countly's own words and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 400: a required parameter is missing.
    #[error("Missing parameter \"app_key\" or \"device_id\"")]
    Missing,
    /// 400: no such app.
    #[error("App does not exist")]
    NoApp,
}

/// Events that one request may carry; Countly's SDKs send at most 10 at a time, other clients at most some hundreds.
const MAX_EVENTS: usize = 500;

impl Request {
    /// Reads the parameters of a query or form. Like Countly, malformed numbers and event lists do not fail the request.
    pub fn parse(parameters: &HashMap<String, String>) -> Result<Request, Rejection> {
        let get = |name: &str| parameters.get(name).map(String::as_str).filter(|v| !v.is_empty());
        let (Some(app_key), Some(device_id)) = (get("app_key"), get("device_id")) else {
            return Err(Rejection::Missing);
        };
        let events = get("events").map(parse_events).unwrap_or_default();
        Ok(Request {
            app_key: app_key.to_owned(),
            device_id: device_id.to_owned(),
            begin_session: get("begin_session").is_some_and(|v| v != "0"),
            end_session: get("end_session").is_some_and(|v| v != "0"),
            session_duration: get("session_duration").and_then(|v| v.parse::<f64>().ok()).map_or(0, whole),
            events,
            timestamp: get("timestamp").and_then(parse_timestamp),
        })
    }
}

/// Seconds, never negative; NaN counts as none.
fn whole(seconds: f64) -> u64 {
    seconds.clamp(0.0, 1e9).round() as u64
}

/// 10 digits are seconds, 13 milliseconds; anything else is ignored.
fn parse_timestamp(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    match text.len() {
        10 => Some(number),
        13 => Some(number / 1000),
        _ => None,
    }
}

fn parse_events(text: &str) -> Vec<Event> {
    let list: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    list.into_iter()
        .take(MAX_EVENTS)
        .filter_map(|event| serde_json::from_value::<Event>(event).ok())
        .filter(|event| !event.key.is_empty() && event.key.len() <= 128 && event.sum.is_finite() && event.dur.is_finite())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Request, Rejection> {
        Request::parse(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn what_is_required_must_be_there() {
        assert_eq!(parse(&[("app_key", "a")]), Err(Rejection::Missing));
        assert_eq!(parse(&[("app_key", ""), ("device_id", "d")]), Err(Rejection::Missing));
    }

    #[test]
    fn sessions_and_events_are_read() {
        let events = r#"[{"key":"buy","count":2,"sum":9.5},{"key":""},{"nokey":1},{"key":"look"}]"#;
        let request = parse(&[
            ("app_key", "a"), ("device_id", "d"), ("begin_session", "1"), ("session_duration", "30.4"),
            ("timestamp", "1795392000123"), ("events", events),
        ])
        .unwrap();
        assert!(request.begin_session && !request.end_session);
        assert_eq!((request.session_duration, request.timestamp), (30, Some(1_795_392_000)));
        let keys: Vec<_> = request.events.iter().map(|e| (e.key.as_str(), e.count)).collect();
        assert_eq!(keys, [("buy", 2), ("look", 1)]);
    }

    #[test]
    fn malformed_values_do_not_fail_the_request() {
        let request =
            parse(&[("app_key", "a"), ("device_id", "d"), ("session_duration", "NaN"), ("events", "{"), ("timestamp", "7")]);
        let request = request.unwrap();
        assert_eq!((request.session_duration, request.events.len(), request.timestamp), (0, 0, None));
    }
}
