use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use crate::when::When;
use crate::{App, Request, UserChange};

/// All data of a device live in one of so many buckets, and a bucket in one hash slot: changes to a device are atomic, the
/// load of one app spreads over all shards, and slots can be moved between shards in small parts.
pub(crate) const BUCKETS: usize = 48;

/// A device of an app: the first 12 bytes of sha1(app_key + device_id), which is Countly's own user id, cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Uid(pub(crate) u64, pub(crate) u64);

impl Uid {
    pub(crate) fn of(app_key: &str, device_id: &str) -> Uid {
        let sum = Sha1::new()
            .chain_update(app_key)
            .chain_update(device_id)
            .finalize();
        let six = |at: usize| {
            sum[at..at + 6]
                .iter()
                .fold(0, |n, byte| n << 8 | u64::from(*byte))
        };
        Uid(six(0), six(6))
    }

    pub(crate) fn bucket(self) -> usize {
        (self.0 >> 40) as usize % BUCKETS
    }

    /// Devices of a bucket are kept in 256 hashes, which are small enough to be kept compactly by Redis up to some millions of devices.
    fn part(self) -> u64 {
        (self.0 >> 32) & 0xff
    }

    fn hex(self) -> String {
        format!("{:012x}{:012x}", self.0, self.1)
    }
}

/// The names of all keys. `{bN}` is what Redis hashes to a slot.
pub(crate) mod key {
    use super::Uid;

    pub(crate) fn counts(bucket: usize, app: &str, period: &str) -> String {
        format!("c:{{b{bucket}}}:{app}:{period}")
    }
    pub(crate) fn events(bucket: usize, app: &str, period: &str) -> String {
        format!("v:{{b{bucket}}}:{app}:{period}")
    }
    pub(crate) fn uniques(bucket: usize, app: &str, period: &str) -> String {
        format!("u:{{b{bucket}}}:{app}:{period}")
    }
    pub(crate) fn totals(bucket: usize, app: &str) -> String {
        format!("t:{{b{bucket}}}:{app}")
    }
    pub(crate) fn crashes(bucket: usize, app: &str) -> String {
        format!("x:{{b{bucket}}}:{app}")
    }
    pub(crate) fn devices(app: &str, uid: Uid) -> String {
        format!("d:{{b{}}}:{app}:{:02x}", uid.bucket(), uid.part())
    }
    pub(crate) fn profile(app: &str, uid: Uid) -> String {
        format!("p:{{b{}}}:{app}:{}", uid.bucket(), uid.hex())
    }
    pub(crate) fn writer(bucket: usize, writer: &str) -> String {
        format!("w:{{b{bucket}}}:{writer}")
    }
}

/// Separates the parts of a field's name; requests cannot contain it.
pub(crate) const SEPARATOR: char = '\u{1f}';

pub(crate) fn field(parts: &[&str]) -> String {
    parts.join("\u{1f}")
}

/// Which hash a counter is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Day,
    Month,
    EventsDay,
    EventsMonth,
    Crashes,
}

/// A counter and what is added to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Add {
    pub(crate) place: Place,
    pub(crate) field: String,
    pub(crate) by: f64,
    /// Sums and durations of events have fractions, all else is whole.
    pub(crate) fraction: bool,
}

/// What one request changes, before anything is known of its device.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) app: Arc<App>,
    pub(crate) uid: Uid,
    pub(crate) when: When,
    pub(crate) fingerprint: Option<u64>,
    pub(crate) begins: bool,
    pub(crate) active: bool,
    pub(crate) always: Vec<Add>,
    /// If this is the device's first session.
    pub(crate) if_new: Vec<Add>,
    /// If the device was not seen before on that day, or in that month.
    pub(crate) if_first_today: Vec<Add>,
    pub(crate) if_first_this_month: Vec<Add>,
    pub(crate) user: Vec<UserChange>,
    /// What it comes to in the metrics.
    pub(crate) events: u64,
}

impl Change {
    pub(crate) fn of(app: &Arc<App>, request: &Request, now: jiff::Timestamp) -> Change {
        let when = When::of_request(request.timestamp, now, &app.zone);
        let mut change = Change {
            app: Arc::clone(app),
            uid: Uid::of(&app.key, &request.device_id),
            fingerprint: request.fingerprint,
            begins: request.begin_session,
            active: request.active(),
            always: Vec::new(),
            if_new: Vec::new(),
            if_first_today: Vec::new(),
            if_first_this_month: Vec::new(),
            user: request.user.clone(),
            events: request.events.iter().map(|e| e.count).sum(),
            when,
        };
        change.requests_and_sessions(request);
        change.events(request);
        if let Some(crash) = &request.crash {
            let kind = if crash.nonfatal { "nonfatal" } else { "fatal" };
            change.hourly("cr", 1);
            change.daily(field(&["crash", kind, "t"]), 1.0);
            change
                .always
                .push(whole(Place::Crashes, field(&[&crash.name, kind]), 1));
        }
        change
    }

    fn requests_and_sessions(&mut self, request: &Request) {
        self.hourly("e", 1);
        if let Some(seconds) = request.session_duration.filter(|s| *s > 0) {
            self.hourly("d", seconds);
        }
        if request.end_session {
            self.hourly("en", 1);
        }
        if !request.begin_session {
            return;
        }
        self.hourly("t", 1);
        let hour_field = format!("{:02}:n", self.when.hour);
        self.if_new.extend([
            whole(Place::Day, "n".into(), 1),
            whole(Place::Day, hour_field, 1),
            whole(Place::Month, "n".into(), 1),
        ]);
        for (kind, value) in kinds(request) {
            self.daily(field(&[kind, &value, "t"]), 1.0);
            let of = |place, what| whole(place, field(&[kind, &value, what]), 1);
            self.if_new.extend([of(Place::Day, "n"), of(Place::Month, "n")]);
            self.if_first_today.push(of(Place::Day, "u"));
            self.if_first_this_month.push(of(Place::Month, "u"));
        }
    }

