use roxmltree::{Document, Node};

use super::rpc::Rpc;
use crate::Error;

/// What a client has and does.
#[derive(Debug, Default, PartialEq)]
pub(super) struct State {
    /// Whether it reaches the network, as far as it has tried.
    pub online: bool,
    /// The projects it is attached to.
    pub projects: Vec<Project>,
    /// Its tasks.
    pub tasks: Vec<Task>,
}

/// A project and what was credited for work that it has accepted.
#[derive(Debug, PartialEq)]
pub(super) struct Project {
    pub name: String,
    pub user_credit: f64,
    pub host_credit: f64,
    /// Attempts to reach its server in a row that failed.
    pub failures: f64,
}

/// A task.
#[derive(Debug, PartialEq)]
pub(super) struct Task {
    pub name: String,
    pub phase: &'static str,
    pub done: f64,
    pub elapsed: f64,
}

/// Phases that tasks are counted by, also when there is none.
pub(super) const PHASES: [&str; 7] = [
    "downloading",
    "waiting",
    "running",
    "failed",
    "aborted",
    "uploading",
    "uploaded",
];

impl State {
    /// Asks a client for it.
    pub(super) async fn ask(rpc: &mut Rpc) -> Result<Self, Error> {
        let status = rpc.ask("<get_cc_status/>").await?;
        let projects = rpc.ask("<get_project_status/>").await?;
        let tasks = rpc.ask("<get_results/>").await?;
        Self::parse(&status, &projects, &tasks).map_err(|e| Error::BoincAnswer(e.to_string()))
    }

    fn parse(status: &str, projects: &str, tasks: &str) -> Result<Self, roxmltree::Error> {
        let (status, projects, tasks) = (
            Document::parse(status)?,
            Document::parse(projects)?,
            Document::parse(tasks)?,
        );
        let all = |document: &Document<'_>, tag: &str| -> Vec<roxmltree::NodeId> {
            let found = document.descendants().filter(|n| n.has_tag_name(tag));
            found.map(|n| n.id()).collect()
        };
        Ok(Self {
            // lib/common_defs.h: NETWORK_STATUS_ONLINE is 0, which it is when a connection is open or was possible.
            online: number(status.root_element(), "network_status") == 0.0,
            projects: all(&projects, "project")
                .into_iter()
                .filter_map(|id| projects.get_node(id))
                .map(|node| Project {
                    name: text(node, "project_name")
                        .or_else(|| text(node, "master_url"))
                        .unwrap_or_default(),
                    user_credit: number(node, "user_total_credit"),
                    host_credit: number(node, "host_total_credit"),
                    failures: number(node, "nrpc_failures") + number(node, "master_fetch_failures"),
                })
                .collect(),
            tasks: all(&tasks, "result")
                .into_iter()
                .filter_map(|id| tasks.get_node(id))
                .map(|node| Task {
                    name: text(node, "name").unwrap_or_default(),
                    phase: phase(
                        number(node, "state") as u32,
                        number(node, "active_task_state") as u32,
                    ),
                    done: number(node, "fraction_done"),
                    elapsed: number(node, "elapsed_time").max(number(node, "final_elapsed_time")),
                })
                .collect(),
        })
    }
}

/// lib/common_defs.h: RESULT_* and PROCESS_EXECUTING.
fn phase(state: u32, active: u32) -> &'static str {
    match (state, active) {
        (0 | 1, _) => "downloading",
        (2, 1) => "running",
        (2, _) => "waiting",
        (4, _) => "uploading",
        (5, _) => "uploaded",
        (6, _) => "aborted",
        _ => "failed",
    }
}

fn text(node: Node<'_, '_>, tag: &str) -> Option<String> {
    let found = node.descendants().find(|n| n.has_tag_name(tag))?;
    Some(found.text()?.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What is not said is zero, as in BOINC's own parser.
fn number(node: Node<'_, '_>, tag: &str) -> f64 {
    text(node, tag).and_then(|t| t.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_and_credit_are_read() {
        let reply = |inside: &str| format!("<boinc_gui_rpc_reply>\n{inside}\n</boinc_gui_rpc_reply>\n");
        let state = State::parse(
            &reply("<cc_status><network_status>0</network_status></cc_status>"),
            &reply("<projects><project><master_url>http://p/</master_url><project_name>P &amp; Q</project_name><user_total_credit>12.5</user_total_credit><host_total_credit>2</host_total_credit><nrpc_failures>3</nrpc_failures></project></projects>"),
            &reply("<results><result><name>a_0</name><state>2</state><active_task><active_task_state>1</active_task_state><fraction_done>0.25</fraction_done><elapsed_time>90.5</elapsed_time></active_task></result><result><name>b_0</name><state>5</state><final_elapsed_time>10</final_elapsed_time></result></results>"),
        )
        .unwrap();
        let task = |name: &str, phase, done, elapsed| Task {
            name: name.to_owned(),
            phase,
            done,
            elapsed,
        };
        let project = Project {
            name: "P & Q".to_owned(),
            user_credit: 12.5,
            host_credit: 2.0,
            failures: 3.0,
        };
        let wanted = State {
            online: true,
            projects: vec![project],
            tasks: vec![
                task("a_0", "running", 0.25, 90.5),
                task("b_0", "uploaded", 0.0, 10.0),
            ],
        };
        assert_eq!(state, wanted);
        assert!(PHASES.contains(&phase(3, 0)) && PHASES.contains(&phase(99, 0)));
    }
}
