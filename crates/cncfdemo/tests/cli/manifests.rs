//! What `start` would apply is valid by upstream's own schemas, for every profile and supported version; the scripts in it parse.
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::Test;

/// PyPI's package with the schemas, pinned.
const VALIDATOR: &str = "kubernetes-validate==1.36.0";

const PROFILES: [&[&str]; 4] = [
    &[],
    &["--background", "boinc"],
    &["--background", "none", "--set", "redis.shards=4"],
    &["--app", "countly", "--set", "mongodb.key=c2VjcmV0"],
];

#[test]
fn every_profile_is_valid_for_every_version() {
    let Some(python) = validator() else { return };
    for profile in PROFILES {
        let rendered = Test::new()
            .args(["start", "--dry-run", "--output", "json"])
            .args(profile.iter().copied())
            .success()
            .stdout;
        let mut check = Command::new(&python)
            .arg(folder().join("tests/manifests/validate.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        check
            .stdin
            .take()
            .unwrap()
            .write_all(rendered.as_bytes())
            .unwrap();
        let output = check.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{profile:?}:\n{said}");
    }
}

/// mongosh runs them with its own names in scope; what it parses is JavaScript.
#[test]
fn scripts_for_mongosh_parse() {
    for script in ["cluster.js", "ready.js"] {
        let path = folder().join("../../apps/mongodb/config").join(script);
        match Command::new("node").arg("--check").arg(&path).output() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                testkit::skipped(script, "node is not installed")
            }
            output => {
                let output = output.unwrap();
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
    }
}

/// A Python that has the validator, installed once below `target/`; `None`, having said why, where there is none.
fn validator() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manifests-venv");
    let python = place.join("bin/python");
    let usable = || {
        let probe = Command::new(&python)
            .args(["-c", "import kubernetes_validate"])
            .output();
        probe.is_ok_and(|output| output.status.success())
    };
    let run = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !usable() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&place));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-cache-dir", VALIDATOR]));
    }
    if usable() {
        return Some(python);
    }
    testkit::skipped(
        "manifests against upstream's schemas",
        &format!("{VALIDATOR} cannot be installed"),
    );
    None
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
