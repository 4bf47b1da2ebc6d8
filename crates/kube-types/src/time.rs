//! RFC 3339 as the API writes it: seconds for `Time`, microseconds for `MicroTime`, always UTC.

use jiff::{Timestamp, tz::TimeZone};
use thiserror::Error;

/// Why a text is no time, as Go words it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")]
pub struct TimeError {
    text: String,
    layout: &'static str,
    rest: String,
    element: &'static str,
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

/// As upstream's `MicroTime`, which also takes other fractions.
pub fn parse_micros(text: &str) -> Result<Timestamp, TimeError> {
    parse(text, MICROS)
}

fn parse(text: &str, layout: &'static str) -> Result<Timestamp, TimeError> {
    if let Some((at, element)) = misfit(text) {
        return Err(TimeError {
            text: text.to_owned(),
            layout,
            rest: text.get(at..).unwrap_or_default().to_owned(),
            element,
        });
    }
    text.parse().map_err(|_| TimeError {
        text: text.to_owned(),
        layout,
        rest: text.to_owned(),
        element: "2006",
    })
}

/// Where the text leaves the form, and which element of Go's layout was expected there.
fn misfit(text: &str) -> Option<(usize, &'static str)> {
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
            return Some((at, element));
        }
        at += element.len();
    }
    if bytes.get(at) == Some(&b'.') {
        at += 1 + bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    }
    let zone = &bytes[at..];
    let offset = zone.len() == 6
        && matches!(zone[0], b'+' | b'-')
        && zone[3] == b':'
        && [1, 2, 4, 5].iter().all(|i| zone[*i].is_ascii_digit());
    (zone != b"Z" && !offset).then_some((at, "Z07:00"))
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
        assert!(parse_seconds("2026-13-22T19:00:00Z").is_err());
        assert!(parse_seconds("2026-11-22T19:00:00").is_err());
        assert!(parse_seconds("é").is_err());
    }
}
