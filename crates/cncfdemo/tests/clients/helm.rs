//! Helm: a chart is installed, upgraded, rolled back, taken away; it waits for what it has made.
use std::process::Command;

use testkit::machine;

use crate::{kubectl, packages};

#[test]
fn helm_installs_upgrades_and_rolls_back() {
    if packages::skipped_without("helm", &[&["python3", "-m", "pip", "--version"]]) {
        return;
    }
    let programs = kubectl::programs("helm");
    assert!(!programs.is_empty());
    let _machine = machine::shared();
    let (cluster, image) = crate::cluster("helm");
    for (number, program) in programs.iter().enumerate() {
        let namespace = format!("charts-{number}");
        let home = tempfile::tempdir().unwrap();
        let helm = |line: &str| {
            let mut command = Command::new(program);
            command
                .arg("--kubeconfig")
                .arg(cluster.folder().join("kubeconfig"))
                .args(["--namespace", &namespace])
                .args(line.split_whitespace())
                .arg("--timeout=180s")
                .env("HOME", home.path())
                .current_dir(packages::source("helm"));
            packages::succeed(&mut command)
        };
        helm(&format!(
            "install web chart --create-namespace --wait --set image={image}"
        ));
        assert!(helm("test web --logs").contains("the page says: first"));
        helm(&format!(
            "upgrade web chart --wait --set image={image} --set page=second --set replicas=2"
        ));
        assert!(helm("test web --logs").contains("the page says: second"));
        helm("rollback web 1 --wait");
        assert!(helm("test web --logs").contains("the page says: first"));
        helm("uninstall web --wait");
    }
}
