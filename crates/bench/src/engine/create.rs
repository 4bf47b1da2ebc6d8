//! A file with a thousand ConfigMaps: `cncfdemo create -f`, and kubectl's `create` and `apply` on the same cluster.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};

use super::{Place, Workbench};
use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};
use crate::subject::{find, succeed};

const OBJECTS: usize = 1000;

const OURS: &str = "create -f of 1,000 ConfigMaps";
const THEIRS: &str = "kubectl create -f of the same";

/// Both, in turn, each into a namespace of its own; what they made must be the same. On the peer there is only kubectl,
/// which stands there for both.
pub async fn measure(bench: &Workbench<'_>, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&settings.scratch)?;
    let file = folder.path().join("configmaps.yaml");
    std::fs::write(&file, manifests())?;
    let kubectl = find("kubectl");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..settings.runs(3, 1) {
        let mine = format!("bench-create-{round}");
        if let Place::Own(subject) = bench.place {
            bench.namespace(&mine).await?;
            let file = file.display().to_string();
            ours.push(timed(
                &mut subject.command(&["create", "-f", &file, "-n", &mine]),
            )?);
            let made = names_and_data(bench, &mine).await?.len();
            ensure!(made == OBJECTS, "{made} of {OBJECTS} ConfigMaps were made");
        }
        if let Some(kubectl) = &kubectl {
            let other = format!("bench-kubectl-{round}");
            bench.namespace(&other).await?;
            theirs.push(timed(&mut self::kubectl(
                bench, kubectl, "create", &file, &other,
            ))?);
            let same = ours.is_empty()
                || names_and_data(bench, &mine).await? == names_and_data(bench, &other).await?;
            ensure!(same, "cncfdemo and kubectl made different objects");
        }
    }
    let Some(kubectl) = kubectl else {
        ensure!(!ours.is_empty(), "kubectl is not at hand");
        return Ok(vec![
            row(OURS, &ours).note("kubectl is not at hand and was not measured"),
        ]);
    };
    let mut rows = if ours.is_empty() {
        vec![row(OURS, &theirs), row(THEIRS, &theirs)]
    } else {
        let ratio = Samples::seconds(&theirs).median() / Samples::seconds(&ours).median();
        vec![
            row(OURS, &ours)
                .value("times_faster", ratio)
                .goal(">= 10 times faster than kubectl, same result", ratio >= 10.0)
                .note(format!("{ratio:.0} times faster than kubectl create on the same cluster; names and data compared object by object; the peer's figure is kubectl's")),
            row(THEIRS, &theirs).note("kubectl, on this machine and cluster"),
        ]
    };
    bench.namespace("bench-apply").await?;
    for (what, name) in [
        ("kubectl apply -f of the same, first time", "apply_s"),
        ("kubectl apply -f of the same, unchanged", "again_s"),
    ] {
        let took = timed(&mut self::kubectl(bench, &kubectl, "apply", &file, "bench-apply"))?.as_secs_f64();
        rows.push(
            Row::new(what, time(took), 1)
                .value(name, took)
                .note("kubectl, on this machine and cluster"),
        );
    }
    Ok(rows)
}

fn row(what: &str, took: &[Duration]) -> Row {
    let took = Samples::seconds(took);
    Row::new(what, format!("median {}", time(took.median())), took.len()).value("median_s", took.median())
}

fn manifests() -> String {
    let mut text = String::new();
    for n in 0..OBJECTS {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map-{n}\n  labels:\n    app: bench\ndata:\n  number: \"{n}\"\n  text: |\n    line {n} of some configuration\n    with a second line"
        );
    }
    text
}

fn kubectl(bench: &Workbench<'_>, kubectl: &PathBuf, verb: &str, file: &Path, namespace: &str) -> Command {
    let mut command = Command::new(kubectl);
    command
        .arg("--kubeconfig")
        .arg(bench.place.kubeconfig())
        .args(["-n", namespace, verb, "-f"])
        .arg(file);
    command
}

fn timed(command: &mut Command) -> anyhow::Result<Duration> {
    tokio::task::block_in_place(|| {
        let begun = Instant::now();
        succeed(command)?;
        Ok(begun.elapsed())
    })
}

type Data = Option<BTreeMap<String, String>>;

/// Every ConfigMap but the one that each namespace has.
async fn names_and_data(
    bench: &Workbench<'_>,
    namespace: &str,
) -> anyhow::Result<BTreeMap<String, (Data, Data)>> {
    let maps: Api<ConfigMap> = Api::namespaced(bench.client.clone(), namespace);
    let all = maps.list(&ListParams::default()).await?;
    let named = all
        .items
        .into_iter()
        .map(|m| (m.metadata.name.unwrap_or_default(), (m.metadata.labels, m.data)));
    Ok(named.filter(|(name, _)| name != "kube-root-ca.crt").collect())
}
