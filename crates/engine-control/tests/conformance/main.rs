//! kubectl on the API server with its controllers, held against what upstream Kubernetes 1.36.2 was seen to answer.
//!
//! The server is in this process, behind TLS on loopback; there is one node without an agent, so no case runs containers.
//! The transcripts lie beside the cases. `CONFORMANCE_ONLY=TEXT` runs the cases whose names contain it;
//! `CONFORMANCE_RECORD=KUBECONFIG` records them anew on the cluster of that kubeconfig, which has to be upstream's.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use testkit::Case;

/// The minor version of kubectl with which the transcripts were taken: much of the wording is the client's.
const KUBECTL: &str = "v1.32.";

/// kubectl mostly waits for the server, which is on the same processors.
const AT_ONCE: usize = 3;

#[test]
fn kubectl_cannot_tell_it_from_upstream() {
    if !kubectl_is_at_hand() {
        return;
    }
    let cases = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases");
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    let wanted: Vec<Case> = Case::all(&cases)
        .into_iter()
        .filter(|case| case.name().contains(&only))
        .collect();
    if let Some(reference) = std::env::var_os("CONFORMANCE_RECORD") {
        each(wanted, |case| case.record(&case.run(Path::new(&reference))));
        return;
    }
    let server = server::Server::start();
    let differing = Mutex::new(Vec::new());
    let compare = |case: &Case| {
        let (expected, answered) = (case.expected(), case.run(server.kubeconfig()));
        if expected != answered {
            differing
                .lock()
                .unwrap()
                .push(difference(&case.name(), &expected, &answered));
        }
    };
    // Rights are the whole cluster's: what another case gives jane, she has in this one, too.
    let (alone, beside): (Vec<Case>, Vec<Case>) = wanted.into_iter().partition(|case| case.name() == "auth");
    alone.iter().for_each(compare);
    each(beside, compare);
    let differing = differing.into_inner().unwrap();
    assert!(
        differing.is_empty(),
        "{} cases differ from upstream:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

fn each(cases: Vec<Case>, act: impl Fn(&Case) + Sync) {
    let left = Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop();
                    let Some(case) = next else { return };
                    act(&case);
                }
            });
        }
    });
}

fn kubectl_is_at_hand() -> bool {
    const TEST: &str = "kubectl against what upstream answered";
    match Command::new("kubectl").args(["version", "--client"]).output() {
        Err(_) => testkit::skipped(TEST, "kubectl is not installed"),
        Ok(output) if !String::from_utf8_lossy(&output.stdout).contains(KUBECTL) => {
            testkit::skipped(TEST, &format!("the transcripts are of kubectl {KUBECTL}x"));
        }
        Ok(_) => return true,
    }
    false
}

/// What diff(1) says.
fn difference(name: &str, expected: &str, answered: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [left, right] = ["upstream", "here"].map(|file| folder.path().join(file));
    std::fs::write(&left, expected).unwrap();
    std::fs::write(&right, answered).unwrap();
    let diff = Command::new("diff")
        .arg("-U4")
        .args([&left, &right])
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&diff.stdout).into_owned();
    let body = lines.lines().skip(2);
    body.fold(format!("== {name}\n"), |all, line| all + line + "\n")
}
