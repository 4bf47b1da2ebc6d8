use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::Api;
use crate::plan::{SEPARATOR, field};
use crate::store::Sums;
use crate::when::{Period, countly_day, day, month};
use crate::{App, StoreError};

/// What sessions came to in some time, by Countly's short names.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) sessions: f64,
    pub(super) new: f64,
    pub(super) unique: u64,
    pub(super) seconds: f64,
    pub(super) requests: f64,
    pub(super) events: f64,
    pub(super) crashes: f64,
}

const FIELDS: [&str; 6] = ["t", "n", "d", "e", "ev", "cr"];

impl Totals {
    pub(super) fn of(values: &[f64], unique: u64) -> Totals {
        let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
        Totals {
            sessions: at(0),
            new: at(1),
            seconds: at(2),
            requests: at(3),
            events: at(4),
            crashes: at(5),
            unique,
        }
    }

    pub(super) fn json(self, id: Option<&str>) -> Value {
        let mut value = json!({
            "t": number(self.sessions), "n": number(self.new), "u": self.unique, "d": number(self.seconds), "e": number(self.requests),
        });
        if let (Some(id), Value::Object(object)) = (id, &mut value) {
            object.insert("_id".to_owned(), id.into());
        }
        value
    }

    fn add(&mut self, other: Totals) {
        self.sessions += other.sessions;
        self.new += other.new;
        self.seconds += other.seconds;
        self.requests += other.requests;
        self.events += other.events;
        self.crashes += other.crashes;
    }
}

/// Whole numbers without a fraction, as JavaScript writes them.
pub(super) fn number(n: f64) -> Value {
    if n.fract() == 0.0 && n.abs() < 9e15 {
        json!(n as i64)
    } else {
        json!(n)
    }
}

/// How finely a reader wants a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    Hour,
    Day,
    Month,
}

impl Api {
    /// What each hour, day or month of a period came to, with its name in Countly's answers.
    pub(super) async fn series(
        &self,
        app: &App,
        period: Period,
        grain: Grain,
    ) -> Result<Vec<(String, Totals)>, StoreError> {
        match grain {
            Grain::Hour => self.hours(app, period).await,
            Grain::Day => {
                let days: Vec<Date> = period.days().collect();
                let names = days.iter().map(|date| countly_day(*date)).collect();
                self.periods(app, days.iter().map(|date| day(*date)).collect(), names)
                    .await
            }
            Grain::Month => {
                let months: BTreeSet<(i16, i8, String)> =
                    period.days().map(|d| (d.year(), d.month(), month(d))).collect();
                let names = months
                    .iter()
                    .map(|(year, month, _)| format!("{year}-{month}"))
                    .collect();
                self.periods(app, months.into_iter().map(|(_, _, key)| key).collect(), names)
                    .await
            }
        }
    }

    async fn periods(
        &self,
        app: &App,
        keys: Vec<String>,
        names: Vec<String>,
    ) -> Result<Vec<(String, Totals)>, StoreError> {
        let unions: Vec<Vec<String>> = keys.iter().map(|key| vec![key.clone()]).collect();
        let (sums, uniques) = futures::try_join!(
            self.store.sums_of(app, &keys, &FIELDS),
            self.store.uniques(app, &unions)
        )?;
        let totals = sums
            .iter()
            .zip(uniques)
            .map(|(values, unique)| Totals::of(values, unique));
        Ok(names.into_iter().zip(totals).collect())
    }

    async fn hours(&self, app: &App, period: Period) -> Result<Vec<(String, Totals)>, StoreError> {
        let fields: Vec<String> = (0..24)
            .flat_map(|hour| FIELDS.map(|name| format!("{hour:02}:{name}")))
            .collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        // Hours' uniques are not kept for longer than two days.
        let days: Vec<Date> = period.days().take(7).collect();
        let keys: Vec<String> = days.iter().map(|date| day(*date)).collect();
        let unions: Vec<Vec<String>> = keys
            .iter()
            .flat_map(|day| (0..24).map(move |hour| vec![format!("{day}T{hour:02}")]))
            .collect();
        let (sums, uniques) = futures::try_join!(
            self.store.sums_of(app, &keys, &fields),
            self.store.uniques(app, &unions)
        )?;
        let mut uniques = uniques.into_iter();
        let mut found = Vec::new();
        for (date, values) in days.iter().zip(sums) {
            for (hour, values) in values.chunks(FIELDS.len()).enumerate() {
                let totals = Totals::of(values, uniques.next().unwrap_or(0));
                found.push((format!("{}-{hour}", countly_day(*date)), totals));
            }
        }
        Ok(found)
    }

