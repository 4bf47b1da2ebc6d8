use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

/// The store may be failing over when it is asked.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many requests of an app tally has counted so far: the sum of `e` over the days, which is exact.
pub async fn requests(base: &str, app_key: &str) -> anyhow::Result<u64> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()?;
    let url = format!("{base}/o/analytics/sessions?app_key={app_key}&period=30days");
    let begun = Instant::now();
    loop {
        let failure = match once(&http, &url).await {
            Ok(count) => return Ok(count),
            Err(failure) => failure,
        };
        if begun.elapsed() > PATIENCE {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn once(http: &reqwest::Client, url: &str) -> anyhow::Result<u64> {
    let answer = http
        .get(url)
        .send()
        .await
        .with_context(|| format!("failed to ask {url}"))?;
    let status = answer.status();
    let text = answer.text().await?;
    anyhow::ensure!(status.is_success(), "{url} answered {status}: {text}");
    let days: Vec<Value> =
        serde_json::from_str(&text).with_context(|| format!("{url} did not answer a list"))?;
    let counted = days.iter().map(|day| day["e"].as_u64()).sum::<Option<u64>>();
    counted.with_context(|| format!("{url} has days without a count of requests"))
}
