//! Instant queries, and how names and selectors are put into them.
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube_types::{LabelSelector, Operator};
use serde::Deserialize;

use crate::Error;
use crate::status::Failure;

/// How long a query may take. An autoscaler asks again; it must not pile up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Prometheus.
pub struct Prometheus {
    client: reqwest::Client,
    query: reqwest::Url,
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it is of.
    pub at: Timestamp,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// A label, or an empty string.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Element>,
}

#[derive(Deserialize)]
struct Element {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    /// At this address.
    pub fn new(url: &str) -> Result<Self, Error> {
        let failed = |reason: String| Error::Prometheus {
            url: url.to_owned(),
            reason,
        };
        if !url.starts_with("http://") {
            return Err(failed("only http:// is spoken".to_owned()));
        }
        // The demo's image has no certificate authorities, and none are needed inside the cluster.
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .tls_certs_only(std::iter::empty())
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let query = format!("{}/api/v1/query", url.trim_end_matches('/'))
            .parse()
            .map_err(|e| failed(format!("{e}")))?;
        Ok(Self { client, query })
    }

    /// The vector that a query gives now. Values that are no numbers are left out.
    pub async fn query(&self, query: &str) -> Result<Vec<Sample>, String> {
        let mut url = self.query.clone();
        url.query_pairs_mut().append_pair("query", query);
        let failed = |e: reqwest::Error| format!("prometheus does not answer: {e}");
        let response = self.client.get(url).send().await.map_err(failed)?;
        let body = response.bytes().await.map_err(failed)?;
        samples(&body).map_err(|e| format!("query {query}: {e}"))
    }
}

fn samples(body: &[u8]) -> Result<Vec<Sample>, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let Some(data) = answer.data else {
        return Err(answer.error);
    };
    let parsed = data.result.into_iter().filter_map(|element| {
        let (at, value) = element.value;
        let value: f64 = value.parse().ok()?;
        value.is_finite().then_some(Sample {
            labels: element.metric,
            at: Timestamp::from_millisecond((at * 1000.0) as i64).ok()?,
            value,
        })
    });
    Ok(parsed.collect())
}

/// Puts namespace, names and selector into a query.
pub fn fill(
    query: &str,
    namespace: &str,
    names: &[String],
    selector: &LabelSelector,
) -> Result<String, Failure> {
    Ok(query
        .replace("$namespace", &text(namespace))
        .replace("$names", &alternatives(names))
        .replace("$selector", &matchers(selector)?))
}

/// A regular expression for any of these.
fn alternatives(names: &[String]) -> String {
    let escaped: Vec<String> = names.iter().map(|name| text(&literal(name))).collect();
    escaped.join("|")
}

/// Inside double quotes.
fn text(raw: &str) -> String {
    raw.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// A regular expression that matches exactly this.
fn literal(raw: &str) -> String {
    let mut out = String::new();
    for char in raw.chars() {
        if "\\.+*?()|[]{}^$".contains(char) {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

/// Label matchers, each with a comma before it.
fn matchers(selector: &LabelSelector) -> Result<String, Failure> {
    let mut out = String::new();
    for requirement in selector.requirements() {
        let key = &requirement.key;
        let values: Vec<String> = requirement.values.iter().cloned().collect();
        let any = alternatives(&values);
        let one = values.first().map(|v| text(v)).unwrap_or_default();
        out.push(',');
        out.push_str(&match requirement.operator {
            Operator::Equals | Operator::DoubleEquals => format!("{key}=\"{one}\""),
            Operator::NotEquals => format!("{key}!=\"{one}\""),
            Operator::In => format!("{key}=~\"{any}\""),
            Operator::NotIn => format!("{key}!~\"{any}\""),
            Operator::Exists => format!("{key}!=\"\""),
            Operator::DoesNotExist => format!("{key}=\"\""),
            Operator::GreaterThan | Operator::LessThan => {
                let message = format!("labels of metrics cannot be compared by size: {key}");
                return Err(Failure::bad_request(message));
            }
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_filled() {
        let names = ["tally-1".to_owned(), "a.b".to_owned()];
        let selector = "queue=a,tier in (x, y),!old".parse().unwrap();
        assert_eq!(
            fill(
                "sum by (pod) (rate(r{namespace=\"$namespace\",pod=~\"$names\"$selector}[1m]))",
                "demo",
                &names,
                &selector
            )
            .unwrap(),
            "sum by (pod) (rate(r{namespace=\"demo\",pod=~\"tally-1|a\\\\.b\",old=\"\",queue=\"a\",tier=~\"x|y\"}[1m]))"
        );
        assert_eq!(
            fill(
                "x{n=\"$namespace\"}",
                "\"} or vector(1)",
                &[],
                &LabelSelector::everything()
            )
            .unwrap(),
            "x{n=\"\\\"} or vector(1)\"}"
        );
    }

    #[test]
    fn what_prometheus_cannot_compare_is_refused() {
        let selector = "size>3".parse().unwrap();
        assert_eq!(fill("x", "", &[], &selector).unwrap_err().code, 400);
    }

    #[test]
    fn only_plain_http() {
        let error = Prometheus::new("https://prometheus").err().unwrap().to_string();
        assert_eq!(
            error,
            "\"https://prometheus\" is no address of a Prometheus: only http:// is spoken"
        );
    }

    #[test]
    fn vectors_are_read() {
        let body = br#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"pod":"a"},"value":[1700000000.25,"1.5"]},{"metric":{"pod":"b"},"value":[1700000000.25,"NaN"]}]}}"#;
        let found = samples(body).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label("pod"), found[0].value), ("a", 1.5));
        assert_eq!(found[0].at.as_second(), 1_700_000_000);
        let error = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(samples(error), Err("parse error".to_owned()));
    }
}
