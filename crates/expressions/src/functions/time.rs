//! Points in time and durations (cel-go `common/types/{timestamp,duration}.go`).
use jiff::{Timestamp, Zoned, tz::Offset, tz::TimeZone};

use super::Done;
use crate::{evaluate::no_overload, value::Value};

/// `1h30m`
pub fn duration(text: &str) -> Option<i64> {
    kube_types::parse_duration(text).ok()
}

/// RFC 3339.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    kube_types::parse_seconds(text).ok()
}

/// `UTC`, `+02:00`, or an hour and a minute without a sign.
fn zone(text: &str) -> Option<TimeZone> {
    if text.is_empty() || text == "UTC" {
        return Some(TimeZone::UTC);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    Some(TimeZone::fixed(Offset::from_seconds(sign * seconds).ok()?))
}

/// A part of a point in time, in UTC or another zone, or all of a duration in a unit.
pub fn part<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let of = |n: i64| Ok(Value::Int(n));
    let (time, zone) = match args {
        [Value::Duration(nanos)] => {
            return of(match name {
                "getHours" => nanos / 3_600_000_000_000,
                "getMinutes" => nanos / 60_000_000_000,
                "getSeconds" => nanos / 1_000_000_000,
                "getMilliseconds" => nanos / 1_000_000,
                _ => return Err(no_overload()),
            });
        }
        [Value::Timestamp(time)] => (time, TimeZone::UTC),
        [Value::Timestamp(time), Value::String(name)] => {
            let found = zone(name).ok_or_else(|| format!("unknown time zone {}", &**name))?;
            (time, found)
        }
        _ => return Err(no_overload()),
    };
    let time: Zoned = time.to_zoned(zone);
    of(match name {
        "getFullYear" => time.year().into(),
        "getMonth" => i64::from(time.month()) - 1,
        "getDayOfYear" => i64::from(time.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(time.day()) - 1,
        "getDate" => time.day().into(),
        "getDayOfWeek" => time.weekday().to_sunday_zero_offset().into(),
        "getHours" => time.hour().into(),
        "getMinutes" => time.minute().into(),
        "getSeconds" => time.second().into(),
        _ => time.millisecond().into(),
    })
}
