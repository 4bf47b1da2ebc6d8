//! The checks of clusters.
use serde_json::Value;

use super::{ClusterFacts, list, named, text};
use crate::check::{Check, Judge, Verdict};
use crate::versions::{KUBELET_BEHIND, numbers};

const fn base(id: &'static str, title: &'static str, judge: Judge) -> Check {
    Check {
        id,
        title,
        looks_at: "",
        story: "",
        later: "",
        fix: "",
        undo: "none needed",
        verify: "run cncfdemo doctor --context … again",
        profiles: &[],
        judge,
    }
}

/// Up to five of them, and how many more.
fn some(mut of: Vec<String>) -> String {
    of.sort();
    of.dedup();
    let more = of.len().saturating_sub(5);
    of.truncate(5);
    if more > 0 {
        format!("{} and {more} more", of.join("; "))
    } else {
        of.join("; ")
    }
}

fn told(
    facts: &ClusterFacts,
    kinds: &[&str],
    wrong: Vec<String>,
    bad: fn(String) -> Verdict,
    fine: &str,
) -> Verdict {
    if !wrong.is_empty() {
        return bad(some(wrong));
    }
    match kinds.iter().find_map(|k| Some((k, facts.unseen.get(*k)?))) {
        Some((kind, why)) => Verdict::skip(format!("{kind} could not be read: {why}")),
        None => Verdict::pass(fine),
    }
}

/// What is read of a cluster, as `unseen` names it.
const LISTS: [&str; 8] = [
    "nodes",
    "pods",
    "services",
    "events",
    "endpointslices",
    "deployments",
    "daemonsets",
    "poddisruptionbudgets",
];

