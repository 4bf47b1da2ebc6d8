use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Run;

/// An axis on which two runs differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Name, as `--allow-different` takes it.
    pub name: String,
    /// What the base has.
    pub base: String,
    /// What the other has.
    pub other: String,
}

/// Every axis on which two runs differ. What one of them does not know counts as different from what the other knows.
pub fn axes(a: &Run, b: &Run) -> Vec<Axis> {
    let (left, right) = (facts(a), facts(b));
    let differ = left.into_iter().zip(right).filter(|((_, a), (_, b))| a != b);
    let mut found: Vec<Axis> = differ
        .map(|((name, base), (_, other))| Axis {
            name: name.to_owned(),
            base,
            other,
        })
        .collect();
    let steal = |r: &Run| {
        r.environment
            .as_ref()
            .and_then(|e| e.generator.steal_percent)
            .unwrap_or(0.0)
    };
    if (steal(a) - steal(b)).abs() > 1.0 {
        let text = |r: &Run| format!("{:.1} %", steal(r));
        found.push(Axis {
            name: "steal".to_owned(),
            base: text(a),
            other: text(b),
        });
    }
    found
}

/// Facts in a fixed order, each in words.
fn facts(run: &Run) -> Vec<(&'static str, String)> {
    fn known<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "unknown".to_owned(), |v| v.to_string())
    }
    let environment = run.environment.clone().unwrap_or_default();
    let machine = environment.generator;
    let cluster = run.target.cluster.as_ref();
    let made = run.load.generator.as_ref();
    let of_nodes = |value: fn(&crate::Node) -> String| {
        let values: BTreeSet<String> = cluster.into_iter().flat_map(|c| &c.nodes).map(value).collect();
        if values.is_empty() {
            "unknown".to_owned()
        } else {
            values.into_iter().collect::<Vec<_>>().join(" and ")
        }
    };
    let images: Vec<String> = environment
        .images
        .iter()
        .map(|(name, image)| format!("{name} {image}"))
        .collect();
    vec![
        ("version", run.program.version.clone()),
        ("mode", run.load.mode.clone()),
        ("rate", known(run.load.rate)),
        ("connections", run.load.connections.to_string()),
        ("threads", run.load.threads.to_string()),
        ("length", known(run.load.planned_s)),
        ("warm-up", known(made.map(|g| format!("{} s", g.warm_up_s)))),
        (
            "workers",
            known(made.map(|g| g.workers.map_or_else(|| "outside".to_owned(), |n| n.to_string()))),
        ),
        (
            "requests",
            known(made.filter(|g| !g.mix.is_null()).map(|g| g.mix.to_string())),
        ),
        ("faults", run.faults.len().to_string()),
        ("cpu", known(machine.cpu)),
        ("cpus", known(machine.cpus)),
        ("governor", known(machine.governor)),
        ("memory", known(machine.memory)),
        ("kernel", known(machine.kernel)),
        ("virtualisation", known(machine.virtualisation)),
        ("cgroup", known(machine.cgroup)),
        ("mtu", known(machine.mtu)),
        ("shared-machine", known(environment.shared_with_cluster)),
        ("kubernetes", known(cluster.map(|c| c.version.clone()))),
        ("nodes", known(cluster.map(|c| c.nodes.len()))),
        (
            "machine",
            of_nodes(|n| n.machine.clone().unwrap_or_else(|| "unknown".to_owned())),
        ),
        ("node-cpus", of_nodes(|n| n.cpu.clone())),
        ("node-memory", of_nodes(|n| n.memory.clone())),
        ("node-kernel", of_nodes(|n| n.kernel.clone())),
        ("runtime", of_nodes(|n| n.runtime.clone())),
        ("network", known(environment.network)),
        (
            "images",
            if images.is_empty() {
                "unknown".to_owned()
            } else {
                images.join(", ")
            },
        ),
        ("background", known(environment.background)),
    ]
}
