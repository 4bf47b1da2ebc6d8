use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Params;

/// A write request of Countly's `/i`, reduced to what is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// App key.
    pub app_key: String,
    /// Device id.
    pub device_id: String,
    /// The id that this device had before, if two are to become one.
    pub old_device_id: Option<String>,
    /// Whether a session begins.
    pub begin_session: bool,
    /// Whether a session ends.
    pub end_session: bool,
    /// Seconds to add to the session.
    pub session_duration: Option<u64>,
    /// What kind of device it is: Countly's short names (`os`, `osv`, `d`, …) and values.
    pub metrics: Vec<(&'static str, String)>,
    /// Custom events.
    pub events: Vec<Event>,
    /// Changes to what is known of the user.
    pub user: Vec<UserChange>,
    /// A crash.
    pub crash: Option<Crash>,
    /// Country, two letters.
    pub country: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Client's time in Unix milliseconds, if it sent one.
    pub timestamp: Option<i64>,
    /// Hour of the day at the client, 0 to 23.
    pub hour: Option<u8>,
    /// Day of the week at the client, 0 (Sunday) to 6.
    pub dow: Option<u8>,
    /// The client's distance from UTC in minutes.
    pub tz: Option<i32>,
    /// Identifies a retry as such.
    pub fingerprint: Option<u64>,
}

/// A custom event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Event key.
    pub key: String,
    /// How often it happened.
    pub count: u64,
    /// Sum of a value such as a price.
    pub sum: f64,
    /// Duration in seconds.
    pub dur: f64,
    /// Segments and their values.
    pub segmentation: BTreeMap<String, Vec<String>>,
}

/// One change to what is known of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct UserChange {
    /// `set`, `setOnce`, `unset`, `inc`, `mul`, `min`, `max`, `push`, `pull` or `addToSet`.
    pub op: &'static str,
    /// Field; the user's own ones begin with `custom.`.
    pub field: String,
    /// Value.
    pub value: Value,
}

/// A crash, by what groups it.
#[derive(Debug, Clone, PartialEq)]
pub struct Crash {
    /// First line.
    pub name: String,
    /// Whether the program went on.
    pub nonfatal: bool,
}

/// Why a request is not kept, with Countly's own words and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 400: a required parameter is missing.
    #[error("Missing parameter \"app_key\" or \"device_id\"")]
    Missing,
    /// 400: no such app.
    #[error("App does not exist")]
    NoApp,
    /// 400: the app is switched off.
    #[error("App is currently not accepting data")]
    Inactive,
    /// 403: the app is locked.
    #[error("App is locked")]
    Locked,
    /// 200: the checksum is wrong.
    #[error("Request does not match checksum")]
    BadChecksum,
    /// 200: the app has a salt and the request no checksum.
    #[error("Request does not have checksum")]
    NoChecksum,
}

impl Rejection {
    /// Countly's status for it. (api/utils/requestProcessor.js)
    pub fn status(self) -> u16 {
        match self {
            Rejection::Missing | Rejection::NoApp | Rejection::Inactive => 400,
            Rejection::Locked => 403,
            Rejection::BadChecksum | Rejection::NoChecksum => 200,
        }
    }
}

/// Events that one request may carry; Countly's SDKs send at most 100 at a time.
const MAX_EVENTS: usize = 500;
/// Countly's own limits: 100 segments of an event, 128 bytes of a key, 256 of a value.
const MAX_SEGMENTS: usize = 100;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
const MAX_USER_CHANGES: usize = 200;
const MAX_DEVICE_ID: usize = 512;

