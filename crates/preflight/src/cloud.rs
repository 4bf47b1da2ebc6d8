//! Cloud accounts, judged from recorded API answers: the `KubernetesCluster` tag rules of the seed's postmortem.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{Check, Judge, Verdict};
use crate::facts::document;

/// The tag that names the cluster.
pub const TAG: &str = "KubernetesCluster";

document! {
    /// What a cloud's API answered.
    CloudFacts {
        /// The cluster that is judged.
        cluster: String,
        /// Instances.
        instances: Vec<Instance>,
        /// Security groups.
        security_groups: Vec<Resource>,
        /// Everything else that the cluster uses: subnets, route tables, volumes, load balancers.
        resources: Vec<Resource>,
    }

    /// A machine.
    Instance {
        /// Identifier.
        id: String,
        /// Tags.
        tags: BTreeMap<String, String>,
        /// Identifiers of its security groups.
        security_groups: Vec<String>,
    }

    /// Anything with tags.
    Resource {
        /// Identifier.
        id: String,
        /// What it is.
        kind: String,
        /// Tags.
        tags: BTreeMap<String, String>,
    }
}

const fn base(id: &'static str, title: &'static str, judge: Judge) -> Check {
    Check {
        id,
        title,
        looks_at: "tags of instances, security groups, subnets, route tables, volumes and load balancers, from recorded API answers",
        story: "\"Resources are considered to belong to the same cluster if and only if they have the same value in the tag named KubernetesCluster.\" The controller filters by this tag, and not in a uniform manner across kinds of resources.",
        later: "a load balancer shows \"creating...\" for ever; the error is only in the controller's log: \"Multiple tagged security groups found for instance\"",
        fix: "",
        undo: "put the tag back",
        verify: "record the answers again; the load balancer gets its address",
        profiles: &[],
        judge,
    }
}

pub(crate) const CHECKS: &[Check] = &[
    Check {
        fix: "leave the tag on exactly one security group of each instance (the seed: take it off the masters' group)",
        ..base(
            "cluster-tags",
            "each instance has exactly one security group tagged with its cluster",
            Judge::Cloud(|facts| {
                let tagged: BTreeSet<&str> = facts
                    .security_groups
                    .iter()
                    .filter(|g| g.tags.get(TAG) == Some(&facts.cluster))
                    .map(|g| g.id.as_str())
                    .collect();
                let mut wrong = Vec::new();
                for instance in ours(facts) {
                    let groups: Vec<&str> = instance
                        .security_groups
                        .iter()
                        .map(String::as_str)
                        .filter(|g| tagged.contains(g))
                        .collect();
                    match groups.len() {
                        1 => {}
                        0 => wrong.push(format!("{} has no tagged security group", instance.id)),
                        _ => wrong.push(format!(
                            "{} has {}: {}",
                            instance.id,
                            groups.len(),
                            groups.join(", ")
                        )),
                    }
                }
                told(facts, wrong, "one each")
            }),
        )
    },
    Check {
        fix: "take the other cluster's resources away from this cluster's machines, or correct the tag",
        ..base(
            "cluster-tags-foreign",
            "nothing that the cluster uses carries another cluster's tag",
            Judge::Cloud(|facts| {
                let foreign =
                    |tags: &BTreeMap<String, String>| tags.get(TAG).filter(|v| **v != facts.cluster).cloned();
                let used: BTreeSet<&str> = ours(facts)
                    .flat_map(|i| i.security_groups.iter().map(String::as_str))
                    .collect();
                let groups = facts
                    .security_groups
                    .iter()
                    .filter(|g| used.contains(g.id.as_str()));
                let wrong = groups
                    .chain(&facts.resources)
                    .filter_map(|r| {
                        Some(format!(
                            "{} {} is tagged {}",
                            if r.kind.is_empty() {
                                "security group"
                            } else {
                                &r.kind
                            },
                            r.id,
                            foreign(&r.tags)?
                        ))
                    })
                    .collect();
                told(facts, wrong, "none")
            }),
        )
    },
    Check {
        fix: "tag every resource of the cluster with KubernetesCluster = its name, and nothing twice in another spelling",
        ..base(
            "cluster-tags-uniform",
            "every resource of the cluster carries the tag, in the same spelling",
            Judge::Cloud(|facts| {
                let all = facts
                    .instances
                    .iter()
                    .map(|i| ("instance", &i.id, &i.tags))
                    .chain(facts.resources.iter().map(|r| (r.kind.as_str(), &r.id, &r.tags)));
                let mut wrong = Vec::new();
                for (kind, id, tags) in all {
                    match tags.iter().find(|(k, _)| k.eq_ignore_ascii_case(TAG)) {
                        None => wrong.push(format!("{kind} {id} lacks the tag")),
                        Some((key, _)) if key != TAG => wrong.push(format!("{kind} {id} spells it {key}")),
                        Some((_, value))
                            if *value != facts.cluster && value.eq_ignore_ascii_case(&facts.cluster) =>
                        {
                            wrong.push(format!("{kind} {id} spells the cluster {value}"));
                        }
                        Some(_) => {}
                    }
                }
                told(facts, wrong, "all do")
            }),
        )
    },
];

fn ours(facts: &CloudFacts) -> impl Iterator<Item = &Instance> {
    facts
        .instances
        .iter()
        .filter(|i| i.tags.get(TAG).is_none_or(|v| *v == facts.cluster))
}

fn told(facts: &CloudFacts, wrong: Vec<String>, fine: &str) -> Verdict {
    if facts.cluster.is_empty() {
        Verdict::skip("the recording does not name the cluster")
    } else if wrong.is_empty() {
        Verdict::pass(fine)
    } else {
        Verdict::fail(wrong.join("; "))
    }
}
