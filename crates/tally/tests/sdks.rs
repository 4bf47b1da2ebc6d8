//! The official Countly SDKs live their normal life against tally; what `/o` reports is what they sent.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "a test"
)]
mod kit;

use kit::{Redis, Tally};
use serde_json::{Value, json};
use std::process::Stdio;

const APP: &str = "app_id=000000000000000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn official_sdks_are_understood() {
    if !kit::has("node") || !kit::has("npm") {
        eprintln!("skipped: node and npm are not installed");
        return;
    }
    let Some(redis) = Redis::start().await else { return };
    // A copy, so that what npm installs does not end up in the repository.
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "package.json",
        "package-lock.json",
        "ledger.cjs",
        "node.cjs",
        "web.cjs",
    ] {
        std::fs::copy(kit::sdk_folder().join(file), folder.path().join(file)).unwrap();
    }
    let npm = [
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
    ];
    let installed = tokio::process::Command::new("npm")
        .args(npm)
        .args(["--cache", concat!(env!("CARGO_TARGET_TMPDIR"), "/npm-cache")])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status()
        .await
        .unwrap();
    if !installed.success() {
        eprintln!("skipped: npm cannot install the SDKs (no registry within reach?)");
        return;
    }
    let tally = Tally::start(&redis).await;
    let mut ledgers = Vec::new();
    for script in ["node.cjs", "web.cjs"] {
        ledgers.push(live(script, &tally, folder.path()).await);
    }
    let sum = |of: &dyn Fn(&Value) -> f64| ledgers.iter().map(of).sum::<f64>();
    let row = tally
        .read(&format!("/o/analytics/sessions?{APP}&period=today"))
        .await[0]
        .clone();
    let number = |v: &Value| v.as_f64().unwrap();
    assert_eq!(number(&row["t"]), sum(&|l| number(&l["sessions"])), "{row}");
    assert_eq!(number(&row["d"]), sum(&|l| number(&l["seconds"])), "{row}");
    // One device each: the Node SDK's has been renamed, which makes no second user.
    assert_eq!((&row["n"], &row["u"]), (&json!(2), &json!(2)), "{row}");
    assert_eq!(tally.read(&format!("/o?{APP}&method=total_users")).await, 2);
    for key in ["bought", "after_outage"] {
        let row = tally
            .read(&format!("/o/analytics/events?{APP}&period=today&event={key}"))
            .await[0]
            .clone();
        for what in ["c", "s"] {
            let sent = sum(&|l| l["events"][key][what].as_f64().unwrap_or(0.0));
            assert_eq!(number(&row[what]), sent, "{key} {what}");
        }
        assert!(number(&row["c"]) >= 1.0, "{key} was not sent");
    }
    let colours = tally
        .read(&format!(
            "/o/analytics/events?{APP}&period=today&event=bought&segmentation=colour"
        ))
        .await;
    assert_eq!((&colours[0]["_id"], &colours[0]["c"]), (&json!("red"), &json!(6)));
    for device in ["node-sdk", "web-sdk"] {
        let user: Value = tally
            .read(&format!("/o?{APP}&method=user_details&device_id={device}"))
            .await;
        let custom = json!({"plan": "pro", "visits": 1, "points": 2});
        assert_eq!(
            (&user["name"], &user["custom"]),
            (&json!("Ann"), &custom),
            "{user}"
        );
    }
    let crashes = tally.read(&format!("/o?{APP}&method=crashes")).await;
    let reports: f64 = crashes
        .as_array()
        .unwrap()
        .iter()
        .map(|c| number(&c["reports"]))
        .sum();
    assert_eq!(
        (reports, sum(&|l| number(&l["crashes"]))),
        (2.0, 2.0),
        "{crashes}"
    );
}

/// Lets an SDK live; what it has sent.
async fn live(script: &str, tally: &Tally, folder: &std::path::Path) -> Value {
    let mut node = tokio::process::Command::new("node");
    node.arg(script)
        .arg(format!("http://{}", tally.address))
        .current_dir(folder)
        .kill_on_drop(true);
    let done = tokio::time::timeout(std::time::Duration::from_secs(600), node.output());
    let done = done.await.expect("the SDK has not ended within 600 s").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(
        done.status.success(),
        "{script}: {} {}",
        text(&done.stdout),
        text(&done.stderr)
    );
    eprintln!("{script}: {}", text(&done.stdout));
    let last = text(&done.stdout).lines().last().unwrap_or_default().to_owned();
    serde_json::from_str(&last).unwrap()
}
