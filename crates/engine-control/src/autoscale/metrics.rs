//! Figures from the metrics APIs, through the API server as everybody else (pkg/controller/podautoscaler/metrics/client.go).

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Client;
use kube_types::Quantity;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value;

use super::calculate::{PodMetric, PodMetrics};
use super::target;

/// The window of a custom metric that names none.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// Reads metrics of one namespace.
pub(super) struct Metrics<'a> {
    pub client: &'a Client,
    pub namespace: &'a str,
}

impl Metrics<'_> {
    /// CPU or memory of pods, or of one container of each.
    pub async fn resource(
        &self,
        resource: &str,
        selector: &str,
        container: &str,
    ) -> Result<PodMetrics, String> {
        let failed = |e: String| format!("unable to fetch metrics from resource metrics API: {e}");
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace);
        let list = self
            .get(&path, &[("labelSelector", selector)], "pods.metrics.k8s.io")
            .await
            .map_err(failed)?;
        let items = items(&list);
        if items.is_empty() {
            return Err("no metrics returned from resource metrics API".to_owned());
        }
        Ok(items
            .iter()
            .filter_map(|item| {
                let metric = PodMetric {
                    at: time(&item["timestamp"]),
                    window: duration(&item["window"]),
                    value: pod_usage(item, resource, container)?,
                };
                Some((item["metadata"]["name"].as_str()?.to_owned(), metric))
            })
            .collect())
    }

    /// A custom metric of pods.
    pub async fn pods(
        &self,
        metric: &str,
        selector: &str,
        metric_selector: Option<&LabelSelector>,
    ) -> Result<PodMetrics, String> {
        let list = self
            .custom("pods", "*", metric, selector, metric_selector)
            .await?;
        let items = items(&list);
        if items.is_empty() {
            return Err("no metrics returned from custom metrics API".to_owned());
        }
        Ok(items
            .iter()
            .filter_map(|item| {
                let window = item["windowSeconds"].as_i64().map(SignedDuration::from_secs);
                let metric = PodMetric {
                    at: time(&item["timestamp"]),
                    window: window.unwrap_or(WINDOW),
                    value: milli(&item["value"])?,
                };
                Some((item["describedObject"]["name"].as_str()?.to_owned(), metric))
            })
            .collect())
    }

    /// A custom metric of another object.
    pub async fn object(
        &self,
        metric: &str,
        of: &CrossVersionObjectReference,
        metric_selector: Option<&LabelSelector>,
    ) -> Result<i64, String> {
        let failed = |e: String| format!("unable to fetch metrics from custom metrics API: {e}");
        let api_version = of.api_version.as_deref().unwrap_or_default();
        let list = if of.kind == "Namespace" && !api_version.contains('/') {
            // The metrics of a namespace are read as if they were objects in it.
            self.custom("metrics", metric, "", "", metric_selector).await?
        } else {
            let resource = target::resource(self.client, api_version, &of.kind)
                .await
                .map_err(failed)?;
            self.custom(&resource.qualified(), &of.name, metric, "", metric_selector)
                .await?
        };
        let value = items(&list).first().and_then(|item| milli(&item["value"]));
        value.ok_or_else(|| failed("the custom metrics API server returned no value".to_owned()))
    }

    /// All values of an external metric.
    pub async fn external(&self, metric: &str, selector: &str) -> Result<Vec<i64>, String> {
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{}",
            self.namespace,
            encoded(metric)
        );
        let named = format!("{metric}.external.metrics.k8s.io");
        let list = self
            .get(&path, &[("labelSelector", selector)], &named)
            .await
            .map_err(|e| format!("unable to fetch metrics from external metrics API: {e}"))?;
        let items = items(&list);
        if items.is_empty() {
            return Err("no metrics returned from external metrics API".to_owned());
        }
        Ok(items.iter().filter_map(|item| milli(&item["value"])).collect())
    }

    async fn custom(
        &self,
        resource: &str,
        name: &str,
        metric: &str,
        selector: &str,
        metric_selector: Option<&LabelSelector>,
    ) -> Result<Value, String> {
        let failed = |e: String| format!("unable to fetch metrics from custom metrics API: {e}");
        let version = self.custom_version().await.map_err(failed)?;
        let mut path = format!(
            "/apis/custom.metrics.k8s.io/{version}/namespaces/{}/{resource}/{}",
            self.namespace,
            encoded(name)
        );
        if !metric.is_empty() {
            path.push('/');
            path.extend(encoded(metric));
        }
        let metric_selector = written(metric_selector);
        let parameters = [
            ("labelSelector", selector),
            ("metricLabelSelector", &metric_selector),
        ];
        let named = format!("{resource}.custom.metrics.k8s.io {name}");
        self.get(&path, &parameters, &named).await.map_err(failed)
    }

    async fn custom_version(&self) -> Result<&'static str, String> {
        let groups = self.client.list_api_groups().await.map_err(|e| e.to_string())?;
        let group = groups
            .groups
            .iter()
            .find(|g| g.name == "custom.metrics.k8s.io")
            .ok_or("no custom metrics API (custom.metrics.k8s.io) registered")?;
        let served = |version: &str| group.versions.iter().any(|v| v.version == version);
        ["v1beta2", "v1beta1"]
            .into_iter()
            .find(|version| served(version))
            .ok_or_else(|| "no known available metric versions found".to_owned())
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)], named: &str) -> Result<Value, String> {
        let given: Vec<String> = parameters
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let uri = if given.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", given.join("&"))
        };
        let request = http::Request::get(uri)
            .body(Vec::new())
            .map_err(|e| e.to_string())?;
        self.client
            .request::<Value>(request)
            .await
            .map_err(|error| told(&error, named))
    }
}

