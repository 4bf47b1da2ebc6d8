//! Our replay of sysctl.d against systemd-sysctl itself: generated sets of files in a network and mount namespace of their
//! own; what the program sets must be what was predicted. Needs root, `unshare`, `ip` and systemd-sysctl.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may end where it stands"
)]
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "/usr/lib/systemd/systemd-sysctl";
const INSIDE: &str = "CNCFDEMO_TEST_SYSCTL_INSIDE";
const CASES: u64 = 1000;

/// Parameters of links: they belong to the network namespace, and setting one changes no other.
const PARAMETERS: [&str; 3] = ["rp_filter", "arp_ignore", "arp_announce"];
const LINKS: [&str; 4] = ["all", "lo", "d0", "v.5"];
const PLACES: [&str; 4] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
];
const NAMES: [&str; 9] = [
    "10-a.conf",
    "50-b.conf",
    "99-z.conf",
    "a.conf",
    "Z.conf",
    "~z.conf",
    ".hidden.conf",
    "10-a.conf.bak",
    "60-x.conf~",
];

#[test]
fn what_systemd_sets_is_what_was_predicted() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let ip = ["/usr/sbin/ip", "/usr/bin/ip", "/sbin/ip", "/bin/ip"];
    let has_ip = ip.iter().any(|path| Path::new(path).exists());
    if !rustix::process::geteuid().is_root() || !Path::new(PROGRAM).exists() || !has_ip {
        eprintln!("skipped: needs root, ip and {PROGRAM}");
        return;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "what_systemd_sets_is_what_was_predicted",
            "--nocapture",
        ])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

fn inside() {
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}");
    };
    // Covered, not changed: all of this ends with the namespaces.
    for place in ["/etc/sysctl.d", "/run", "/usr/local/lib", "/usr/lib/sysctl.d"] {
        run("mount", &["-t", "tmpfs", "tmpfs", place]);
    }
    run(
        "ip",
        &["link", "add", "d0", "type", "veth", "peer", "name", "v.5"],
    );
    let mut globs = 0;
    for case in 1..=CASES {
        let mut dice = Dice(case.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let files = write_files(&mut dice);
        globs += usize::from(files.values().any(|t| t.contains('*')));
        let keys: Vec<(String, String)> = LINKS
            .iter()
            .flat_map(|link| {
                PARAMETERS.iter().map(move |p| {
                    (
                        format!("net/ipv4/conf/{link}/{p}"),
                        format!("/proc/sys/net/ipv4/conf/{link}/{p}"),
                    )
                })
            })
            .collect();
        for (_, path) in &keys {
            fs::write(path, "0").unwrap();
        }
        // It complains of what it cannot set, and that is no failure here.
        let output = Command::new(PROGRAM)
            .env("SYSTEMD_LOG_LEVEL", "err")
            .output()
            .unwrap();
        let read = host::sysctl_files();
        for (key, path) in &keys {
            let set = fs::read_to_string(path).unwrap().trim().to_owned();
            let predicted = preflight::sysctl::after_boot(&read, key).map_or("0".to_owned(), |s| s.value);
            assert_eq!(
                set,
                predicted,
                "case {case}, {key}\n{files:#?}\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(globs > 100, "too few globs to say anything: {globs}");
    eprintln!("{CASES} cases equal, {globs} of them with globs");
}

fn write_files(dice: &mut Dice) -> BTreeMap<String, String> {
    let mut written = BTreeMap::new();
    for place in PLACES {
        let _ = fs::remove_dir_all(place);
        // Mount points stay.
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            fs::remove_file(entry.path()).unwrap();
        }
        fs::create_dir_all(place).unwrap();
    }
    for _ in 0..=dice.up_to(6) {
        let path = format!("{}/{}", dice.one(&PLACES), dice.one(&NAMES));
        if written.contains_key(&path) {
            continue;
        }
        let text: String = (0..dice.up_to(6)).map(|_| line(dice)).collect();
        match dice.up_to(12) {
            0 => {
                symlink("/dev/null", &path).unwrap();
                written.insert(path, "-> /dev/null".to_owned());
            }
            1 => {
                symlink("/nowhere", &path).unwrap();
                written.insert(path, "-> /nowhere".to_owned());
            }
            2 => {
                let target = format!("/run/target-{}", written.len());
                fs::write(&target, &text).unwrap();
                symlink(&target, &path).unwrap();
                written.insert(path, format!("-> {target}: {text}"));
            }
            _ => {
                fs::write(&path, &text).unwrap();
                written.insert(path, text);
            }
        }
    }
    written
}

fn line(dice: &mut Dice) -> String {
    let (link, parameter, value) = (dice.one(&LINKS), dice.one(&PARAMETERS), 1 + dice.up_to(2));
    let dotted = format!("net.ipv4.conf.{}.{parameter}", link.replace('.', "/"));
    let slashed = format!("net/ipv4/conf/{link}/{parameter}");
    match dice.up_to(18) {
        0 => "# net.ipv4.conf.all.rp_filter = 2\n".to_owned(),
        1 => format!("  ; {dotted}=2\n"),
        2 => "nonsense\n".to_owned(),
        3 => format!("-{dotted}\n"),
        4 => format!("-{slashed}\n"),
        5 => format!("net.ipv4.conf.*.{parameter} = {value}\n"),
        6 => format!("net/ipv4/conf/*/{parameter}={value}\n"),
        7 => format!("net.ipv4.conf.[adl]*.{parameter}\t=\t{value}\n"),
        8 => format!("net/ipv4/conf/{{lo,d?}}/{parameter} = {value}\n"),
        9 => format!("net.ipv4.conf.[!a]?.arp_* = {value}\n"),
        10 => format!("- {slashed} = {value}\n"),
        11 => format!("-{dotted}={value}\n"),
        12 => format!("net//ipv4/conf/./{link}/{parameter} = {value}\n"),
        13 => format!("/{slashed} = {value}\n"),
        14 => format!("   {slashed}   =   {value}   \r\n"),
        15 => format!("\u{b}{dotted} = {value}\n\n"),
        16 => format!("net.ipv4.conf.nowhere.{parameter} = {value}\n"),
        _ => format!("{dotted} = {value}\n"),
    }
}

/// Small numbers that are the same at every run.
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.up_to(of.len() as u64) as usize]
    }
}
