//! The JavaScript client: see `javascript/test.mjs`.
use std::fs;
use std::process::Command;

use testkit::machine;

use crate::packages;

#[test]
fn javascript_client() {
    if packages::skipped_without(
        "the JavaScript client",
        &[&["node", "--version"], &["npm", "--version"]],
    ) {
        return;
    }
    let source = packages::source("javascript");
    let folder = packages::installed("javascript", "package-lock.json", |folder| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file)).unwrap();
        }
        packages::succeed(
            Command::new("npm")
                .args(["ci", "--silent", "--no-audit", "--no-fund", "--cache"])
                .arg(folder.join("npm-cache"))
                .current_dir(folder),
        );
    });
    // Node looks for packages beside the file that asks for them.
    fs::copy(source.join("test.mjs"), folder.join("test.mjs")).unwrap();
    let _machine = machine::shared();
    let (cluster, image) = crate::cluster("javascript");
    packages::succeed(
        Command::new("node")
            .args(["--test", "--test-reporter=spec", "test.mjs"])
            .current_dir(&folder)
            .env("KUBECONFIG", cluster.folder().join("kubeconfig"))
            .env("ENGINE", cluster.engine().to_string())
            .env("IMAGE", image),
    );
}
