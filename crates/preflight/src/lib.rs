//! Facts of machines, clusters and cloud accounts to findings; pure. Facts are collected elsewhere (`host` for machines),
//! as JSON documents that can be recorded here and judged there.
//!
//! A check is one [`Check`]: what should be so, why, what is seen later when it is not, the fix that lasts, its undo and its
//! verification, and the function that judges. The tool, its JSON, the reference pages and the exit status come from it.
mod check;
mod checks;
pub mod cloud;
pub mod cluster;
mod conf;
pub mod facts;
pub mod fix;
mod local_engine;
mod redact;
mod render;
pub mod sysctl;
pub mod versions;

pub use check::{Check, Finding, Judge, Level, Profile, Verdict, Wanted};
pub use checks::all as checks;
pub use facts::Facts;
pub use fix::Change;
pub use local_engine::{LocalEngineFacts, local_engine};
pub use redact::Redactor;
pub use render::{document, junit, page, reference, schema};

use cloud::CloudFacts;
use cluster::ClusterFacts;

/// The check of that name.
pub fn find(id: &str) -> Option<&'static Check> {
    checks().find(|c| c.id == id)
}

/// Judges one machine. Findings come in a fixed order, passes and skips included.
pub fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Finding> {
    checks()
        .filter(|c| c.profiles.contains(&wanted.profile))
        .filter_map(|check| match check.judge {
            Judge::Machine(judge) => Some(check.finding(judge(facts, wanted))),
            _ => None,
        })
        .collect()
}

/// Judges several machines: each alone, and all together.
pub fn judge_fleet(machines: &[Facts], wanted: &Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, facts) in machines.iter().enumerate() {
        let name = match facts.machine.hostname.as_str() {
            "" => format!("machine {}", number + 1),
            name => name.to_owned(),
        };
        findings.extend(judge(facts, wanted).into_iter().map(|f| Finding {
            machine: name.clone(),
            ..f
        }));
    }
    if machines.len() > 1 {
        findings.extend(checks().filter_map(|check| match check.judge {
            Judge::Fleet(judge) if check.profiles.contains(&wanted.profile) => {
                Some(check.finding(judge(machines, wanted)))
            }
            _ => None,
        }));
    }
    findings
}

/// Judges a cluster.
pub fn judge_cluster(facts: &ClusterFacts, wanted: &Wanted) -> Vec<Finding> {
    checks()
        .filter_map(|check| match check.judge {
            Judge::Cluster(judge) => Some(check.finding(judge(facts, wanted))),
            _ => None,
        })
        .collect()
}

/// Judges a cloud account.
pub fn judge_cloud(facts: &CloudFacts) -> Vec<Finding> {
    checks()
        .filter_map(|check| match check.judge {
            Judge::Cloud(judge) => Some(check.finding(judge(facts))),
            _ => None,
        })
        .collect()
}
