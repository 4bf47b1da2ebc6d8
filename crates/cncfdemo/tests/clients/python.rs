//! The official Python client: see `python/test.py`.
use std::process::Command;

use testkit::machine;

use crate::packages;

#[test]
fn python_client() {
    if packages::skipped_without("the Python client", &[&["python3", "-m", "pip", "--version"]]) {
        return;
    }
    let folder = packages::installed("python", "requirements.txt", |folder| {
        packages::pip("python", folder)
    });
    let _machine = machine::shared();
    let (cluster, image) = crate::cluster("python");
    packages::succeed(
        Command::new("python3")
            .arg(packages::source("python").join("test.py"))
            .env("PYTHONPATH", folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("KUBECONFIG", cluster.folder().join("kubeconfig"))
            .env("IMAGE", image),
    );
}
