//! The clock, in the forms the API writes.
use jiff::{SignedDuration, Timestamp};

/// Seconds precision, as `metav1.Time`.
pub fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, as `metav1.Time`.
pub fn now() -> String {
    seconds(Timestamp::now())
}

/// So many seconds from now, as `metav1.Time`.
pub fn later(secs: i64) -> String {
    seconds(
        Timestamp::now()
            .saturating_add(SignedDuration::from_secs(secs))
            .unwrap_or(Timestamp::MAX),
    )
}

/// Seconds since the epoch.
pub fn unix() -> i64 {
    Timestamp::now().as_second()
}

/// The date, in UTC.
pub fn today() -> String {
    date_in(0)
}

/// The date so many days from now, in UTC.
pub fn date_in(days: i64) -> String {
    let at = Timestamp::now().saturating_add(SignedDuration::from_hours(24 * days));
    at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d").to_string()
}
