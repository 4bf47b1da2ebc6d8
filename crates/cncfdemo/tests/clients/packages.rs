//! Other people's programs: whether they are here, and what they need below `target/`.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

/// Where a client's files lie in the repository.
pub fn source(client: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(client)
}

/// Whether a client's test has to be passed over: it needs root and these programs.
pub fn skipped_without(test: &str, programs: &[&[&str]]) -> bool {
    if testkit::skipped_without_root(test) {
        return true;
    }
    let missing = programs.iter().find(|words| !runs(words));
    if let Some(words) = missing {
        testkit::skipped(test, &format!("`{}` does not run", words.join(" ")));
    }
    missing.is_some()
}

fn runs(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

/// A folder below `target/` with what a client needs, filled once for each version of its list of packages.
///
/// # Panics
/// When it cannot be filled; the folder is then as if it had never been begun.
pub fn installed(client: &str, list: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(client);
    let lock = File::create(folder.with_extension("lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let wanted = fs::read(source(client).join(list)).unwrap();
    let marker = folder.join("installed");
    if fs::read(&marker).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        install(&folder);
        fs::write(marker, wanted).unwrap();
    }
    folder
}

/// `pip install` of a client's `requirements.txt` into a folder.
pub fn pip(client: &str, into: &Path) {
    let list = source(client).join("requirements.txt");
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]);
    succeed(command.arg("--target").arg(into).arg("-r").arg(list));
}

/// Runs a command to its good end.
///
/// # Panics
/// When it fails, with all that it said.
pub fn succeed(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}{err}",
        output.status
    );
    out.into_owned()
}
