//! Clusters and cloud accounts: a healthy one in which nothing is found, and each trap alone.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may end where it stands"
)]
use preflight::cloud::CloudFacts;
use preflight::cluster::ClusterFacts;
use preflight::{Finding, Level, Profile, Wanted, judge_cloud, judge_cluster};
use serde_json::{Value, json};

type Trap = fn(&mut Value);

const DAY: i64 = 1_795_305_600;

fn bad(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings
        .iter()
        .filter(|f| f.level >= Level::Warn)
        .map(|f| (f.id.as_str(), f.seen.as_str()))
        .collect()
}

fn healthy() -> Value {
    let meta = |namespace: &str, name: &str| json!({"namespace": namespace, "name": name});
    json!({
        "version": "v1.36.1",
        "nodes": [{"metadata": {"name": "n1"}, "status": {"nodeInfo": {"kubeletVersion": "v1.35.2"}, "conditions": [
            {"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}}],
        "pods": [{"metadata": meta("default", "web-1"), "spec": {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
            "status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}], "containerStatuses": [{"image": "web", "state": {"running": {}}}]}}],
        "services": [
            {"metadata": meta("default", "kubernetes"), "spec": {"type": "ClusterIP"}},
            {"metadata": meta("default", "web"), "spec": {"type": "LoadBalancer", "selector": {"app": "web"}}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}},
        ],
        "endpoint_slices": [{"metadata": {"namespace": "default", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"conditions": {"ready": true}}]}],
        "deployments": [{"metadata": meta("kube-system", "coredns"), "spec": {"replicas": 2}, "status": {"readyReplicas": 2}}],
        "daemon_sets": [{"metadata": meta("kube-system", "kube-proxy"), "status": {"desiredNumberScheduled": 1, "numberReady": 1}}],
        "disruption_budgets": [{"metadata": meta("default", "web"), "status": {"expectedPods": 2, "disruptionsAllowed": 1}}],
        "certificates": {"API server": DAY + 200 * 86_400},
        "probe": {"name": "10.96.0.1", "name_resolved": true, "api": "{}", "api_reached": true},
    })
}

fn judged(document: Value) -> Vec<Finding> {
    let facts: ClusterFacts = serde_json::from_value(document).unwrap();
    judge_cluster(&facts, &Wanted::new(Profile::Node, DAY))
}

#[test]
fn each_trap_of_a_cluster_is_found_alone() {
    let findings = judged(healthy());
    assert_eq!(bad(&findings), []);
    assert!(findings.iter().all(|f| f.level == Level::Pass));
    let cases: [(&str, &str, Trap); 13] = [
        ("cluster-nodes", "DiskPressure is True", |c| {
            c["nodes"][0]["status"]["conditions"][1]["status"] = "True".into()
        }),
        ("cluster-nodes", "Ready is Unknown", |c| {
            c["nodes"][0]["status"]["conditions"][0]["status"] = "Unknown".into()
        }),
        ("addon-state", "coredns: 1 of 2", |c| {
            c["deployments"][0]["status"]["readyReplicas"] = 1.into()
        }),
        ("addon-state", "kube-proxy: 0 of 1", |c| {
            c["daemon_sets"][0]["status"] = json!({"desiredNumberScheduled": 1})
        }),
        ("cluster-answers", "timed out", |c| {
            c["probe"] = json!({"name": "timed out", "api": "{}", "api_reached": true})
        }),
        ("cluster-endpoints", "default/web", |c| {
            c["endpoint_slices"][0]["endpoints"][0]["conditions"]["ready"] = false.into()
        }),
        ("load-balancers", "Multiple tagged security groups", |c| {
            c["services"][1]["status"] = json!({});
            c["events"] = json!([{"type": "Warning", "lastTimestamp": "2026-11-22T10:00:00Z", "message": "Multiple tagged security groups found for instance i-04bd9c4c8aa",
                "involvedObject": {"kind": "Service", "namespace": "default", "name": "web"}}]);
        }),
        ("cluster-images", "ImagePullBackOff web", |c| {
            c["pods"][0]["status"]["containerStatuses"][0]["state"] =
                json!({"waiting": {"reason": "ImagePullBackOff"}})
        }),
        (
            "cluster-pending",
            "0/1 nodes",
            |c| {
                c["pods"][0]["status"]["conditions"] =
                    json!([{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}])
            },
        ),
        ("cluster-certificates", "expires in 5 days", |c| {
            c["certificates"]["API server"] = json!(DAY + 5 * 86_400)
        }),
        ("cluster-requests", "default/web-1", |c| {
            c["pods"][0]["spec"]["containers"][0]["resources"] = json!({})
        }),
        ("cluster-skew", "v1.32.0", |c| {
            c["nodes"][0]["status"]["nodeInfo"]["kubeletVersion"] = "v1.32.0".into()
        }),
        ("cluster-disruption-budgets", "default/web", |c| {
            c["disruption_budgets"][0]["status"]["disruptionsAllowed"] = 0.into()
        }),
    ];
    for (id, says, trap) in cases {
        let mut document = healthy();
        trap(&mut document);
        let findings = judged(document);
        let found = bad(&findings);
        assert!(
            found.len() == 1 && found[0].0 == id && found[0].1.contains(says),
            "{id}: {found:?}"
        );
    }
}

#[test]
fn a_list_that_may_not_be_read_is_no_pass() {
    let mut document = healthy();
    document["pods"] = json!([]);
    document["unseen"] = json!({"pods": "forbidden"});
    let findings = judged(document);
    let finding = findings.iter().find(|f| f.id == "cluster-requests").unwrap();
    assert!(finding.level == Level::Skip && finding.seen.contains("forbidden"));
    assert_eq!(bad(&findings), [], "the others are judged");
}

#[test]
fn who_may_see_nothing_is_told_so() {
    let why = "nodes is forbidden: User \"jane\" cannot list resource \"nodes\"";
    let lists = [
        "nodes",
        "pods",
        "services",
        "events",
        "endpointslices",
        "deployments",
        "daemonsets",
        "poddisruptionbudgets",
    ];
    let unseen: serde_json::Map<String, Value> =
        lists.iter().map(|l| ((*l).to_owned(), why.into())).collect();
    let findings = judged(json!({"version": "v1.36.1", "unseen": unseen}));
    assert_eq!(
        bad(&findings),
        [(
            "cluster-access",
            format!("nothing could be read, so that nothing was judged: {why}").as_str()
        )]
    );
}

/// The seed's account: masters and minions each with a tagged group of their own.
#[test]
fn the_seeds_tags() {
    let tag = |value: &str| json!({"KubernetesCluster": value});
    let healthy = json!({
        "cluster": "demo",
        "instances": [{"id": "i-1", "tags": tag("demo"), "security_groups": ["sg-minions", "sg-ssh"]}],
        "security_groups": [{"id": "sg-minions", "tags": tag("demo")}, {"id": "sg-ssh"}],
        "resources": [{"id": "subnet-1", "kind": "subnet", "tags": tag("demo")}],
    });
    let cases: [(&str, Trap); 7] = [
        ("", |_| {}),
        ("cluster-tags", |c| {
            c["security_groups"][1]["tags"] = json!({"KubernetesCluster": "demo"})
        }),
        ("cluster-tags", |c| c["security_groups"][0]["tags"] = json!({})),
        ("cluster-tags-foreign", |c| {
            c["security_groups"][1]["tags"] = json!({"KubernetesCluster": "other"})
        }),
        ("cluster-tags-foreign", |c| {
            c["resources"][0]["tags"] = json!({"KubernetesCluster": "other"})
        }),
        ("cluster-tags-uniform", |c| c["resources"][0]["tags"] = json!({})),
        ("cluster-tags-uniform", |c| {
            c["resources"][0]["tags"] = json!({"kubernetescluster": "demo"})
        }),
    ];
    for (id, trap) in cases {
        let mut document = healthy.clone();
        trap(&mut document);
        let facts: CloudFacts = serde_json::from_value(document).unwrap();
        let findings = judge_cloud(&facts);
        let found: Vec<&str> = bad(&findings).into_iter().map(|(id, _)| id).collect();
        assert_eq!(found.join(","), id);
    }
}
