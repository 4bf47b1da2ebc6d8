//! RFC 3339 as the API writes it: seconds for `Time`, microseconds for `MicroTime`, always UTC.

use jiff::{Timestamp, tz::TimeZone};
use thiserror::Error;

/// Why a text is no time, as Go words it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// It leaves the layout.
    #[error("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")]
    Misfit {
        /// All of it.
        text: String,
        /// The layout.
        layout: &'static str,
        /// What is left where it leaves the layout.
        rest: String,
        /// What the layout has there.
        element: &'static str,
    },
    /// An element is no month, day, hour, minute or second.
    #[error("parsing time {text:?}: {element} out of range")]
    Range {
        /// All of it.
        text: String,
        /// Which one.
        element: &'static str,
    },
    /// It goes on after its end.
    #[error("parsing time {text:?}: extra text: {rest:?}")]
    Extra {
        /// All of it.
        text: String,
        /// What is too much.
        rest: String,
    },
}

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// `metav1.Time`: `2026-11-22T19:00:00Z`.
pub fn format_seconds(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// `metav1.MicroTime`: `2026-11-22T19:00:00.000001Z`.
pub fn format_micros(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}

/// Any RFC 3339 time, with or without a fraction.
pub fn parse_seconds(text: &str) -> Result<Timestamp, TimeError> {
    parse(text, SECONDS)
}

/// `metav1.MicroTime`, which has six digits after the second.
pub fn parse_micros(text: &str) -> Result<Timestamp, TimeError> {
    parse(text, MICROS)
}

fn parse(text: &str, layout: &'static str) -> Result<Timestamp, TimeError> {
    let range = |element| TimeError::Range {
        text: text.to_owned(),
        element,
    };
    let (rest, element) = match walk(text, layout == MICROS) {
        // All else is within its range by now.
        Ok("") => return text.parse().map_err(|_| range("day")),
        Ok(rest) => {
            return Err(TimeError::Extra {
                text: text.to_owned(),
                rest: rest.to_owned(),
            });
        }
        Err(Fault::Range(element)) => return Err(range(element)),
        Err(Fault::Misfit(at, element)) => (text.get(at..).unwrap_or_default(), element),
    };
    Err(TimeError::Misfit {
        text: text.to_owned(),
        layout,
        rest: rest.to_owned(),
        element,
    })
}

/// Whether this is Go's zero time, which the API shows as nothing.
pub fn is_zero_time(time: Timestamp) -> bool {
    time.as_second() == -62_135_596_800 && time.subsec_nanosecond() == 0
}

/// Why a text is no time: where it leaves the layout and what stands there, or what is out of its range.
enum Fault {
    Misfit(usize, &'static str),
    Range(&'static str),
}

/// What each element may be at most, and at least (Go's `time/format.go` parse); a day is looked at when all is read.
const RANGES: [(&str, &str, std::ops::RangeInclusive<u8>); 4] = [
    ("01", "month", 1..=12),
    ("15", "hour", 0..=23),
    ("04", "minute", 0..=59),
    ("05", "second", 0..=59),
];

/// What is left after a time; or where the text leaves the form, and which element of Go's layout was expected there.
fn walk(text: &str, micros: bool) -> Result<&str, Fault> {
    let bytes = text.as_bytes();
    let mut at = 0;
    for element in ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"] {
        let found = bytes.get(at..at + element.len());
        let fits = found.is_some_and(|found| {
            if element.len() == 1 {
                found == element.as_bytes()
            } else {
                found.iter().all(u8::is_ascii_digit)
            }
        });
        if !fits {
            return Err(Fault::Misfit(at, element));
        }
        if let Some((_, name, range)) = RANGES.iter().find(|(e, ..)| *e == element) {
            let number = (bytes[at] - b'0') * 10 + bytes[at + 1] - b'0';
            if !range.contains(&number) {
                return Err(Fault::Range(name));
            }
        }
        at += element.len();
    }
    let rest = &bytes[at..];
    let digits = rest.iter().skip(1).take_while(|b| b.is_ascii_digit()).count();
    if micros {
        if rest.first() != Some(&b'.') || digits < 6 {
            return Err(Fault::Misfit(at, ".000000"));
        }
        at += 7;
    } else if rest.first() == Some(&b'.') && digits > 0 {
        at += 1 + digits;
    }
    let zone = &bytes[at..];
    let offset = zone.len() >= 6
        && matches!(zone[0], b'+' | b'-')
        && zone[3] == b':'
        && [1, 2, 4, 5].iter().all(|i| zone[*i].is_ascii_digit());
    let length = match zone.first() {
        Some(b'Z') => 1,
        _ if offset => 6,
        _ => return Err(Fault::Misfit(at, "Z07:00")),
    };
    Ok(text.get(at + length..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let time = parse_seconds("2026-11-22T19:00:00.1234567+02:00").unwrap();
        assert_eq!(format_seconds(time), "2026-11-22T17:00:00Z");
        assert_eq!(format_micros(time), "2026-11-22T17:00:00.123456Z");
    }

    #[test]
    fn errors_as_go() {
        assert_eq!(
            parse_seconds("soon").unwrap_err().to_string(),
            r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#
        );
        assert_eq!(
            parse_seconds("2026-11-22").unwrap_err().to_string(),
            r#"parsing time "2026-11-22" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#
        );
        assert_eq!(
            parse_seconds("2026-11-22T00:00:00Zx").unwrap_err().to_string(),
            r#"parsing time "2026-11-22T00:00:00Zx": extra text: "x""#
        );
        assert_eq!(
            parse_micros("2026-11-22T00:00:00Z").unwrap_err().to_string(),
            r#"parsing time "2026-11-22T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
        for (text, element) in [
            ("2026-13-22T19:00:00Z", "month"),
            ("2026-00-22T19:00:00Z", "month"),
            ("2026-02-30T19:00:00Z", "day"),
            ("2026-11-22T24:00:00Z", "hour"),
            ("2026-11-22T23:60:00Z", "minute"),
            ("2026-11-22T23:00:60Z", "second"),
        ] {
            assert_eq!(
                parse_seconds(text).unwrap_err().to_string(),
                format!("parsing time {text:?}: {element} out of range")
            );
        }
        assert!(parse_seconds("2026-11-22T19:00:00").is_err());
        assert!(parse_seconds("é").is_err());
    }
}
