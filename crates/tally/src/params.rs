use std::collections::HashMap;

use serde_json::Value;
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The parameters of a request, wherever it carried them, and the raw text that checksums are made of.
#[derive(Debug, Clone, Default)]
pub struct Params {
    values: HashMap<String, String>,
    query: String,
    form: String,
}

/// More names than any SDK sends; the rest is not looked at.
const MAX_NAMES: usize = 256;

impl Params {
    /// From the URL's query.
    pub fn from_query(query: &str) -> Params {
        let mut params = Params {
            query: query.to_owned(),
            ..Params::default()
        };
        params.take(form_urlencoded::parse(query.as_bytes()).into_owned());
        params
    }

    /// A form wins over the query where both name a parameter, as in Countly.
    pub fn add_form(&mut self, body: &[u8]) {
        let body = body.trim_ascii();
        self.form = String::from_utf8_lossy(body).into_owned();
        self.take(form_urlencoded::parse(body).into_owned());
    }

    /// So does a JSON object; whether it was one.
    pub fn add_json(&mut self, body: &[u8]) -> bool {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
            return false;
        };
        self.form = String::from_utf8_lossy(body).into_owned();
        self.take(object.into_iter().map(|(name, value)| (name, text(value))));
        true
    }

    /// From one element of a bulk request; `None` if it is not an object.
    pub fn from_item(item: Value) -> Option<Params> {
        let Value::Object(object) = item else { return None };
        // The order of names is the object's own; equal items are equal texts.
        let mut params = Params {
            form: serde_json::to_string(&object).unwrap_or_default(),
            ..Params::default()
        };
        params.take(object.into_iter().map(|(name, value)| (name, text(value))));
        Some(params)
    }

    fn take(&mut self, pairs: impl Iterator<Item = (String, String)>) {
        for (name, value) in pairs.take(MAX_NAMES) {
            self.values.insert(name, value);
        }
    }

    /// A parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Sets a parameter unless it is there.
    pub fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.values.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Whether this is the checksum of what was sent, with the app's salt: `checksum256` (SHA-256) or `checksum` (SHA-1) over
    /// the query or form without that parameter. `None` if there is none.
    pub fn checksum_matches(&self, salt: &str) -> Option<bool> {
        let (name, given) = ["checksum256", "checksum"]
            .iter()
            .find_map(|name| Some((*name, self.get(name)?)))?;
        let both = [self.query.as_str(), self.form.as_str()].join("&");
        let candidates = [self.form.as_str(), self.query.as_str(), both.as_str()];
        let matches = candidates.iter().filter(|raw| !raw.is_empty()).any(|raw| {
            let text = without(raw, &["checksum256", "checksum"]);
            let sum = match name {
                "checksum256" => hex::encode(Sha256::new().chain_update(&text).chain_update(salt).finalize()),
                _ => hex::encode(Sha1::new().chain_update(&text).chain_update(salt).finalize()),
            };
            sum.eq_ignore_ascii_case(given)
        });
        Some(matches)
    }

    /// What makes this request this request: everything that was sent except the number of requests that remained in the SDK's
    /// queue and the checksums, which differ when an SDK sends it again. 48 bits. Only requests with a time in
    /// milliseconds have one, because SDKs make these unique; without it nobody can tell a retry from the same thing happening twice.
    /// (Countly: api/utils/requestProcessor.js, `request_hash`.)
    pub fn fingerprint(&self) -> Option<u64> {
        if self.get("timestamp")?.len() != 13 {
            return None;
        }
        let volatile = ["rr", "checksum", "checksum256"];
        let mut sha = Sha1::new();
        for raw in [&self.query, &self.form] {
            sha.update(without(raw, &volatile));
            sha.update([0]);
        }
        let sum = sha.finalize();
        let number = sum[..6]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(number.max(1))
    }
}

/// A query without some of its parameters, its other bytes untouched.
fn without(raw: &str, names: &[&str]) -> String {
    let keep = |pair: &&str| !names.contains(&pair.split('=').next().unwrap_or_default());
    raw.split('&').filter(keep).collect::<Vec<_>>().join("&")
}

/// Strings as they are; everything else as JSON, which is what a form would have carried.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Bool(yes) => u8::from(yes).to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_form_wins_over_the_query_and_malformed_ones_do_no_harm() {
        let mut params = Params::from_query("app_key=q&device_id=d");
        params.add_form(b"app_key=a&events=%5B%7B%22key%22%3A%22x%22%7D%5D\n");
        assert_eq!(
            (params.get("app_key"), params.get("device_id")),
            (Some("a"), Some("d"))
        );
        assert_eq!(params.get("events"), Some(r#"[{"key":"x"}]"#));
        assert_eq!(Params::from_query("a=%zz&\u{fffd}&&=").get("a"), Some("%zz"));
    }

    #[test]
    fn json_bodies_carry_nested_values_as_json() {
        let mut params = Params::default();
        assert!(params.add_json(
            br#"{"app_key":"a","events":[{"key":"x"}],"begin_session":true,"timestamp":1795392000123}"#
        ));
        assert_eq!(params.get("events"), Some(r#"[{"key":"x"}]"#));
        assert_eq!(
            (params.get("begin_session"), params.get("timestamp")),
            (Some("1"), Some("1795392000123"))
        );
        assert!(!params.add_json(b"[1]") && !params.add_json(b"{"));
    }

    #[test]
    fn checksums_cover_the_raw_text() {
        let raw = "app_key=a&device_id=d%20e&begin_session=1";
        let sum = hex::encode(Sha256::digest(format!("{raw}salt")));
        assert_eq!(
            Params::from_query(&format!("{raw}&checksum256={sum}")).checksum_matches("salt"),
            Some(true)
        );
        assert_eq!(
            Params::from_query(&format!("{raw}&checksum256={sum}")).checksum_matches("pepper"),
            Some(false)
        );
        assert_eq!(Params::from_query(raw).checksum_matches("salt"), None);
        let mut form = Params::from_query("");
        let sum = hex::encode_upper(Sha1::digest(format!("{raw}salt")));
        form.add_form(format!("{raw}&checksum={sum}").as_bytes());
        assert_eq!(form.checksum_matches("salt"), Some(true));
    }

    #[test]
    fn a_retry_has_the_fingerprint_of_the_first_try() {
        let of = |query: &str| Params::from_query(query).fingerprint();
        let first = of("device_id=d&begin_session=1&timestamp=1795392000123&rr=4");
        assert!(first.is_some());
        assert_eq!(
            first,
            of("device_id=d&begin_session=1&timestamp=1795392000123&rr=0")
        );
        assert_ne!(
            first,
            of("device_id=d&begin_session=1&timestamp=1795392000124&rr=4")
        );
        assert_eq!(of("device_id=d&begin_session=1"), None);
        assert_eq!(of("device_id=d&begin_session=1&timestamp=1795392000"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(query in ".{0,200}", body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut params = Params::from_query(&query);
            params.add_form(&body);
            params.add_json(&body);
            let _ = (params.fingerprint(), params.checksum_matches("s"));
        }
    }
}