impl Request {
    /// Reads the parameters of a query or form. Like Countly, malformed numbers, events and metrics do not fail the request.
    pub fn parse(params: &Params) -> Result<Request, Rejection> {
        let (Some(app_key), Some(device_id)) = (params.get("app_key"), params.get("device_id")) else {
            return Err(Rejection::Missing);
        };
        if device_id.len() > MAX_DEVICE_ID {
            return Err(Rejection::Missing);
        }
        let on = |name: &str| {
            params
                .get(name)
                .is_some_and(|value| value != "0" && value != "false")
        };
        let country = params
            .get("country_code")
            .filter(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic()));
        let mut user = params.get("user_details").map(user_changes).unwrap_or_default();
        if let Some(Value::Object(consent)) = params
            .get("consent")
            .and_then(|text| serde_json::from_str(text).ok())
        {
            user.extend(
                consent
                    .into_iter()
                    .take(50)
                    .filter(|(_, v)| v.is_boolean())
                    .map(|(name, value)| UserChange {
                        op: "set",
                        field: format!("consent.{}", clean(&name, MAX_KEY)),
                        value,
                    }),
            );
        }
        if let Some(location) = params.get("location").filter(|l| is_location(l)) {
            user.push(UserChange {
                op: "set",
                field: "location".into(),
                value: location.into(),
            });
        }
        Ok(Request {
            app_key: app_key.to_owned(),
            device_id: device_id.to_owned(),
            old_device_id: params
                .get("old_device_id")
                .filter(|old| *old != device_id)
                .map(str::to_owned),
            begin_session: on("begin_session"),
            end_session: on("end_session"),
            session_duration: params
                .get("session_duration")
                .and_then(|v| v.parse::<f64>().ok())
                .map(whole),
            metrics: params.get("metrics").map(metrics).unwrap_or_default(),
            events: params.get("events").map(events).unwrap_or_default(),
            user,
            crash: params.get("crash").and_then(crash),
            country: country.map(str::to_ascii_uppercase),
            city: params.get("city").map(|city| clean(city, MAX_VALUE)),
            timestamp: params.get("timestamp").and_then(timestamp),
            hour: params
                .get("hour")
                .and_then(|v| v.parse().ok())
                .filter(|hour| *hour < 24),
            dow: params
                .get("dow")
                .and_then(|v| v.parse().ok())
                .filter(|dow| *dow < 7),
            tz: params
                .get("tz")
                .and_then(|v| v.parse().ok())
                .filter(|tz: &i32| tz.abs() <= 18 * 60),
            fingerprint: params.fingerprint(),
        })
    }

    /// Whether anything in it is counted (an SDK's health check and a bare merge are not).
    pub fn counts(&self) -> bool {
        self.active() || self.crash.is_some() || !self.user.is_empty()
    }

    /// Whether it shows that somebody uses the app.
    pub fn active(&self) -> bool {
        self.begin_session || self.end_session || self.session_duration.is_some() || !self.events.is_empty()
    }
}

/// Seconds, never negative, at most a day at a time; NaN counts as none.
fn whole(seconds: f64) -> u64 {
    if seconds.is_nan() {
        0
    } else {
        seconds.clamp(0.0, 86_400.0).round() as u64
    }
}

/// 10 digits are seconds, 13 milliseconds; anything else is ignored.
fn timestamp(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok().filter(|n| *n > 0)?;
    match text.len() {
        10 => Some(number * 1000),
        13 => Some(number),
        _ => None,
    }
}

fn is_location(text: &str) -> bool {
    let mut parts = text.split(',').map(|part| part.trim().parse::<f64>());
    matches!((parts.next(), parts.next(), parts.next()), (Some(Ok(a)), Some(Ok(b)), None) if a.abs() <= 90.0 && b.abs() <= 180.0)
}

/// Text that can be part of a field's name: no control characters (they separate the parts), not too long.
fn clean(text: &str, most: usize) -> String {
    let mut kept = String::new();
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > most {
            break;
        }
        kept.push(c);
    }
    kept
}

/// Metrics that are counted, by Countly's short names. (api/utils/common.js, `dbUserMap`)
const METRICS: [(&str, &str); 13] = [
    ("_os", "p"),
    ("_os_version", "pv"),
    ("_device", "d"),
    ("_device_type", "dt"),
    ("_manufacturer", "mnf"),
    ("_resolution", "r"),
    ("_carrier", "c"),
    ("_app_version", "av"),
    ("_browser", "brw"),
    ("_browser_version", "brwv"),
    ("_locale", "lo"),
    ("_density", "dnst"),
    ("_store", "src"),
];