pub(crate) const CHECKS: &[Check] = &[
    Check {
        looks_at: "which of the cluster's lists this kubeconfig's user may read",
        story: "Whoever may read nothing finds nothing wrong: every other check is skipped then, and all of them together look like a healthy cluster.",
        later: "what is wrong with the cluster is not found",
        fix: "run it as a user with the ClusterRole view, and nodes to read",
        ..base(
            "cluster-access",
            "the cluster may be looked at",
            Judge::Cluster(|facts, _| {
                let unseen: Vec<_> = LISTS
                    .iter()
                    .filter_map(|kind| Some((*kind, facts.unseen.get(*kind)?)))
                    .collect();
                let names = || {
                    unseen
                        .iter()
                        .map(|(kind, _)| *kind)
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                match unseen.as_slice() {
                    [] => Verdict::pass("everything that is judged could be read"),
                    [(_, why), ..] if unseen.len() == LISTS.len() => Verdict::warn(format!(
                        "nothing could be read, so that nothing was judged: {why}"
                    )),
                    _ => Verdict::skip(format!("could not be read: {}", names())),
                }
            }),
        )
    },
    Check {
        looks_at: "nodes: conditions and taints",
        story: "A node under pressure takes no more pods and evicts those it has.",
        later: "pods stay Pending or are evicted",
        fix: "kubectl describe node NAME; free disk, memory or process numbers",
        ..base(
            "cluster-nodes",
            "every node is ready and under no pressure",
            Judge::Cluster(|facts, _| {
                let mut wrong = Vec::new();
                for node in &facts.nodes {
                    for c in list(node, "/status/conditions") {
                        let (kind, status) = (text(c, "/type"), text(c, "/status"));
                        let bad = if kind == "Ready" {
                            status != "True"
                        } else {
                            status == "True"
                        };
                        if bad {
                            wrong.push(format!(
                                "{}: {kind} is {status} ({})",
                                named(node),
                                text(c, "/reason")
                            ));
                        }
                    }
                }
                if facts.nodes.is_empty() && !facts.unseen.contains_key("nodes") {
                    return Verdict::fail("the cluster has no node");
                }
                told(
                    facts,
                    &["nodes"],
                    wrong,
                    Verdict::fail,
                    &format!("{} nodes ready", facts.nodes.len()),
                )
            }),
        )
    },
    Check {
        looks_at: "Deployments and DaemonSets of kube-system",
        story: "\"If a critical add-on fails, seemingly identical clusters deployed minutes apart will have divergent behaviour.\"",
        later: "names, metrics or networks fail for some pods",
        fix: "kubectl -n kube-system describe the add-on's pods",
        ..base(
            "addon-state",
            "every add-on has all its pods ready",
            Judge::Cluster(|facts, _| {
                let number = |o: &Value, p: &str| o.pointer(p).and_then(Value::as_i64).unwrap_or(0);
                let mut wrong = Vec::new();
                let system = |o: &&Value| text(o, "/metadata/namespace") == "kube-system";
                for d in facts.deployments.iter().filter(system) {
                    let (want, have) = (
                        d.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
                        number(d, "/status/readyReplicas"),
                    );
                    if have < want {
                        wrong.push(format!("{}: {have} of {want} ready", named(d)));
                    }
                }
                for d in facts.daemon_sets.iter().filter(system) {
                    let (want, have) = (
                        number(d, "/status/desiredNumberScheduled"),
                        number(d, "/status/numberReady"),
                    );
                    if have < want {
                        wrong.push(format!("{}: {have} of {want} ready", named(d)));
                    }
                }
                told(
                    facts,
                    &["deployments", "daemonsets"],
                    wrong,
                    Verdict::fail,
                    "all ready",
                )
            }),
        )
    },
    Check {
        looks_at: "a short-lived pod that asks for kubernetes.default.svc and calls the API at its service address",
        story: "A ready pod of the DNS says nothing about whether names resolve from a pod: SELinux, bridge-netfilter and the MTU all break just that.",
        later: "applications cannot find each other",
        fix: "run cncfdemo doctor on the nodes: bridge-netfilter, selinux, mtu, resolv-loop",
        ..base(
            "cluster-answers",
            "from inside a pod, names resolve and the API answers",
            Judge::Cluster(|facts, _| match &facts.probe {
                None => Verdict::skip("no pod was asked (--probe-image IMAGE asks one)"),
                Some(p) if !p.absent.is_empty() => Verdict::skip(p.absent.clone()),
                Some(p) if p.name_resolved && p.api_reached => {
                    Verdict::pass(format!("kubernetes.default.svc is {}, API: {}", p.name, p.api))
                }
                Some(p) => Verdict::fail(format!("name: {}; API: {}", p.name, p.api)),
            }),
        )
    },
    Check {
        looks_at: "Services with a selector, and their EndpointSlices",
        story: "A service whose selector matches nothing, or whose pods are not ready, refuses connections; nothing says so.",
        later: "\"connection refused\" on the service's address",
        fix: "compare the service's selector with the pods' labels; look at the pods' readiness",
        ..base(
            "cluster-endpoints",
            "services with a selector have ready endpoints",
            Judge::Cluster(|facts, _| {
                let mut wrong = Vec::new();
                for service in &facts.services {
                    let selects = service
                        .pointer("/spec/selector")
                        .and_then(Value::as_object)
                        .is_some_and(|s| !s.is_empty());
                    if !selects || text(service, "/spec/type") == "ExternalName" {
                        continue;
                    }
                    let (namespace, name) = (
                        text(service, "/metadata/namespace"),
                        text(service, "/metadata/name"),
                    );
                    let ready = facts
                        .endpoint_slices
                        .iter()
                        .filter(|s| {
                            text(s, "/metadata/namespace") == namespace
                                && s.pointer("/metadata/labels/kubernetes.io~1service-name")
                                    .and_then(Value::as_str)
                                    == Some(name)
                        })
                        .flat_map(|s| list(s, "/endpoints"))
                        .any(|e| e.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false));
                    if !ready {
                        wrong.push(named(service));
                    }
                }
                told(
                    facts,
                    &["services", "endpointslices"],
                    wrong,
                    Verdict::warn,
                    "all have",
                )
            }),
        )
    },
    Check {
        looks_at: "Services of type LoadBalancer without an address, and the events about them",
        story: "The seed: a load balancer showed \"creating...\" for ever; the reason was only in the controller's log. The controller also writes it as an event, which nobody reads.",
        later: "the address never comes",
        fix: "do what the controller's reason says; on AWS see cluster-tags",
        ..base(
            "load-balancers",
            "every load balancer has its address",
            Judge::Cluster(|facts, _| {
                let (mut wrong, mut explained) = (Vec::new(), false);
                for service in facts
                    .services
                    .iter()
                    .filter(|s| text(s, "/spec/type") == "LoadBalancer")
                {
                    if list(service, "/status/loadBalancer/ingress").next().is_some() {
                        continue;
                    }
                    let told = events(facts, "Service", service);
                    explained |= !told.is_empty();
                    let reason = told.last().map_or_else(
                        || {
                            "no controller says anything of it, perhaps there is none; its node ports work"
                                .to_owned()
                        },
                        |e| text(e, "/message").to_owned(),
                    );
                    wrong.push(format!("{} is still being created: {reason}", named(service)));
                }
                // A cluster without such a controller is no broken one.
                let verdict = if explained { Verdict::fail } else { Verdict::warn };
                told(facts, &["services"], wrong, verdict, "all have")
            }),
        )
    },
    Check {
        looks_at: "container statuses: ErrImagePull, ImagePullBackOff, CrashLoopBackOff and others that wait",
        story: "A pull that fails is tried again for ever, at longer and longer intervals.",
        later: "the pod never starts",
        fix: "correct the image's name, its pull secret or the way to the registry",
        ..base(
            "cluster-images",
            "no image waits to be pulled in vain, no container crashes in a loop",
            Judge::Cluster(|facts, _| {
                let mut wrong = Vec::new();
                for pod in &facts.pods {
                    for status in list(pod, "/status/containerStatuses")
                        .chain(list(pod, "/status/initContainerStatuses"))
                    {
                        let reason = text(status, "/state/waiting/reason");
                        if [
                            "ErrImagePull",
                            "ImagePullBackOff",
                            "InvalidImageName",
                            "ErrImageNeverPull",
                            "CrashLoopBackOff",
                            "CreateContainerConfigError",
                            "CreateContainerError",
                        ]
                        .contains(&reason)
                        {
                            wrong.push(format!("{}: {reason} {}", named(pod), text(status, "/image")));
                        }
                    }
                }
                told(facts, &["pods"], wrong, Verdict::fail, "none")
            }),
        )
    },
    Check {
        looks_at: "pods that are Pending, and the scheduler's reason",
        story: "The scheduler says why in a condition of the pod, which `kubectl get` does not show.",
        later: "the pod never starts",
        fix: "do what the reason says: more room, another selector, a toleration",
        ..base(
            "cluster-pending",
            "no pod waits for a node",
            Judge::Cluster(|facts, _| {
                let wrong = facts.pods.iter().filter_map(|pod| {
                    let c = list(pod, "/status/conditions")
                        .find(|c| text(c, "/type") == "PodScheduled" && text(c, "/status") == "False")?;
                    Some(format!("{}: {}", named(pod), text(c, "/message")))
                });
                told(facts, &["pods"], wrong.collect(), Verdict::warn, "none")
            }),
        )
    },
    Check {
        looks_at: "the certificates of the API server and of this kubeconfig's user",
        story: "kubeadm's certificates last a year.",
        later: "kubectl and every component: \"x509: certificate has expired\"",
        fix: "kubeadm certs renew all; get a new kubeconfig",
        ..base(
            "cluster-certificates",
            "no certificate is about to expire",
            Judge::Cluster(|facts, wanted| {
                let Some((name, end)) = facts.certificates.iter().min_by_key(|(_, end)| **end) else {
                    return Verdict::skip("none could be read");
                };
                match end.saturating_sub(wanted.now).div_euclid(86_400) {
                    d if d < 0 => Verdict::fail(format!("the {name}'s certificate has expired")),
                    d if d < 7 => Verdict::fail(format!("the {name}'s certificate expires in {d} days")),
                    d if d < 30 => Verdict::warn(format!("the {name}'s certificate expires in {d} days")),
                    d => Verdict::pass(format!("the first, the {name}'s, expires in {d} days")),
                }
            }),
        )
    },
    Check {
        looks_at: "resources.requests of all containers outside of kube-system",
        story: "The scheduler places by requests. A pod without any counts as nothing, and is the first to be killed.",
        later: "nodes fill up, and the wrong pod is evicted",
        fix: "set requests for cpu and memory, or a LimitRange in the namespace",
        ..base(
            "cluster-requests",
            "pods say what they need",
            Judge::Cluster(|facts, _| {
                let without = facts.pods.iter().filter(|pod| {
                    let own = text(pod, "/metadata/namespace") != "kube-system"
                        && !["Succeeded", "Failed"].contains(&text(pod, "/status/phase"));
                    own && list(pod, "/spec/containers").any(|c| {
                        ["cpu", "memory"]
                            .iter()
                            .any(|r| c.pointer(&format!("/resources/requests/{r}")).is_none())
                    })
                });
                told(
                    facts,
                    &["pods"],
                    without.map(named).collect(),
                    Verdict::warn,
                    "all do",
                )
            }),
        )
    },
    Check {
        looks_at: "kubeletVersion of every node, the API server's version",
        story: "A kubelet may be up to three minor versions older than its API server and never newer.",
        later: "fields that one side does not know vanish",
        fix: "upgrade the API server first, then the nodes",
        ..base(
            "cluster-skew",
            "nodes and API server are of versions that go together",
            Judge::Cluster(|facts, _| {
                let Some((_, server)) = numbers(&facts.version) else {
                    return Verdict::skip("the server's version is unknown");
                };
                let wrong = facts.nodes.iter().filter_map(|node| {
                    let version = text(node, "/status/nodeInfo/kubeletVersion");
                    let (_, minor) = numbers(version)?;
                    (minor > server || minor + KUBELET_BEHIND < server)
                        .then(|| format!("{} has {version}, the server 1.{server}", named(node)))
                });
                told(facts, &["nodes"], wrong.collect(), Verdict::fail, "they do")
            }),
        )
    },
    Check {
        looks_at: "PodDisruptionBudgets with pods and without allowed disruptions",
        story: "A budget that never allows anything blocks every drain, and with it every upgrade.",
        later: "kubectl drain waits for ever",
        fix: "more replicas, or maxUnavailable: 1",
        ..base(
            "cluster-disruption-budgets",
            "every disruption budget lets a pod go",
            Judge::Cluster(|facts, _| {
                let wrong = facts.disruption_budgets.iter().filter(|b| {
                    let number = |p: &str| b.pointer(p).and_then(Value::as_i64).unwrap_or(0);
                    number("/status/expectedPods") > 0 && number("/status/disruptionsAllowed") == 0
                });
                told(
                    facts,
                    &["poddisruptionbudgets"],
                    wrong.map(named).collect(),
                    Verdict::warn,
                    "all do",
                )
            }),
        )
    },
];

/// Events about an object, oldest first, warnings only.
fn events<'a>(facts: &'a ClusterFacts, kind: &str, object: &Value) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = facts
        .events
        .iter()
        .filter(|e| {
            text(e, "/involvedObject/kind") == kind
                && text(e, "/type") == "Warning"
                && text(e, "/involvedObject/name") == text(object, "/metadata/name")
                && text(e, "/involvedObject/namespace") == text(object, "/metadata/namespace")
        })
        .collect();
    found.sort_by_key(|e| text(e, "/lastTimestamp").to_owned());
    found
}
