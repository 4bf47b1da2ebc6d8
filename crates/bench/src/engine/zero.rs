//! From nothing to an app that answers a client by its name in the cluster's DNS.
use std::time::{Duration, Instant};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use crate::cli::Settings;
use crate::row::Row;
use crate::stats::{Samples, time};
use crate::subject::Subject;

/// Bootstraps a cluster, deploys a web server with a Service and a client pod that asks for it by name until it answers.
pub async fn measure(subject: &Subject, settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let (_, built) = tokio::task::block_in_place(|| subject.build("busybox"))?;
    let image = built["name"].as_str().context("the image has no name")?;
    let mut samples = Vec::new();
    for _ in 0..settings.runs(5, 2) {
        if subject.cluster_dir().exists() {
            tokio::task::block_in_place(|| subject.destroy())?;
        }
        let begun = Instant::now();
        tokio::task::block_in_place(|| subject.bootstrap())?;
        tokio::time::timeout(Duration::from_mins(1), Box::pin(answer(subject, image)))
            .await
            .context("the app did not answer within 60 s")??;
        samples.push(begun.elapsed());
    }
    let samples = Samples::seconds(&samples);
    Ok(vec![
        Row::new(
            "zero to an app answering through cluster DNS",
            format!("median {}, longest {}", time(samples.median()), time(samples.most())),
            samples.len(),
        )
        .value("median_s", samples.median())
        .goal("< 1.5 s with images present", samples.median() < 1.5)
        .note(
            "bootstrap of a new cluster, then a web server pod, a Service and a client pod; until the client has the answer and \
             its pod is seen Succeeded",
        ),
    ])
}

async fn answer(subject: &Subject, image: &str) -> anyhow::Result<()> {
    let client = crate::subject::client(&subject.kubeconfig()).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let services: Api<Service> = Api::namespaced(client, "default");
    let serve = "echo hello > /tmp/index.html && exec httpd -f -p 8080 -h /tmp";
    let ask = "until timeout 1 wget -q -O - http://web.default.svc.cluster.local/ | grep -q hello; do usleep 5000; done";
    let pod = |name: &str, script: &str| {
        serde_json::from_value::<Pod>(json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": image, "command": ["sh", "-c", script]}],
            },
        }))
    };
    let service = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }))?;
    let params = PostParams::default();
    // As `kubectl create -f` on three objects would: nothing waits for anything.
    services.create(&params, &service).await?;
    for (name, script) in [("web", serve), ("ask", ask)] {
        let pod = pod(name, script)?;
        // The default ServiceAccount of a cluster that is this new may still be on its way.
        while let Err(failure) = pods.create(&params, &pod).await {
            anyhow::ensure!(failure.to_string().contains("serviceaccount"), failure);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let phase = |pod: Option<&Pod>| pod.and_then(|p| p.status.as_ref()?.phase.clone());
    let done = |pod: Option<&Pod>| matches!(phase(pod).as_deref(), Some("Succeeded" | "Failed"));
    let end = await_condition(pods, "ask", done).await?;
    anyhow::ensure!(
        phase(end.as_ref()).as_deref() == Some("Succeeded"),
        "the client pod failed"
    );
    Ok(())
}