fn metrics(text: &str) -> Vec<(&'static str, String)> {
    let sent: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let value = |name: &str| {
        sent.get(name)
            .and_then(scalar)
            .map(|v| clean(&v, MAX_VALUE))
            .filter(|v| !v.is_empty())
    };
    METRICS
        .iter()
        .filter_map(|(name, short)| Some((*short, value(name)?)))
        .collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn events(text: &str) -> Vec<Event> {
    let list: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    list.iter().take(MAX_EVENTS).filter_map(event).collect()
}

/// Numbers may come as strings, as in Countly. A count is at least 1 and bounded, so that no counter can overflow.
fn event(event: &Value) -> Option<Event> {
    // Countly's databases had no dots in names, and readers expect its form. (api/parts/data/events.js)
    let key = clean(event.get("key")?.as_str()?, MAX_KEY)
        .trim_start_matches('$')
        .replace('.', ":");
    if key.is_empty() {
        return None;
    }
    let number = |name: &str| {
        let value = event.get(name)?;
        value
            .as_f64()
            .or_else(|| value.as_str()?.parse().ok())
            .filter(|n| n.is_finite())
    };
    let bounded = |n: f64| n.clamp(-1e15, 1e15);
    let segmentation = event
        .get("segmentation")
        .and_then(Value::as_object)
        .map(segments)
        .unwrap_or_default();
    Some(Event {
        key,
        count: number("count").unwrap_or(1.0).clamp(1.0, 1e9) as u64,
        sum: number("sum").map_or(0.0, bounded),
        dur: number("dur").map_or(0.0, |n| bounded(n).max(0.0)),
        segmentation,
    })
}

fn segments(sent: &Map<String, Value>) -> BTreeMap<String, Vec<String>> {
    let mut kept = BTreeMap::new();
    for (name, value) in sent.iter().take(MAX_SEGMENTS) {
        let name = clean(name, MAX_KEY).replace('.', ":");
        let values: Vec<String> = match value {
            Value::Array(list) => list.iter().take(10).filter_map(scalar).collect(),
            one => scalar(one).into_iter().collect(),
        };
        let values: Vec<String> = values
            .iter()
            .map(|v| clean(v, MAX_VALUE))
            .filter(|v| !v.is_empty())
            .collect();
        if !name.is_empty() && !values.is_empty() {
            kept.insert(name, values);
        }
    }
    kept
}

/// Fields of `user_details` that Countly names itself. (api/parts/mgmt/app_users.js)
const USER_FIELDS: [&str; 8] = [
    "name",
    "username",
    "email",
    "organization",
    "phone",
    "picture",
    "gender",
    "byear",
];
const USER_OPS: [(&str, &str); 9] = [
    ("$setOnce", "setOnce"),
    ("$set", "set"),
    ("$unset", "unset"),
    ("$inc", "inc"),
    ("$mul", "mul"),
    ("$min", "min"),
    ("$max", "max"),
    ("$push", "push"),
    ("$pull", "pull"),
];

fn user_changes(text: &str) -> Vec<UserChange> {
    let sent: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    let mut changes = Vec::new();
    for field in USER_FIELDS {
        if let Some(value) = sent.get(field).and_then(bounded) {
            changes.push(set_or_unset(field.to_owned(), value));
        }
    }
    for (name, value) in sent
        .get("custom")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        custom_change(name, value, &mut changes);
    }
    changes.truncate(MAX_USER_CHANGES);
    changes
}

fn custom_change(name: &str, value: &Value, changes: &mut Vec<UserChange>) {
    let field = format!("custom.{}", clean(name, MAX_KEY).replace('.', ":"));
    let Value::Object(ops) = value else {
        changes.extend(bounded(value).map(|value| set_or_unset(field, value)));
        return;
    };
    for (op, value) in ops {
        let known = USER_OPS.iter().find(|(sent, _)| sent == op).map(|(_, op)| *op);
        let Some(op) = known.or((op == "$addToSet").then_some("addToSet")) else {
            continue;
        };
        let number = value
            .as_f64()
            .or_else(|| value.as_str()?.parse().ok())
            .filter(|n| n.is_finite() && n.abs() <= 1e15);
        let value = match op {
            "inc" | "mul" | "min" | "max" => number.map(Value::from),
            _ => bounded(value),
        };
        changes.extend(value.map(|value| UserChange {
            op,
            field: field.clone(),
            value,
        }));
    }
}

/// An empty value takes the field away, as in Countly.
fn set_or_unset(field: String, value: Value) -> UserChange {
    let op = if value.is_null() || value == "" {
        "unset"
    } else {
        "set"
    };
    UserChange { op, field, value }
}

/// Scalars, and lists of them, of a size that a profile can hold.
fn bounded(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => Some(clean(text, MAX_VALUE).into()),
        Value::Array(list) => Some(
            list.iter()
                .filter(|v| !v.is_array())
                .filter_map(bounded)
                .take(50)
                .collect::<Vec<_>>()
                .into(),
        ),
        Value::Object(_) => None,
        other => Some(other.clone()),
    }
}

