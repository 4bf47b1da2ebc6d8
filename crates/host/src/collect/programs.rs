//! What other programs say of themselves: systemd, container runtimes.
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use preflight::facts::{Containerd, Docker, Systemd};
use serde_json::Value;

use super::files::{read, word};

/// Where programs lie; `PATH` is the caller's affair and differs under sudo.
const PLACES: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn find(program: &str) -> Option<PathBuf> {
    PLACES
        .iter()
        .map(|p| Path::new(p).join(program))
        .find(|p| p.is_file())
}

/// What a program prints, if it ends well and in time.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(find(program)?)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    // The text is short, and a reader of its own keeps a long one from blocking the program.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
    reader.join().ok()?.ok()
}

pub(super) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    Some(output(program, arguments)?.lines().next()?.trim().to_owned())
}

pub(super) fn tools() -> BTreeMap<String, String> {
    [
        "conntrack",
        "socat",
        "ip",
        "bridge",
        "ethtool",
        "iptables",
        "nft",
        "mount",
        "crictl",
        "ebtables",
        "ipset",
        "ipvsadm",
        "tc",
        "modprobe",
    ]
    .iter()
    .filter_map(|name| Some(((*name).to_owned(), find(name)?.display().to_string())))
    .collect()
}

pub(super) fn systemd() -> Systemd {
    // The same test as sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() || word("/proc/1/comm") != "systemd" {
        return Systemd::default();
    }
    let units = |arguments: &[&str]| -> Vec<String> {
        let text = output("systemctl", arguments).unwrap_or_default();
        text.lines()
            .filter_map(|l| l.trim_start_matches(['●', '*', ' ']).split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let names = [
        "firewalld.service",
        "ufw.service",
        "nftables.service",
        "containerd.service",
        "docker.service",
        "crio.service",
        "kubelet.service",
    ];
    let mut list = vec![
        "list-units",
        "--plain",
        "--no-legend",
        "--no-pager",
        "--state=active",
    ];
    list.extend(names);
    Systemd {
        running: true,
        failed: units(&["list-units", "--failed", "--plain", "--no-legend", "--no-pager"]),
        active: units(&list),
        ..Systemd::default()
    }
}

/// Docker by its API: `GET /info` on its socket.
pub(super) fn docker() -> Option<Docker> {
    let info = ask_docker().unwrap_or_default();
    if info.is_null() && find("dockerd").is_none() {
        return None;
    }
    let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let status = info["DriverStatus"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| {
            Some((
                pair.get(0)?.as_str()?.to_owned(),
                pair.get(1)?.as_str()?.to_owned(),
            ))
        });
    let warnings = info["Warnings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let mut version = text("ServerVersion");
    if version.is_empty() {
        version = first_line("dockerd", &["--version"]).unwrap_or_default();
    }
    Some(Docker {
        version,
        driver: text("Driver"),
        driver_status: status.collect(),
        cgroup_driver: text("CgroupDriver"),
        warnings: warnings.collect(),
        root: text("DockerRootDir"),
        ..Docker::default()
    })
}

fn ask_docker() -> Option<Value> {
    let mut stream = UnixStream::connect("/run/docker.sock")
        .or_else(|_| UnixStream::connect("/var/run/docker.sock"))
        .ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream
        .write_all(b"GET /info HTTP/1.0\r\nHost: docker\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    stream.take(4 << 20).read_to_end(&mut answer).ok()?;
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    serde_json::from_slice(&answer[at..]).ok()
}

pub(super) fn containerd() -> Option<Containerd> {
    let config = read("/etc/containerd/config.toml");
    let version = first_line("containerd", &["--version"]);
    (config.is_some() || version.is_some()).then(|| Containerd {
        version: version.unwrap_or_default(),
        config,
        ..Containerd::default()
    })
}
