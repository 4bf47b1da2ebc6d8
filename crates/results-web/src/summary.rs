use results::Run;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What the list shows of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// When the load began.
    pub started: String,
    /// Version of the program that made it.
    pub version: String,
    /// Who provides the cluster, as far as its runtime tells.
    pub provider: String,
    /// Kubernetes version, when there was a cluster.
    pub kubernetes: Option<String>,
    /// Nodes.
    pub nodes: usize,
    /// Loads in it.
    pub loads: usize,
    /// Completed requests per second of the first load.
    pub throughput: f64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Failed requests.
    pub failed: u64,
    /// Whether a load says more about the generator than about the server.
    pub void: bool,
}

impl Summary {
    /// That of a run.
    pub fn of(run: &Run) -> Summary {
        let cluster = run.target.cluster.as_ref();
        let runtime = cluster
            .and_then(|c| c.nodes.first())
            .map(|n| n.runtime.as_str())
            .unwrap_or_default();
        let provider = match runtime.split_once("://") {
            Some(("cncfdemo", _)) => "local",
            Some(_) => "other cluster",
            None => "address",
        };
        Summary {
            id: run.id.clone(),
            started: run.started.clone(),
            version: run.program.version.clone(),
            provider: provider.to_owned(),
            kubernetes: cluster.map(|c| c.version.clone()),
            nodes: cluster.map_or(0, |c| c.nodes.len()),
            loads: run.loads().count(),
            throughput: run.load.throughput,
            p50_ms: run.load.latency.p50_ms,
            p99_ms: run.load.latency.p99_ms,
            failed: run.load.failed,
            void: run.loads().any(|l| !l.doubts.is_empty()),
        }
    }

    fn has(&self, word: &str) -> bool {
        let kubernetes = self.kubernetes.as_deref().unwrap_or_default();
        let texts = [
            self.id.as_str(),
            &self.started,
            &self.version,
            &self.provider,
            kubernetes,
        ];
        let holds = |text: &str| {
            text.as_bytes()
                .windows(word.len())
                .any(|w| w.eq_ignore_ascii_case(word.as_bytes()))
        };
        texts.into_iter().any(holds) || (word == "void" && self.void)
    }
}

/// What is listed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Words that all must be in it.
    pub q: String,
    /// Only of this provider.
    pub provider: Option<String>,
    /// Only of this version of the program.
    pub version: Option<String>,
    /// Not before this time.
    pub from: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// `started` (newest first), `throughput` (highest first), `p50` or `p99` (lowest first).
    pub sort: Option<String>,
    /// The other way round.
    pub reverse: bool,
    /// Skip so many.
    pub offset: usize,
    /// Give so many, at most 500 (50 when nothing is said).
    pub limit: Option<usize>,
}

/// A part of the list.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// How many there are in all.
    pub total: usize,
    /// Where this part begins.
    pub offset: usize,
    /// The part.
    pub runs: Vec<Summary>,
}

impl Query {
    /// Picks from summaries that are sorted by time, newest first.
    pub(crate) fn pick<'a>(&self, all: impl Iterator<Item = &'a Summary>) -> Result<Page, Error> {
        let words: Vec<&str> = self.q.split_whitespace().collect();
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|w| w.is_empty() || w == value)
        };
        let mut found: Vec<&Summary> = all
            .filter(|s| is(&self.provider, &s.provider) && is(&self.version, &s.version))
            .filter(|s| self.from.as_deref().is_none_or(|from| s.started.as_str() >= from))
            .filter(|s| {
                self.until
                    .as_deref()
                    .is_none_or(|until| until.is_empty() || s.started.as_str() < until)
            })
            .filter(|s| words.iter().all(|word| s.has(word)))
            .collect();
        match self.sort.as_deref().unwrap_or("started") {
            "" | "started" => {}
            "throughput" => found.sort_by(|a, b| b.throughput.total_cmp(&a.throughput)),
            "p50" => found.sort_by(|a, b| a.p50_ms.total_cmp(&b.p50_ms)),
            "p99" => found.sort_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms)),
            other => {
                return Err(Error::Invalid(format!(
                    "cannot sort by `{other}`: started, throughput, p50 or p99"
                )));
            }
        }
        if self.reverse {
            found.reverse();
        }
        let limit = self.limit.unwrap_or(50).clamp(1, 500);
        let runs = found
            .iter()
            .skip(self.offset)
            .take(limit)
            .map(|s| (*s).clone())
            .collect();
        Ok(Page {
            total: found.len(),
            offset: self.offset,
            runs,
        })
    }
}
