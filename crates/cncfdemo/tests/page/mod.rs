//! The dashboard in a real Chromium, while the test around it deploys the demo and kills the engine.
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use testkit::{Cluster, Running};

const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser that follows the demo by the dashboard's page.
pub struct Watcher {
    dashboard: Option<Running>,
    browser: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    /// Opens the page before there is a cluster. `None`, with the reason on stderr, where there is no browser.
    pub fn open(cluster: &Cluster, port: u16) -> Option<Watcher> {
        let folder = installed()?;
        let dashboard = cluster.run(["dashboard", "--port", &port.to_string()]).spawn();
        testkit::eventually("the page", || {
            testkit::http_get(&format!("127.0.0.1:{port}"), "/healthz")
        });
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (pictures, home) = (tmp.join("dashboard-pictures"), tmp.join("dashboard-home"));
        for folder in [&pictures, &home] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let mut browser = Command::new("node")
            .arg("follow.mjs")
            .arg(format!("http://localhost:{port}"))
            .arg(pictures)
            .current_dir(folder)
            // Chromium's libraries keep caches (`~/.cache/dconf`), and nothing may stay on the machine.
            .env("HOME", home)
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let says = BufReader::new(browser.stdout.take().unwrap()).lines();
        let mut watcher = Watcher {
            dashboard: Some(dashboard),
            browser,
            says,
        };
        watcher.has_come_to("nothing");
        Some(watcher)
    }

    /// The demo has been deployed: the page has followed it. It goes on when the engine is killed, and is looked at in light and
    /// dark, wide and narrow.
    pub fn close(mut self, cluster: &Cluster) {
        for word in ["begun", "ready", "listening"] {
            self.has_come_to(word);
        }
        let engine = cluster.engine();
        testkit::kill(engine);
        cluster.new_engine(engine);
        for word in ["survived", "seen"] {
            self.has_come_to(word);
        }
        let ended = self.browser.wait().unwrap();
        assert!(ended.success(), "the page is not as it should be: see above");
    }

    /// The script gives up by itself when something takes too long.
    fn has_come_to(&mut self, word: &str) {
        let said = self.says.next().map(Result::unwrap);
        assert_eq!(
            said.as_deref(),
            Some(word),
            "the browser has ended early: see above"
        );
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Both may have ended by themselves.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
        if let Some(dashboard) = self.dashboard.take() {
            dashboard.kill();
        }
    }
}

/// A folder with the script and what it needs; installed once for all runs of this build folder.
fn installed() -> Option<PathBuf> {
    let skip = |reason: &str| {
        testkit::skipped("the dashboard in Chromium", reason);
        None
    };
    if !Path::new(CHROMIUM).exists() {
        return skip(&format!("there is no {CHROMIUM}"));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard-page");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["package.json", "package-lock.json", "follow.mjs"] {
        std::fs::copy(here.join(file), folder.join(file)).unwrap();
    }
    let npm = [
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
    ];
    match Command::new("npm")
        .args(npm)
        .arg("--cache")
        .arg(folder.join("npm-cache"))
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status()
    {
        Ok(status) if status.success() => Some(folder),
        Ok(_) => skip("npm cannot install what it needs (no registry within reach?)"),
        Err(_) => skip("node and npm are not installed"),
    }
}
