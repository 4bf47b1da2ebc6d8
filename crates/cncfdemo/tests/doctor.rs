//! Real broken machines: each trap seen to fail, mended, seen to pass, still after a reboot, taken back, seen to fail again.
//! Needs root; the booted ones need systemd-nspawn and a Debian root file system in `CNCFDEMO_TEST_ROOTFS`
//! (`tests/doctor/nspawn.sh` says how to make one).
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may end where it stands"
)]
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cncfdemo");

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/doctor")
        .join(name)
}

/// Why a test cannot run here, if it cannot.
fn lacking(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    let missing = programs.iter().find(|p| {
        !["/usr/bin", "/usr/sbin", "/usr/lib/systemd"]
            .iter()
            .any(|d| Path::new(d).join(p).exists())
    });
    missing.map(|p| format!("needs {p}"))
}

#[test]
fn parameters_and_swap_in_namespaces() {
    if let Some(why) = lacking(&["unshare", "mkswap", "systemd-sysctl", "python3"]) {
        eprintln!("skipped: {why}");
        return;
    }
    let work =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-namespaces-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--net", "bash"])
        .arg(script("namespaces.sh"))
        .arg(PROGRAM)
        .arg(&work)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&work).unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_booted_machine() {
    let Some(rootfs) = std::env::var_os("CNCFDEMO_TEST_ROOTFS") else {
        eprintln!("skipped: needs a root file system in CNCFDEMO_TEST_ROOTFS");
        return;
    };
    if let Some(why) = lacking(&["systemd-nspawn", "python3"]) {
        eprintln!("skipped: {why}");
        return;
    }
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-nspawn-{}", std::process::id()));
    std::fs::create_dir_all(&work).unwrap();
    let output = Command::new("bash")
        .arg(script("nspawn.sh"))
        .arg(PROGRAM)
        .arg(rootfs)
        .arg(&work)
        .output()
        .unwrap();
    // nspawn leaves folders without any permission behind, which only root's remove_dir_all gets away.
    std::fs::remove_dir_all(&work).unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