/// An error as client-go words it: the server's own words, or what its code means.
fn told(error: &kube::Error, named: &str) -> String {
    let kube::Error::Api(status) = error else {
        return error.to_string();
    };
    let meaning = match status.code {
        404 if status.details.as_ref().is_none_or(|d| d.name.is_empty()) => {
            "the server could not find the requested resource"
        }
        503 => "the server is currently unable to handle the request",
        _ => return status.message.clone(),
    };
    format!("{meaning} (get {named})")
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// What a pod uses: the sum of its containers when all are known, or one container.
fn pod_usage(item: &Value, resource: &str, only: &str) -> Option<i64> {
    let containers = item["containers"].as_array().filter(|c| !c.is_empty())?;
    let mut chosen = containers
        .iter()
        .filter(|c| only.is_empty() || c["name"] == only)
        .peekable();
    chosen.peek()?;
    chosen.map(|c| milli(&c["usage"][resource])).sum()
}

fn milli(value: &Value) -> Option<i64> {
    let quantity: Quantity = match value {
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => number.to_string().parse().ok()?,
        _ => return None,
    };
    Some(quantity.milli_value())
}

fn time(value: &Value) -> Timestamp {
    let text = value.as_str().unwrap_or_default();
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn duration(value: &Value) -> SignedDuration {
    let nanos = kube_types::parse_duration(value.as_str().unwrap_or_default());
    SignedDuration::from_nanos(nanos.unwrap_or_default())
}

/// A selector as a query parameter; an absent one selects by nothing.
pub(super) fn written(selector: Option<&LabelSelector>) -> String {
    selector
        .and_then(|s| serde_json::to_value(s).ok())
        .and_then(|s| kube_types::LabelSelector::from_object(&s).ok())
        .map(|s| s.to_string())
        .unwrap_or_default()
}

/// What is percent-encoded in a path or a query.
const NOT_PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'*');

/// Percent-encoded for a path or a query.
fn encoded(raw: &str) -> PercentEncode<'_> {
    utf8_percent_encode(raw, NOT_PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_uses_what_its_containers_use() {
        let pod = json!({"containers": [{"name": "a", "usage": {"cpu": "250m"}}, {"name": "b", "usage": {"cpu": "1"}}]});
        assert_eq!(pod_usage(&pod, "cpu", ""), Some(1250));
        assert_eq!(pod_usage(&pod, "cpu", "a"), Some(250));
        assert_eq!(pod_usage(&pod, "cpu", "c"), None);
        assert_eq!(pod_usage(&pod, "memory", ""), None);
        assert_eq!(pod_usage(&json!({"containers": []}), "cpu", ""), None);
    }

    #[test]
    fn parameters() {
        assert_eq!(
            encoded("app=x,tier in (a b)").to_string(),
            "app%3Dx%2Ctier%20in%20%28a%20b%29"
        );
        let selector = LabelSelector {
            match_labels: Some([("a".to_owned(), "b".to_owned())].into()),
            match_expressions: None,
        };
        assert_eq!(written(Some(&selector)), "a=b");
        assert_eq!(written(None), "");
    }
}
