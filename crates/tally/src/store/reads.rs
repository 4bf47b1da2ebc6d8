use std::collections::{BTreeMap, HashMap};

use futures::future::try_join_all;
use redis::Pipeline;
use serde_json::{Map, Value};

use super::{Store, StoreError};
use crate::App;
use crate::plan::{BUCKETS, Uid, key};

/// Counters by field name, summed over all buckets.
pub(crate) type Sums = HashMap<String, f64>;

impl Store {
    /// Some fields of the counters of some periods (days or months): for each period a sum for each field.
    pub(crate) async fn sums_of(
        &self,
        app: &App,
        periods: &[String],
        fields: &[&str],
    ) -> Result<Vec<Vec<f64>>, StoreError> {
        let per_bucket: Vec<Vec<Vec<Option<f64>>>> = self
            .each_bucket(|bucket, pipe| {
                for period in periods {
                    pipe.cmd("HMGET")
                        .arg(key::counts(bucket, &app.id, period))
                        .arg(fields);
                }
            })
            .await?;
        let mut sums = vec![vec![0.0; fields.len()]; periods.len()];
        for periods in per_bucket {
            for (sum, values) in sums.iter_mut().zip(periods) {
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += value.unwrap_or(0.0);
                }
            }
        }
        Ok(sums)
    }

    /// All counters of some periods, each.
    pub(crate) async fn counts(&self, app: &App, periods: &[String]) -> Result<Vec<Sums>, StoreError> {
        self.hashes(periods, |bucket, period| key::counts(bucket, &app.id, period))
            .await
    }

    /// All counters of events of some periods, each.
    pub(crate) async fn events(&self, app: &App, periods: &[String]) -> Result<Vec<Sums>, StoreError> {
        self.hashes(periods, |bucket, period| key::events(bucket, &app.id, period))
            .await
    }

    /// Crashes by name and kind, and what the app came to in all.
    pub(crate) async fn crashes_and_totals(&self, app: &App) -> Result<(Sums, Sums), StoreError> {
        let names = ["x".to_owned(), "t".to_owned()];
        let mut found = self
            .hashes(&names, |bucket, name| match name {
                "x" => key::crashes(bucket, &app.id),
                _ => key::totals(bucket, &app.id),
            })
            .await?
            .into_iter();
        Ok((found.next().unwrap_or_default(), found.next().unwrap_or_default()))
    }

    async fn hashes(
        &self,
        names: &[String],
        key: impl Fn(usize, &str) -> String,
    ) -> Result<Vec<Sums>, StoreError> {
        let per_bucket: Vec<Vec<HashMap<String, f64>>> = self
            .each_bucket(|bucket, pipe| {
                for name in names {
                    pipe.cmd("HGETALL").arg(key(bucket, name));
                }
            })
            .await?;
        let mut sums = vec![Sums::new(); names.len()];
        for hashes in per_bucket {
            for (sum, hash) in sums.iter_mut().zip(hashes) {
                for (field, value) in hash {
                    *sum.entry(field).or_default() += value;
                }
            }
        }
        Ok(sums)
    }

    /// Unique users of each of some unions of periods, by HyperLogLog. A device is in one bucket only, so that sums of buckets are right, and
    /// the error of 0.81 % of each becomes some 0.12 % of the sum when there are many.
    pub(crate) async fn uniques(&self, app: &App, unions: &[Vec<String>]) -> Result<Vec<u64>, StoreError> {
        let per_bucket: Vec<Vec<u64>> = self
            .each_bucket(|bucket, pipe| {
                for periods in unions {
                    let keys: Vec<String> = periods
                        .iter()
                        .map(|period| key::uniques(bucket, &app.id, period))
                        .collect();
                    pipe.cmd("PFCOUNT").arg(keys);
                }
            })
            .await?;
        let mut sums = vec![0; unions.len()];
        for counts in per_bucket {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok(sums)
    }

    /// What is known of a user, nested as it was sent; `None` if nothing is.
    pub(crate) async fn profile(&self, app: &App, uid: Uid) -> Result<Option<Value>, StoreError> {
        let mut pipe = Pipeline::new();
        pipe.cmd("HGETALL").arg(key::profile(&app.id, uid));
        let (found,): (BTreeMap<String, String>,) = self.reader.ask(uid.bucket(), &pipe).await?;
        let mut profile = Map::new();
        for (name, text) in &found {
            let value: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
            match name.split_once('.') {
                Some((group, name)) => {
                    let group = profile
                        .entry(group.to_owned())
                        .or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(group) = group {
                        group.insert(name.to_owned(), value);
                    }
                }
                None => {
                    profile.insert(name.clone(), value);
                }
            }
        }
        Ok((!profile.is_empty()).then_some(Value::Object(profile)))
    }

    /// What a device is called today, for reading.
    pub(crate) async fn uid_of(
        &self,
        app: &std::sync::Arc<App>,
        device_id: &str,
    ) -> Result<Option<Uid>, StoreError> {
        self.known_as(app, Uid::of(&app.key, device_id)).await
    }

    /// Asks all buckets at once, each in one pipeline.
    async fn each_bucket<T: redis::FromRedisValue>(
        &self,
        ask: impl Fn(usize, &mut Pipeline),
    ) -> Result<Vec<T>, StoreError> {
        let asked = (0..BUCKETS).map(|bucket| {
            let mut pipe = Pipeline::new();
            ask(bucket, &mut pipe);
            async move { self.reader.ask(bucket, &pipe).await }
        });
        try_join_all(asked).await
    }
}
