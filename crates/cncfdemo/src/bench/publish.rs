//! A results server is told of a run: of every second while it goes on, and of the whole document at its end.
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use load::Second;
use results::Run;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Where news of a load's seconds go: the second's number, and what one thread recorded in it.
pub type Live = mpsc::UnboundedSender<(usize, Second)>;

/// A results server that lets us write.
#[derive(Debug, Clone)]
pub struct Server {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Server {
    /// The server at this URL, with the token that this file holds.
    pub fn new(url: &str, token_file: &Path) -> anyhow::Result<Server> {
        let token = std::fs::read_to_string(token_file)
            .with_context(|| format!("failed to read the token from {}", token_file.display()))?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(Server {
            http,
            base: url.trim_end_matches('/').to_owned(),
            token: token.trim().to_owned(),
        })
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: String) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let answer = self
            .http
            .request(method, &url)
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .with_context(|| format!("failed to reach {url}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        let said: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        anyhow::ensure!(
            status.is_success(),
            "{url} answered {status}: {}",
            said["error"].as_str().unwrap_or(&text)
        );
        Ok(said)
    }

    /// Hands a run in; gives the address of its page.
    pub async fn submit(&self, run: &Run) -> anyhow::Result<String> {
        let text = serde_json::to_string(run)?;
        let said = self.send(reqwest::Method::POST, "/api/v1/runs", text).await?;
        Ok(format!(
            "{}{}",
            self.base,
            said["page"].as_str().unwrap_or_default()
        ))
    }

    /// Says that a run begins. News of its seconds go to the [`Live`] of what is given back.
    pub async fn begin(self, id: &str, command: &str) -> anyhow::Result<Publication> {
        let about = json!({"id": id, "command": command, "text": "it begins"});
        self.send(reqwest::Method::POST, "/api/v1/demos", about.to_string())
            .await?;
        let (live, news) = mpsc::unbounded_channel();
        let follower = tokio::spawn(follow(self.clone(), id.to_owned(), news));
        Ok(Publication {
            server: self,
            id: id.to_owned(),
            live,
            follower,
        })
    }
}

/// A run that a server follows.
#[derive(Debug)]
pub struct Publication {
    server: Server,
    id: String,
    live: Live,
    follower: tokio::task::JoinHandle<u32>,
}

impl Publication {
    /// Where to tell of seconds.
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// Hands the document in and says that the run is over; gives the address of its page, and how often the server could not be
    /// told of a second.
    pub async fn finish(self, run: &Run) -> anyhow::Result<(String, u32)> {
        drop(self.live);
        let lost = self.follower.await?;
        let page = self.server.submit(run).await?;
        let path = format!("/api/v1/demos/{}", self.id);
        let about = json!({"run": run.id, "text": report::headline(run)});
        self.server
            .send(reqwest::Method::PUT, &path, about.to_string())
            .await?;
        self.server
            .send(reqwest::Method::POST, &format!("{path}/finish"), "{}".to_owned())
            .await?;
        Ok((page, lost))
    }

    /// Says that it came to nothing.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.live);
        self.follower.await?;
        let path = format!("/api/v1/demos/{}/stop", self.id);
        self.server
            .send(reqwest::Method::POST, &path, "{}".to_owned())
            .await?;
        Ok(())
    }
}

/// Tells the server of the last seconds, as often as it can take it; gives how often that failed.
async fn follow(server: Server, id: String, mut news: mpsc::UnboundedReceiver<(usize, Second)>) -> u32 {
    /// So many seconds are shown.
    const SHOWN: usize = 120;
    let mut seconds: BTreeMap<usize, Second> = BTreeMap::new();
    let mut lost = 0;
    while let Some((at, second)) = news.recv().await {
        let mut all = VecDeque::from([(at, second)]);
        // What came while the server was being told before.
        while let Ok(more) = news.try_recv() {
            all.push_back(more);
        }
        for (at, second) in all {
            // A plan's next load begins at 0 again.
            if at == 0 && seconds.len() > 1 {
                seconds.clear();
            }
            let sum = seconds.entry(at).or_default();
            sum.completed += second.completed;
            sum.failed += second.failed;
            // All recordings have the same bounds, so nothing can be out of range.
            let _ = sum.latency.add(&second.latency);
        }
        while seconds.len() > SHOWN {
            seconds.pop_first();
        }
        let series: Vec<Value> = seconds.iter().map(|(at, second)| told(*at, second)).collect();
        let last = series.last().cloned().unwrap_or_default();
        let text = format!(
            "second {}: {} requests answered, {} failed",
            last["t"], last["completed"], last["failed"]
        );
        let about = json!({"series": series, "text": text}).to_string();
        if server
            .send(reqwest::Method::PUT, &format!("/api/v1/demos/{id}"), about)
            .await
            .is_err()
        {
            lost += 1;
        }
    }
    lost
}

fn told(at: usize, second: &Second) -> Value {
    let ms = |quantile: f64| {
        (!second.latency.is_empty()).then(|| second.latency.value_at_quantile(quantile) as f64 / 1e6)
    };
    json!({"t": at, "completed": second.completed, "failed": second.failed, "p50_ms": ms(0.5), "p99_ms": ms(0.99)})
}