    fn events(&mut self, request: &Request) {
        if self.events > 0 {
            self.hourly("ev", self.events);
        }
        for event in &request.events {
            self.event(&[&event.key], event);
            for (segment, values) in &event.segmentation {
                for value in values {
                    self.event(&[&event.key, segment, value], event);
                }
            }
        }
    }

    fn event(&mut self, name: &[&str], event: &crate::Event) {
        for place in [Place::EventsDay, Place::EventsMonth] {
            let of = |what: &str| [name.join("\u{1f}").as_str(), what].join("\u{1f}");
            self.always.push(whole(place, of("c"), event.count));
            for (what, by) in [("s", event.sum), ("dur", event.dur)] {
                if by != 0.0 {
                    self.always.push(Add {
                        place,
                        field: of(what),
                        by,
                        fraction: true,
                    });
                }
            }
        }
    }

    /// Counted by hour, day and month.
    fn hourly(&mut self, name: &str, by: u64) {
        self.always
            .push(whole(Place::Day, format!("{:02}:{name}", self.when.hour), by));
        self.daily(name.to_owned(), by as f64);
    }

    /// Counted by day and month.
    fn daily(&mut self, name: String, by: f64) {
        self.always.push(Add {
            place: Place::Day,
            field: name.clone(),
            by,
            fraction: false,
        });
        self.always.push(Add {
            place: Place::Month,
            field: name,
            by,
            fraction: false,
        });
    }

    pub(crate) fn key(&self, place: Place) -> String {
        let (bucket, app) = (self.uid.bucket(), self.app.id.as_str());
        match place {
            Place::Day => key::counts(bucket, app, &self.when.day()),
            Place::Month => key::counts(bucket, app, &self.when.month()),
            Place::EventsDay => key::events(bucket, app, &self.when.day()),
            Place::EventsMonth => key::events(bucket, app, &self.when.month()),
            Place::Crashes => key::crashes(bucket, app),
        }
    }
}

fn whole(place: Place, field: String, by: u64) -> Add {
    Add {
        place,
        field,
        by: by as f64,
        fraction: false,
    }
}

/// What a session is counted by: the device's metrics, where it is, and when in the week its owner uses it.
fn kinds(request: &Request) -> Vec<(&'static str, String)> {
    let mut kinds = request.metrics.clone();
    kinds.push((
        "cc",
        request.country.clone().unwrap_or_else(|| "Unknown".to_owned()),
    ));
    kinds.extend(
        request
            .city
            .clone()
            .filter(|city| !city.is_empty())
            .map(|city| ("ci", city)),
    );
    kinds.extend(
        request
            .dow
            .zip(request.hour)
            .map(|(dow, hour)| ("tod", format!("{dow}:{hour:02}"))),
    );
    kinds.extend(request.tz.map(|tz| ("tz", tz.to_string())));
    kinds
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "small whole numbers and halves")]
mod tests {
    use super::*;
    use crate::Params;

    #[test]
    fn devices_spread_over_all_buckets() {
        let used: std::collections::BTreeSet<_> = (0..2000)
            .map(|i| Uid::of("a", &format!("d{i}")).bucket())
            .collect();
        assert_eq!(used.len(), BUCKETS);
    }

    #[test]
    fn all_keys_of_a_change_are_in_one_slot() {
        let request = Request::parse(&Params::from_query("app_key=a&device_id=d&begin_session=1")).unwrap();
        let change = Change::of(
            &Arc::new(App::from_key("a")),
            &request,
            jiff::Timestamp::UNIX_EPOCH,
        );
        let tag = format!("{{b{}}}", change.uid.bucket());
        for place in [
            Place::Day,
            Place::Month,
            Place::EventsDay,
            Place::EventsMonth,
            Place::Crashes,
        ] {
            assert!(change.key(place).contains(&tag));
        }
        assert!(key::devices("x", change.uid).contains(&tag) && key::profile("x", change.uid).contains(&tag));
    }

    #[test]
    fn a_session_is_counted_by_hour_day_and_month() {
        let query = "app_key=a&device_id=d&begin_session=1&metrics=%7B%22_os%22%3A%22iOS%22%7D";
        let request = Request::parse(&Params::from_query(query)).unwrap();
        let change = Change::of(
            &Arc::new(App::from_key("a")),
            &request,
            jiff::Timestamp::UNIX_EPOCH,
        );
        let has = |place, field: &str| {
            change
                .always
                .iter()
                .any(|add| add.place == place && add.field == field && add.by == 1.0)
        };
        assert!(
            has(Place::Day, "t")
                && has(Place::Day, "00:t")
                && has(Place::Month, "t")
                && has(Place::Month, "e")
        );
        assert!(has(Place::Day, "p\u{1f}iOS\u{1f}t") && has(Place::Day, "cc\u{1f}Unknown\u{1f}t"));
        assert!(
            change
                .if_first_today
                .iter()
                .any(|add| add.field == "p\u{1f}iOS\u{1f}u")
        );
    }
}