    /// A whole period: sums, and the unique users of all of it.
    pub(super) async fn whole(&self, app: &App, period: Period) -> Result<Totals, StoreError> {
        let keys: Vec<String> = period.days().map(day).collect();
        let unions = [keys.clone()];
        let (sums, uniques) = futures::try_join!(
            self.store.sums_of(app, &keys, &FIELDS),
            self.store.uniques(app, &unions)
        )?;
        let mut totals = Totals::default();
        for values in &sums {
            totals.add(Totals::of(values, 0));
        }
        totals.unique = uniques.first().copied().unwrap_or(0);
        Ok(totals)
    }

    /// What sessions were counted by one property of the devices (`p` platforms, `cc` countries, …), most frequent first. Users are
    /// those of each day, or month if the period is one, added up.
    pub(super) async fn by_kind(
        &self,
        app: &App,
        period: Period,
        kind: &str,
    ) -> Result<Vec<Value>, StoreError> {
        let days: Vec<String> = period.days().map(day).collect();
        let mut found: BTreeMap<String, [f64; 3]> = BTreeMap::new();
        for sums in self.store.counts(app, &days).await? {
            add_kinds(&sums, kind, &mut found);
        }
        let mut list: Vec<_> = found.into_iter().collect();
        list.sort_by(|(a, x), (b, y)| y[0].total_cmp(&x[0]).then(a.cmp(b)));
        Ok(list
            .into_iter()
            .map(|(name, [t, n, u])| json!({"_id": name, "t": number(t), "n": number(n), "u": number(u)}))
            .collect())
    }
}

fn add_kinds(sums: &Sums, kind: &str, found: &mut BTreeMap<String, [f64; 3]>) {
    for (name, by) in sums {
        let parts: Vec<&str> = name.split(SEPARATOR).collect();
        let [of, value, what] = parts[..] else { continue };
        let Some(column) = ["t", "n", "u"]
            .iter()
            .position(|c| *c == what)
            .filter(|_| of == kind)
        else {
            continue;
        };
        found.entry(value.to_owned()).or_default()[column] += by;
    }
}

/// Count, sum and duration of events from the counters: those of one event, or of a segment's values.
pub(super) fn event_numbers(sums: &Sums, prefix: &[&str]) -> [f64; 3] {
    let get = |what: &str| {
        let parts: Vec<&str> = prefix.iter().copied().chain([what]).collect();
        sums.get(&field(&parts)).copied().unwrap_or(0.0)
    };
    [get("c"), get("s"), get("dur")]
}

pub(super) fn event_json(id: Option<&str>, [c, s, dur]: [f64; 3]) -> Value {
    let mut object = Map::new();
    if let Some(id) = id {
        object.insert("_id".to_owned(), id.into());
    }
    object.insert("c".to_owned(), number(c));
    object.insert("s".to_owned(), number(s));
    object.insert("dur".to_owned(), number(dur));
    Value::Object(object)
}

/// The names of the events in the counters.
pub(super) fn event_names(sums: &Sums) -> BTreeSet<String> {
    sums.keys()
        .filter_map(|name| name.split_once(SEPARATOR))
        .map(|(key, _)| key.to_owned())
        .collect()
}

/// The segments of an event, and their values.
pub(super) fn event_segments(sums: &Sums, event: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut segments: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in sums.keys() {
        let parts: Vec<&str> = name.split(SEPARATOR).collect();
        if let [key, segment, value, _] = parts[..]
            && key == event
        {
            segments
                .entry(segment.to_owned())
                .or_default()
                .insert(value.to_owned());
        }
    }
    segments
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "small whole numbers and halves")]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert_eq!((number(3.0), number(2.5)), (json!(3), json!(2.5)));
    }

    #[test]
    fn events_and_their_segments_are_found_by_name() {
        let sums: Sums = [
            ("buy\u{1f}c", 3.0),
            ("buy\u{1f}s", 1.5),
            ("buy\u{1f}colour\u{1f}red\u{1f}c", 2.0),
            ("see\u{1f}c", 1.0),
        ]
        .map(|(name, n)| (name.to_owned(), n))
        .into();
        assert_eq!(event_names(&sums).into_iter().collect::<Vec<_>>(), ["buy", "see"]);
        assert_eq!(event_numbers(&sums, &["buy"]), [3.0, 1.5, 0.0]);
        assert_eq!(event_numbers(&sums, &["buy", "colour", "red"]), [2.0, 0.0, 0.0]);
        assert!(event_segments(&sums, "buy")["colour"].contains("red"));
    }

    #[test]
    fn kinds_are_told_apart() {
        let sums: Sums = [
            ("p\u{1f}iOS\u{1f}t", 3.0),
            ("p\u{1f}iOS\u{1f}n", 1.0),
            ("pv\u{1f}iOS\u{1f}t", 7.0),
            ("t", 9.0),
        ]
        .map(|(name, n)| (name.to_owned(), n))
        .into();
        let mut found = BTreeMap::new();
        add_kinds(&sums, "p", &mut found);
        assert_eq!(found, BTreeMap::from([("iOS".to_owned(), [3.0, 1.0, 0.0])]));
    }
}
