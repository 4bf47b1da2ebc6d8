//! The exporter against Debian's own BOINC client.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends the client when the test ends.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_clients_state_is_told() {
    if Command::new("boinc").arg("--version").output().is_err() {
        testkit::skipped(
            "BOINC's client",
            "it is not installed (Debian: apt-get install boinc-client)",
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gui_rpc_auth.cfg"), "secret\n").unwrap();
    let (rpc, listen) = (free(), free());
    let exporter = background::boinc::Config {
        listen,
        client: rpc.to_string(),
        password_file: folder.path().join("gui_rpc_auth.cfg"),
    };
    tokio::spawn(exporter.clone().run(std::future::pending()));

    // Nobody is there yet.
    let text = until(listen, "boinc_up 0").await;
    assert!(!text.contains("boinc_tasks"), "{text}");

    let unattached = client(folder.path(), rpc);
    let text = until(listen, "boinc_up 1").await;
    for line in [
        "boinc_projects 0",
        "boinc_tasks{state=\"running\"} 0.0",
        "boinc_tasks{state=\"waiting\"} 0.0",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
    }
    drop(unattached);

    // Attached by an account file, as `apps/boinc/config/start.sh` does, to a project whose server is nobody.
    let account = "<account>\n<master_url>http://127.0.0.1:9/</master_url>\n<authenticator>0</authenticator>\n</account>\n";
    std::fs::write(folder.path().join("account_127.0.0.1_9.xml"), account).unwrap();
    let _client = client(folder.path(), rpc);
    let text = until(listen, "boinc_projects 1").await;
    let project = "project=\"http://127.0.0.1:9/\"";
    assert!(
        text.contains(&format!("boinc_project_failures{{{project}}}")),
        "{text}"
    );
    assert!(
        text.contains(&format!("boinc_credit{{{project},of=\"host\"}} 0.0")),
        "{text}"
    );

    std::fs::write(folder.path().join("gui_rpc_auth.cfg"), "wrong\n").unwrap();
    until(listen, "boinc_up 0").await;
}

/// The client, as in the demo's image.
fn client(folder: &Path, rpc: SocketAddr) -> Client {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let client = Command::new("boinc")
        .arg("--dir")
        .arg(folder)
        .args([
            "--no_gpus",
            "--allow_multiple_clients",
            "--no_info_fetch",
            "--skip_cpu_benchmarks",
        ])
        .args(["--gui_rpc_port", &rpc.port().to_string()])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Client(client)
}

fn free() -> SocketAddr {
    ([127, 0, 0, 1], testkit::free_port()).into()
}

/// The metrics, once they have this in them.
async fn until(address: SocketAddr, wanted: &'static str) -> String {
    let begun = Instant::now();
    loop {
        let answer =
            tokio::task::spawn_blocking(move || testkit::http_get(&address.to_string(), "/metrics")).await;
        match answer.unwrap() {
            Ok(text) if text.contains(wanted) => return text,
            other => assert!(begun.elapsed() < testkit::PATIENCE, "no {wanted}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
