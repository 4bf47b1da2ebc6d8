use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::series::{Grain, Totals, event_json, event_names, event_numbers, event_segments, number};
use super::{Api, Response, body, busy, message};
use crate::plan::SEPARATOR;
use crate::store::Sums;
use crate::when::{Period, day};
use crate::{App, Params, StoreError};

/// However many watch the page, the store is asked twice a second.
const LIVE_FOR: Duration = Duration::from_millis(500);

/// The page's answers that are still fresh, by app.
pub(super) type Live = tokio::sync::Mutex<HashMap<String, (Instant, Value)>>;

/// Countly's names of what devices are counted by, and the short names in the store.
const KINDS: [(&str, &str); 15] = [
    ("platforms", "p"),
    ("os", "p"),
    ("os_versions", "pv"),
    ("platform_versions", "pv"),
    ("devices", "d"),
    ("device_type", "dt"),
    ("manufacturers", "mnf"),
    ("resolutions", "r"),
    ("carriers", "c"),
    ("app_versions", "av"),
    ("browser", "brw"),
    ("langs", "lo"),
    ("countries", "cc"),
    ("cities", "ci"),
    ("times-of-day", "tod"),
];

/// Why nothing is answered.
enum Nothing {
    Store(StoreError),
    Bad(&'static str),
    NotAllowed,
}

impl From<StoreError> for Nothing {
    fn from(error: StoreError) -> Nothing {
        Nothing::Store(error)
    }
}

impl Api {
    /// `/o…`
    pub(super) async fn read(&self, path: &str, params: &Params) -> Response {
        match self.find(path, params).await {
            Ok(value) => body(&value),
            Err(Nothing::Bad(what)) => message(StatusCode::BAD_REQUEST, what),
            Err(Nothing::NotAllowed) => message(StatusCode::UNAUTHORIZED, "User does not exist"),
            Err(Nothing::Store(e)) => {
                tracing::warn!("a read was not answered: {e}");
                busy(&e)
            }
        }
    }

    async fn find(&self, path: &str, params: &Params) -> Result<Value, Nothing> {
        self.may_read(params)?;
        if path == "/o/tally/apps" {
            return Ok(self
                .apps
                .iter()
                .map(|app| json!({"id": app.id, "name": app.name}))
                .collect());
        }
        let app = self.app_to_read(params)?;
        match path {
            "/o" => self.read_method(&app, params).await,
            "/o/analytics/sessions" | "/o/analytics/users" => self.sessions(&app, params).await,
            "/o/analytics/events" => self.events(&app, params).await,
            "/o/analytics/dashboard" => self.dashboard(&app).await,
            "/o/analytics/countries" => self.kinds(&app, params, "cc").await,
            "/o/analytics/metric" => match kind_called(params.get("metric").unwrap_or_default()) {
                Some(kind) => self.kinds(&app, params, kind).await,
                None => Err(Nothing::Bad("Invalid parameter \"metric\"")),
            },
            "/o/tally/live" => self.live(&app).await,
            _ => Err(Nothing::Bad("Invalid path")),
        }
    }

    fn may_read(&self, params: &Params) -> Result<(), Nothing> {
        let Some(wanted) = &self.reader_key else {
            return Ok(());
        };
        let given = params.get("api_key").or_else(|| params.get("auth_token"));
        let given = given.ok_or(Nothing::Bad("Missing parameter \"api_key\" or \"auth_token\""))?;
        // Equal hashes instead of equal texts: how long it takes says nothing of how much was right.
        if Sha256::digest(given) == Sha256::digest(wanted) {
            Ok(())
        } else {
            Err(Nothing::NotAllowed)
        }
    }

    /// By `app_id` as Countly has it, or by `app_key`.
    fn app_to_read(&self, params: &Params) -> Result<Arc<App>, Nothing> {
        let app = match (params.get("app_id"), params.get("app_key")) {
            (Some(id), _) if id.len() != 24 => return Err(Nothing::Bad("Invalid parameter \"app_id\"")),
            (Some(id), _) => self.apps.with_id(id),
            (None, Some(key)) => self.apps.with_key(key),
            (None, None) => return Err(Nothing::Bad("Missing parameter \"app_id\"")),
        };
        app.cloned().ok_or(Nothing::Bad("App does not exist"))
    }

