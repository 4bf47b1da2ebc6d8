use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use results::{PodSeries, Sample};
use serde_json::Value;

/// CPU and memory of a namespace's pods between two instants, from Prometheus.
pub async fn pods(
    base: &str,
    namespace: &str,
    from: jiff::Timestamp,
    to: jiff::Timestamp,
) -> anyhow::Result<Vec<PodSeries>> {
    let used = format!("container_cpu_usage_seconds_total{{namespace=\"{namespace}\",container!=\"\"}}");
    let cpu = format!("sum by (pod) ({})", rate(&used, 6.0));
    let memory = format!(
        "sum by (pod) (container_memory_working_set_bytes{{namespace=\"{namespace}\",container!=\"\"}})"
    );
    let mut pods: BTreeMap<String, BTreeMap<i64, Sample>> = BTreeMap::new();
    for (is_cpu, query) in [(true, cpu), (false, memory)] {
        for (pod, points) in range(base, &query, from, to).await? {
            let samples = pods.entry(pod).or_default();
            for (time, value) in points {
                let t = time - from.as_millisecond() as f64 / 1000.0;
                let sample = samples.entry((t * 1000.0).round() as i64).or_insert(Sample {
                    t,
                    cpu: None,
                    memory: None,
                });
                if is_cpu {
                    sample.cpu = Some(value)
                } else {
                    sample.memory = Some(value)
                }
            }
        }
    }
    let series = |(pod, samples): (String, BTreeMap<i64, Sample>)| PodSeries {
        pod,
        samples: samples.into_values().collect(),
    };
    Ok(pods.into_iter().map(series).collect())
}

/// A counter's rate over a window, or over a longer one where that has nothing: the kubelet of upstream 1.36 looks at a container
/// every 10 to 20 s, with times of its own (in 30 s some of 13 pods had no two looks, in 45 s all had).
fn rate(counter: &str, window: f64) -> String {
    const LONGER: f64 = 45.0;
    format!(
        "rate({counter}[{window}s]) or rate({counter}[{}s])",
        window.max(LONGER)
    )
}

/// CPU seconds that these pods have used between two instants.
pub async fn cpu_seconds(
    base: &str,
    namespace: &str,
    pods: &[String],
    from: jiff::Timestamp,
    to: jiff::Timestamp,
) -> anyhow::Result<f64> {
    let length = to.duration_since(from).as_secs_f64();
    // A rate needs two scrapes, which are 2 s apart.
    let window = length.ceil().max(6.0);
    let used = format!(
        "container_cpu_usage_seconds_total{{namespace=\"{namespace}\",container!=\"\",pod=~\"{}\"}}",
        pods.join("|")
    );
    let query = format!("sum({})", rate(&used, window));
    let time = format!("{:.3}", to.as_millisecond() as f64 / 1000.0);
    let answer = get(
        &format!("{base}/api/v1/query"),
        &[("query", &query), ("time", &time)],
    )
    .await?;
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let rate: f64 = match result.first() {
        Some(sample) => sample["value"][1]
            .as_str()
            .and_then(|v| v.parse().ok())
            .context("Prometheus answered no number")?,
        None => anyhow::bail!("Prometheus has no CPU of these pods yet"),
    };
    Ok(rate * length)
}

/// How many of Prometheus' targets are up, and how many there are; all of them within `patience`, or what there is then.
pub async fn targets(base: &str, patience: Duration) -> anyhow::Result<(usize, usize)> {
    let begun = Instant::now();
    loop {
        let answer = get(&format!("{base}/api/v1/targets?state=active"), &[]).await?;
        let targets = answer["data"]["activeTargets"].as_array();
        let targets = targets.map(Vec::as_slice).unwrap_or_default();
        let up = targets.iter().filter(|t| t["health"] == "up").count();
        if up == targets.len() || begun.elapsed() >= patience {
            return Ok((up, targets.len()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn range(
    base: &str,
    query: &str,
    from: jiff::Timestamp,
    to: jiff::Timestamp,
) -> anyhow::Result<Vec<(String, Vec<(f64, f64)>)>> {
    let seconds = |t: jiff::Timestamp| format!("{:.3}", t.as_millisecond() as f64 / 1000.0);
    let parameters = [
        ("query", query),
        ("start", &seconds(from)),
        ("end", &seconds(to)),
        ("step", "2"),
    ];
    let answer = get(&format!("{base}/api/v1/query_range"), &parameters).await?;
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    Ok(series
        .iter()
        .map(|one| {
            let points = one["values"].as_array().into_iter().flatten();
            let points = points.filter_map(|p| Some((p[0].as_f64()?, p[1].as_str()?.parse().ok()?)));
            (
                one["metric"]["pod"].as_str().unwrap_or_default().to_owned(),
                points.collect(),
            )
        })
        .collect())
}

async fn get(url: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .no_proxy()
        .build()?;
    let query: Vec<String> = parameters
        .iter()
        .map(|(k, v)| format!("{k}={}", percent_encode(v)))
        .collect();
    let url = if query.is_empty() {
        url.to_owned()
    } else {
        format!("{url}?{}", query.join("&"))
    };
    let answer = http
        .get(&url)
        .send()
        .await
        .with_context(|| format!("failed to ask {url}"))?;
    let text = answer.text().await?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{url} did not answer JSON"))?;
    anyhow::ensure!(
        value["status"] == "success",
        "Prometheus refused {url}: {}",
        value["error"]
    );
    Ok(value)
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
