use results::Run;
use serde::{Deserialize, Serialize};

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
    /// The command that would run it again.
    #[serde(default)]
    pub command: String,
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
        let node = cluster.and_then(|c| c.nodes.first());
        let by_id = node
            .and_then(|n| n.provider_id.as_deref())
            .and_then(|id| id.split_once("://"))
            .map(|(provider, _)| provider);
        let provider = match (runtime.split_once("://"), by_id) {
            (Some(("cncfdemo", _)), _) => "local",
            // As Kubernetes' cloud providers name themselves in `spec.providerID`.
            (_, Some("gce")) => "gcp",
            (_, Some("equinixmetal")) => "packet",
            (_, Some(provider)) => provider,
            (Some(_), None) => "other cluster",
            (None, None) => "address",
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
            command: run.command.iter().skip(1).cloned().collect::<Vec<_>>().join(" "),
            void: run.loads().any(|l| !l.doubts.is_empty()),
        }
    }

    /// When it began, for people.
    pub(crate) fn day(&self) -> String {
        results::to_the_second(&self.started)
    }

    /// What it can be found by, in lower case; every token has two spaces before it (see `list`).
    pub(crate) fn words(&self) -> String {
        let kubernetes = self.kubernetes.as_deref().unwrap_or_default();
        let texts = [
            self.id.as_str(),
            &self.started,
            &self.version,
            &self.provider,
            kubernetes,
            &self.command,
        ];
        let tokens = texts.iter().flat_map(|text| text.split_whitespace());
        tokens.fold(String::new(), |all, token| all + "  " + token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_what_the_nodes_say() {
        let run = |id: &str| {
            let mut run =
                Run::read(include_str!("../../results/tests/data/run-of-0.1.0.json")).expect("a run");
            let cluster = run.target.cluster.as_mut().expect("a cluster");
            cluster.nodes[0].runtime = "containerd://2.1.0".to_owned();
            cluster.nodes[0].provider_id = (!id.is_empty()).then(|| id.to_owned());
            Summary::of(&run).provider
        };
        assert_eq!(run("aws:///us-east-1a/i-0abc"), "aws");
        assert_eq!(run("gce://project/zone/name"), "gcp");
        assert_eq!(run("azure:///subscriptions/x"), "azure");
        assert_eq!(run("kind://docker/kind/kind-worker"), "kind");
        assert_eq!(run(""), "other cluster");
    }
}