    fn period(app: &App, params: &Params, unless_told: &str) -> Result<Period, Nothing> {
        let today = Timestamp::now().to_zoned(app.zone.clone()).date();
        let text = params.get("period").unwrap_or(unless_told);
        Period::parse(Some(text), today, &app.zone).ok_or(Nothing::Bad("Invalid parameter \"period\""))
    }

    fn grain(params: &Params, period: Period) -> Grain {
        match params.get("bucket") {
            Some("hourly") => Grain::Hour,
            Some("monthly") => Grain::Month,
            None if params.get("period") == Some("hour") => Grain::Hour,
            None if period.days().count() > 90 => Grain::Month,
            _ => Grain::Day,
        }
    }

    /// `/o?method=…`
    async fn read_method(&self, app: &Arc<App>, params: &Params) -> Result<Value, Nothing> {
        let method = params.get("method").unwrap_or_default();
        match method {
            "sessions" | "users" => self.nested_sessions(app, params).await,
            "total_users" => Ok(number(self.users(app).await?)),
            "events" => self.nested_events(app, params).await,
            "get_events" => self.known_events(app, params).await,
            "top_events" => self.top_events(app, params).await,
            "crashes" => self.crashes(app).await,
            "user_details" => self.user(app, params).await,
            "locations" => self.kinds(app, params, "cc").await,
            "device_details" => {
                let mut details = Map::new();
                for (name, kind) in [
                    ("os", "p"),
                    ("os_versions", "pv"),
                    ("resolutions", "r"),
                    ("app_versions", "av"),
                ] {
                    details.insert(name.to_owned(), self.kinds(app, params, kind).await?);
                }
                Ok(Value::Object(details))
            }
            other => match kind_called(other) {
                Some(kind) => self.kinds(app, params, kind).await,
                None => Err(Nothing::Bad("Invalid method")),
            },
        }
    }

    async fn sessions(&self, app: &App, params: &Params) -> Result<Value, Nothing> {
        let period = Api::period(app, params, "30days")?;
        let series = self.series(app, period, Api::grain(params, period)).await?;
        Ok(series
            .iter()
            .map(|(name, totals)| totals.json(Some(name)))
            .collect())
    }

    /// `{"2026": {"11": {"22": {t, n, u, d, e}}}}`
    async fn nested_sessions(&self, app: &App, params: &Params) -> Result<Value, Nothing> {
        let period = Api::period(app, params, "day")?;
        let mut years = Map::new();
        for (name, totals) in self.series(app, period, Grain::Day).await? {
            nest(&mut years, &name, totals.json(None));
        }
        Ok(Value::Object(years))
    }

    async fn kinds(&self, app: &App, params: &Params, kind: &str) -> Result<Value, Nothing> {
        Ok(self
            .by_kind(app, Api::period(app, params, "30days")?, kind)
            .await?
            .into())
    }

    async fn event_counters(&self, app: &App, period: Period) -> Result<(Vec<String>, Vec<Sums>), Nothing> {
        let names = period.days().map(crate::when::countly_day).collect();
        let days: Vec<String> = period.days().map(day).collect();
        Ok((names, self.store.events(app, &days).await?))
    }

    /// By day; with `segmentation`, by the segment's values over the period.
    async fn events(&self, app: &App, params: &Params) -> Result<Value, Nothing> {
        let event = params
            .get("event")
            .ok_or(Nothing::Bad("Missing parameter \"event\""))?;
        let (names, days) = self
            .event_counters(app, Api::period(app, params, "30days")?)
            .await?;
        let Some(segment) = params
            .get("segmentation")
            .filter(|segment| *segment != "no-segment")
        else {
            let rows = names.iter().zip(&days);
            return Ok(rows
                .map(|(name, sums)| event_json(Some(name), event_numbers(sums, &[event])))
                .collect());
        };
        let whole = merged(&days);
        let values = event_segments(&whole, event).remove(segment).unwrap_or_default();
        Ok(values
            .iter()
            .map(|value| event_json(Some(value), event_numbers(&whole, &[event, segment, value])))
            .collect())
    }

