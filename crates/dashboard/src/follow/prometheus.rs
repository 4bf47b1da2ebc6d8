use std::collections::BTreeMap;
use std::time::Duration;

use form_urlencoded::Serializer;
use http::Request;
use kube::Client;
use serde_json::Value;

use crate::story::Sample;

/// The demo's Prometheus scrapes every two seconds.
pub(super) const STEP: i64 = 2_000;
const PATIENCE: Duration = Duration::from_secs(4);

/// A Prometheus, at its own address or behind the API server.
#[derive(Clone)]
pub(super) enum Prometheus {
    /// Through the API server's proxy of the service `prometheus` in this namespace.
    Service(Client, String),
    /// At this address.
    Url(reqwest::Client, String),
}

impl Prometheus {
    /// What it has between two instants (ms), both included, step by step.
    pub(super) async fn ask(&self, namespace: &str, from: i64, to: i64) -> Result<Vec<Sample>, String> {
        let query = Serializer::new(String::new())
            .append_pair("query", &query(namespace))
            .append_pair("start", &format!("{:.3}", from as f64 / 1000.0))
            .append_pair("end", &format!("{:.3}", to as f64 / 1000.0))
            .append_pair("step", &format!("{}", STEP / 1000))
            .finish();
        let text = tokio::time::timeout(PATIENCE, self.get(&format!("api/v1/query_range?{query}")))
            .await
            .map_err(|_| format!("Prometheus does not answer within {} s", PATIENCE.as_secs()))??;
        let answer: Value =
            serde_json::from_str(&text).map_err(|_| "Prometheus does not answer JSON".to_owned())?;
        if answer["status"] != "success" {
            return Err(format!(
                "Prometheus refuses: {}",
                answer["error"].as_str().unwrap_or("no reason given")
            ));
        }
        Ok(samples(&answer))
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        match self {
            Prometheus::Service(client, namespace) => {
                let path = format!("/api/v1/namespaces/{namespace}/services/prometheus:http/proxy/{path}");
                let request = Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
                client.request_text(request).await.map_err(|e| match e {
                    kube::Error::Api(status) if status.code == 404 => "there is no Prometheus yet".to_owned(),
                    kube::Error::Api(status) if status.code == 503 => {
                        format!("Prometheus is not ready: {}", status.message)
                    }
                    e => format!("Prometheus cannot be asked: {e}"),
                })
            }
            Prometheus::Url(http, base) => {
                let url = format!("{}/{path}", base.trim_end_matches('/'));
                let answer = http
                    .get(url)
                    .send()
                    .await
                    .map_err(|e| format!("Prometheus cannot be asked: {e}"))?;
                answer
                    .text()
                    .await
                    .map_err(|e| format!("Prometheus' answer breaks off: {e}"))
            }
        }
    }
}

/// Everything in one query, told apart by the label `what`: one request each two seconds is all that watching costs.
fn query(namespace: &str) -> String {
    /// Four scrapes: a rate needs two, and one may be late.
    const RANGE: &str = "[8s]";
    let here = format!("namespace=\"{namespace}\"");
    let named = |what: &str, expression: String| {
        format!("label_replace({expression}, \"what\", \"{what}\", \"\", \"\")")
    };
    let requests = |more: &str| format!("sum(rate(tally_http_requests_total{{{here}{more}}}{RANGE}))");
    let quantile = |q: f64| {
        let buckets = format!("tally_http_request_duration_seconds_bucket{{{here}}}{RANGE}");
        format!("histogram_quantile({q}, sum by (le) (rate({buckets})))")
    };
    let used = format!("container_cpu_usage_seconds_total{{{here},container!=\"\"}}");
    // The kubelet of upstream 1.36 looks at a container every 10 to 20 s only.
    let cpu = format!("sum by (pod) (rate({used}{RANGE}) or rate({used}[45s]))");
    [
        named("rate", requests("")),
        named("errors", requests(",code=~\"5..\"")),
        named("p50", quantile(0.5)),
        named("p99", quantile(0.99)),
        named("cpu", cpu),
    ]
    .join(" or ")
}

fn samples(answer: &Value) -> Vec<Sample> {
    let mut by_time: BTreeMap<i64, Sample> = BTreeMap::new();
    for series in answer["data"]["result"].as_array().into_iter().flatten() {
        let label = |name: &str| series["metric"][name].as_str().unwrap_or_default();
        for point in series["values"].as_array().into_iter().flatten() {
            let time = point[0].as_f64().map(|seconds| (seconds * 1000.0).round() as i64);
            let value = point[1]
                .as_str()
                .and_then(|v| v.parse::<f64>().ok())
                .filter(|v| v.is_finite());
            // A quantile of nothing is NaN.
            let (Some(t), Some(value)) = (time, value) else {
                continue;
            };
            let sample = by_time.entry(t).or_insert_with(|| Sample {
                t,
                ..Sample::default()
            });
            match label("what") {
                "rate" => sample.rate = Some(shown(value)),
                "errors" => sample.errors = Some(shown(value)),
                "p50" => sample.p50 = Some(shown(value * 1000.0)),
                "p99" => sample.p99 = Some(shown(value * 1000.0)),
                "cpu" => drop(sample.cpu.insert(label("pod").to_owned(), shown(value))),
                _ => {}
            }
        }
    }
    by_time.into_values().collect()
}

/// Four decimals are more than anybody sees, and shorter on the wire than all of them.
fn shown(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn series_become_samples_by_time() {
        let series = |what: &str, pod: &str, values: Value| json!({"metric": {"what": what, "pod": pod}, "values": values});
        let answer = json!({"status": "success", "data": {"result": [
            series("rate", "", json!([[100, "5"], [102.001, "6.5"]])),
            series("p99", "", json!([[100, "NaN"], [102.001, "0.002"]])),
            series("cpu", "tally-1", json!([[100, "0.25"]])),
            series("cpu", "background-1", json!([[100, "1.5"]])),
            series("unheard", "", json!([[90, "1"]])),
        ]}});
        let got = samples(&answer);
        let cpu = BTreeMap::from([("background-1".to_owned(), 1.5), ("tally-1".to_owned(), 0.25)]);
        let expected = [
            Sample {
                t: 90_000,
                ..Sample::default()
            },
            Sample {
                t: 100_000,
                rate: Some(5.0),
                cpu,
                ..Sample::default()
            },
            Sample {
                t: 102_001,
                rate: Some(6.5),
                p99: Some(2.0),
                ..Sample::default()
            },
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn an_answer_of_another_form_has_no_samples() {
        for answer in [
            json!(null),
            json!({"data": {"result": {}}}),
            json!({"data": {"result": [{"values": [[], ["x", 1]]}]}}),
        ] {
            assert_eq!(samples(&answer), []);
        }
    }
}