fn crash(text: &str) -> Option<Crash> {
    let sent: Map<String, Value> = serde_json::from_str(text).ok()?;
    let stack = sent.get("_error").and_then(Value::as_str).unwrap_or_default();
    let first = sent
        .get("_name")
        .and_then(Value::as_str)
        .or_else(|| stack.lines().next())
        .unwrap_or_default();
    let nonfatal = sent
        .get("_nonfatal")
        .is_some_and(|v| v == true || v == "true" || v == 1);
    let name = clean(first, MAX_VALUE);
    Some(Crash {
        name: if name.is_empty() {
            "unknown".to_owned()
        } else {
            name
        },
        nonfatal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(pairs: &[(&str, &str)]) -> Result<Request, Rejection> {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        Request::parse(&Params::from_query(&query))
    }

    fn with(name: &str, value: &str) -> Request {
        parse(&[("app_key", "a"), ("device_id", "d"), (name, value)]).unwrap()
    }

    #[test]
    fn what_is_required_must_be_there() {
        assert_eq!(parse(&[("app_key", "a")]), Err(Rejection::Missing));
        assert_eq!(
            parse(&[("app_key", ""), ("device_id", "d")]),
            Err(Rejection::Missing)
        );
    }

    #[test]
    fn sessions_and_events_are_read() {
        let events = r#"[{"key":"buy","count":2,"sum":"9.5","segmentation":{"colour":"red","n":3,"tags":["a","b"],"o":{}}},
            {"key":""},{"nokey":1},{"key":"look.up","dur":1.5,"count":-4}]"#;
        let request = parse(&[
            ("app_key", "a"),
            ("device_id", "d"),
            ("begin_session", "1"),
            ("session_duration", "30.4"),
            ("timestamp", "1795392000123"),
            ("events", events),
        ])
        .unwrap();
        assert!(request.begin_session && !request.end_session && request.active());
        assert_eq!(
            (request.session_duration, request.timestamp),
            (Some(30), Some(1_795_392_000_123))
        );
        let keys: Vec<_> = request
            .events
            .iter()
            .map(|e| (e.key.as_str(), e.count, e.sum, e.dur))
            .collect();
        assert_eq!(keys, [("buy", 2, 9.5, 0.0), ("look:up", 1, 0.0, 1.5)]);
        let segments: Vec<_> = request.events[0]
            .segmentation
            .iter()
            .map(|(k, v)| (k.as_str(), v.join("+")))
            .collect();
        assert_eq!(
            segments,
            [
                ("colour", "red".into()),
                ("n", "3".into()),
                ("tags", "a+b".into())
            ]
        );
    }

    #[test]
    fn malformed_values_do_not_fail_the_request() {
        assert_eq!(with("session_duration", "NaN").session_duration, Some(0));
        assert_eq!(with("session_duration", "-1e300").session_duration, Some(0));
        assert_eq!(with("events", "{").events, []);
        assert_eq!(with("timestamp", "7").timestamp, None);
        assert_eq!(
            (
                with("hour", "24").hour,
                with("dow", "x").dow,
                with("tz", "-99999").tz
            ),
            (None, None, None)
        );
        assert_eq!(with("country_code", "deu").country, None);
        assert_eq!(with("location", "91,0").user, []);
        assert_eq!(with("crash", "[]").crash, None);
    }

    #[test]
    fn metrics_get_their_short_names() {
        let request = with(
            "metrics",
            r#"{"_os":"Android","_os_version":14,"_resolution":"1x1","_nope":"x","_carrier":""}"#,
        );
        assert_eq!(
            request.metrics,
            [("p", "Android".into()), ("pv", "14".into()), ("r", "1x1".into())]
        );
    }

    #[test]
    fn user_details_become_changes() {
        let changes = with("user_details", r#"{"name":"Ann","email":"","custom":{"n":{"$inc":"2"},"t":{"$addToSet":"x"},"plan":"pro","bad":{"$x":1}}}"#).user;
        let found: Vec<_> = changes
            .iter()
            .map(|c| (c.op, c.field.as_str(), c.value.clone()))
            .collect();
        assert_eq!(
            found,
            [
                ("set", "name", json!("Ann")),
                ("unset", "email", json!("")),
                ("inc", "custom.n", json!(2.0)),
                ("set", "custom.plan", json!("pro")),
                ("addToSet", "custom.t", json!("x")),
            ]
        );
    }

    #[test]
    fn crashes_are_named_by_their_first_line() {
        let crash = with("crash", r#"{"_error":"TypeError: x\n  at y","_nonfatal":true}"#)
            .crash
            .unwrap();
        assert_eq!((crash.name.as_str(), crash.nonfatal), ("TypeError: x", true));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(name in "(events|metrics|user_details|crash|consent|location|timestamp|session_duration)", value in ".{0,200}") {
            let _ = parse(&[("app_key", "a"), ("device_id", "d"), (&name, &value)]);
        }

        #[test]
        fn whatever_is_kept_is_bounded(key in ".{0,300}", count in any::<f64>(), sum in any::<f64>()) {
            let list = json!([{"key": key, "count": count, "sum": sum, "segmentation": {&key: &key}}]).to_string();
            for event in with("events", &list).events {
                prop_assert!(!event.key.is_empty() && event.key.len() <= MAX_KEY && !event.key.contains(char::is_control));
                prop_assert!((1..=1_000_000_000).contains(&event.count) && event.sum.abs() <= 1e15);
            }
        }
    }
}