    async fn nested_events(&self, app: &App, params: &Params) -> Result<Value, Nothing> {
        let event = params
            .get("event")
            .ok_or(Nothing::Bad("Missing parameter \"event\""))?;
        let (names, days) = self.event_counters(app, Api::period(app, params, "day")?).await?;
        let mut years = Map::new();
        for (name, sums) in names.iter().zip(&days) {
            nest(&mut years, name, event_json(None, event_numbers(sums, &[event])));
        }
        Ok(Value::Object(years))
    }

    /// Events and their segments, as Countly's document of them.
    async fn known_events(&self, app: &App, params: &Params) -> Result<Value, Nothing> {
        let (_, days) = self
            .event_counters(app, Api::period(app, params, "30days")?)
            .await?;
        let whole = merged(&days);
        let list: Vec<String> = event_names(&whole).into_iter().collect();
        let segments: Map<String, Value> = list
            .iter()
            .map(|event| {
                (
                    event.clone(),
                    event_segments(&whole, event).into_keys().collect::<Vec<_>>(),
                )
            })
            .filter(|(_, segments)| !segments.is_empty())
            .map(|(event, segments)| (event, segments.into()))
            .collect();
        Ok(json!({"_id": app.id, "list": list, "segments": segments}))
    }

    async fn top_events(&self, app: &App, params: &Params) -> Result<Value, Nothing> {
        let (_, days) = self
            .event_counters(app, Api::period(app, params, "30days")?)
            .await?;
        let limit = params.get("limit").and_then(|n| n.parse().ok()).unwrap_or(10);
        Ok(json!({"app_id": app.id, "data": top(&merged(&days), limit)}))
    }

    async fn crashes(&self, app: &App) -> Result<Value, Nothing> {
        let (crashes, _) = self.store.crashes_and_totals(app).await?;
        let mut rows: Vec<_> = crashes.into_iter().collect();
        rows.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
        let row = |(field, reports): (String, f64)| {
            let (name, kind) = field.split_once(SEPARATOR).unwrap_or((&field, "fatal"));
            json!({"name": name, "nonfatal": kind == "nonfatal", "reports": number(reports)})
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn user(&self, app: &Arc<App>, params: &Params) -> Result<Value, Nothing> {
        let device = params
            .get("device_id")
            .ok_or(Nothing::Bad("Missing parameter \"device_id\""))?;
        let Some(uid) = self.store.uid_of(app, device).await? else {
            return Err(Nothing::Bad("User does not exist"));
        };
        Ok(self.store.profile(app, uid).await?.unwrap_or_else(|| json!({})))
    }

    async fn users(&self, app: &App) -> Result<f64, Nothing> {
        let (_, totals) = self.store.crashes_and_totals(app).await?;
        Ok(totals.get("users").copied().unwrap_or(0.0))
    }

    /// Per period the totals, how they changed against the period before, and the most frequent kinds.
    async fn dashboard(&self, app: &App) -> Result<Value, Nothing> {
        let today = Timestamp::now().to_zoned(app.zone.clone()).date();
        let mut periods = Map::new();
        for name in ["30days", "7days", "today"] {
            let Some(period) = Period::parse(Some(name), today, &app.zone) else {
                continue;
            };
            let (now, before) =
                futures::try_join!(self.whole(app, period), self.whole(app, period.before()))?;
            let mut top = Map::new();
            for (name, kind) in [
                ("platforms", "p"),
                ("resolutions", "r"),
                ("carriers", "c"),
                ("countries", "cc"),
            ] {
                let mut rows = self.by_kind(app, period, kind).await?;
                rows.truncate(3);
                top.insert(name.to_owned(), rows.into());
            }
            let label = format!("{} - {}", period.first, period.last);
            periods.insert(
                name.to_owned(),
                json!({"dashboard": compared(now, before), "top": top, "period": label}),
            );
        }
        Ok(Value::Object(periods))
    }

    /// What the page shows.
    async fn live(&self, app: &App) -> Result<Value, Nothing> {
        // Held while the store is asked: those who come meanwhile get the same answer.
        let mut fresh = self.live.lock().await;
        if let Some((at, value)) = fresh.get(&app.id)
            && at.elapsed() < LIVE_FOR
        {
            return Ok(value.clone());
        }
        let value = self.live_now(app).await?;
        fresh.insert(app.id.clone(), (Instant::now(), value.clone()));
        Ok(value)
    }

    async fn live_now(&self, app: &App) -> Result<Value, Nothing> {
        let now = Timestamp::now();
        let today = now.to_zoned(app.zone.clone()).date();
        let period = Period {
            first: today,
            last: today,
        };
        let (hours, totals, users, (_, days)) = futures::try_join!(
            async { Ok(self.series(app, period, Grain::Hour).await?) },
            async { Ok(self.whole(app, period).await?) },
            self.users(app),
            self.event_counters(app, period),
        )?;
        let (countries, platforms) =
            futures::try_join!(self.by_kind(app, period, "cc"), self.by_kind(app, period, "p"))?;
        let hours: Vec<Value> = hours
            .iter()
            .map(|(_, hour)| json!({"t": number(hour.sessions), "u": hour.unique, "ev": number(hour.events)}))
            .collect();
        Ok(json!({
            "now": now.as_millisecond(), "app": app.name, "day": today.to_string(), "users": number(users),
            "today": {
                "t": number(totals.sessions), "n": number(totals.new), "u": totals.unique, "d": number(totals.seconds),
                "e": number(totals.requests), "ev": number(totals.events), "cr": number(totals.crashes),
            },
            "hours": hours, "events": top(&merged(&days), 8),
            "countries": countries.into_iter().take(8).collect::<Vec<_>>(), "platforms": platforms.into_iter().take(8).collect::<Vec<_>>(),
        }))
    }
}

fn kind_called(name: &str) -> Option<&'static str> {
    KINDS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, kind)| *kind)
}

/// Puts a value below year, month and day of a name such as `2026-11-22`.
fn nest(years: &mut Map<String, Value>, name: &str, value: Value) {
    let mut parts = name.splitn(3, '-');
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let months = years.entry(year).or_insert_with(|| json!({}));
    months[month][day] = value;
}

fn merged(days: &[Sums]) -> Sums {
    let mut whole = Sums::new();
    for sums in days {
        for (name, by) in sums {
            *whole.entry(name.clone()).or_default() += by;
        }
    }
    whole
}

fn top(sums: &Sums, limit: usize) -> Vec<Value> {
    let mut events: Vec<_> = event_names(sums)
        .into_iter()
        .map(|name| (event_numbers(sums, &[&name]), name))
        .collect();
    events.sort_by(|(a, _), (b, _)| b[0].total_cmp(&a[0]));
    let row = |([count, sum, dur], name): ([f64; 3], String)| json!({"name": name, "count": number(count), "sum": number(sum), "duration": number(dur)});
    events.into_iter().take(limit).map(row).collect()
}

/// Countly's form: total, change in percent, trend.
fn compared(now: Totals, before: Totals) -> Value {
    let row = |now: f64, before: f64| {
        let (change, trend) = if before == 0.0 {
            ("NA".to_owned(), "u")
        } else {
            (
                format!("{:.1}%", (now - before) / before * 100.0),
                if now < before { "d" } else { "u" },
            )
        };
        json!({"total": number(now), "change": change, "trend": trend})
    };
    let per = |a: f64, b: f64| {
        if b == 0.0 {
            0.0
        } else {
            (a / b * 100.0).round() / 100.0
        }
    };
    let (users, users_before) = (now.unique as f64, before.unique as f64);
    json!({
        "total_sessions": row(now.sessions, before.sessions),
        "total_users": row(users, users_before),
        "new_users": row(now.new, before.new),
        "total_time": row(now.seconds, before.seconds),
        "avg_time": row(per(now.seconds, now.sessions), per(before.seconds, before.sessions)),
        "avg_requests": row(per(now.requests, users), per(before.requests, users_before)),
        "events": row(now.events, before.events),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_nested_by_year_and_month() {
        let mut years = Map::new();
        nest(&mut years, "2026-11-22", json!(1));
        nest(&mut years, "2026-11-23", json!(2));
        assert_eq!(Value::Object(years), json!({"2026": {"11": {"22": 1, "23": 2}}}));
    }

    #[test]
    fn a_period_is_compared_with_the_one_before() {
        let totals = |sessions| Totals {
            sessions,
            ..Totals::default()
        };
        let found = compared(totals(3.0), totals(2.0));
        assert_eq!(
            found["total_sessions"],
            json!({"total": 3, "change": "50.0%", "trend": "u"})
        );
        assert_eq!(
            compared(totals(3.0), totals(0.0))["total_sessions"]["change"],
            "NA"
        );
    }
}
