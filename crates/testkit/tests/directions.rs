//! The house's plan, enforced: which room may import which. The table is ARCHITECTURE.md's; a change of one is a change of
//! the other.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Room, and the rooms that it may import directly.
const ROOMS: &[(&str, &[&str])] = &[
    // Pure values, lowest first.
    ("kube-types", &[]),
    ("schema", &["kube-types"]),
    ("patch", &["kube-types", "schema"]),
    ("validation", &["kube-types", "schema"]),
    ("printers", &["kube-types", "schema"]),
    ("expressions", &["kube-types"]),
    ("structural", &["kube-types", "expressions"]),
    ("pod-security", &[]),
    ("results", &[]),
    ("report", &["results"]),
    ("preflight", &[]),
    // The engine.
    ("streaming", &[]),
    ("engine-events", &[]),
    ("engine-store", &[]),
    ("engine-runtime", &[]),
    ("engine-net", &[]),
    ("image", &[]),
    (
        "engine-api",
        &[
            "kube-types",
            "schema",
            "patch",
            "validation",
            "printers",
            "structural",
            "expressions",
            "pod-security",
            "streaming",
            "engine-store",
        ],
    ),
    ("engine-control", &["kube-types", "engine-events"]),
    (
        "engine-node",
        &[
            "kube-types",
            "engine-events",
            "streaming",
            "image",
            "engine-runtime",
            "engine-net",
        ],
    ),
    (
        "engine",
        &[
            "kube-types",
            "streaming",
            "engine-api",
            "engine-control",
            "engine-node",
            "engine-runtime",
            "engine-net",
            "image",
        ],
    ),
    // What works on any cluster.
    ("deploy", &["kube-types"]),
    ("load", &[]),
    ("chaos", &["results", "kube-types"]),
    ("results-web", &["results", "report"]),
    ("dashboard", &["results"]),
    // The rest.
    ("host", &["preflight"]),
    ("tally", &[]),
    ("background", &[]),
    ("metrics-adapter", &["kube-types"]),
    ("testkit", &[]),
    // The binary wires; the engine's inner rooms are not its business. (`engine-runtime` is: its daemon has to begin before
    // anything else in `main` does.)
    (
        "cncfdemo",
        &[
            "kube-types",
            "engine",
            "engine-runtime",
            "image",
            "deploy",
            "load",
            "dashboard",
            "chaos",
            "results",
            "report",
            "results-web",
            "tally",
            "background",
            "metrics-adapter",
            "host",
            "preflight",
        ],
    ),
    // The benchmark table: drives the binary from outside; the stores and the generator also by themselves.
    ("bench", &["engine-store", "load", "results", "results-web"]),
];

/// Rooms that compute and do nothing else: no async runtime, no network, no kernel.
const PURE: &[&str] = &[
    "kube-types",
    "schema",
    "patch",
    "validation",
    "printers",
    "expressions",
    "structural",
    "pod-security",
    "engine-events",
    "results",
    "report",
    "preflight",
];
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "reqwest",
    "hyper",
    "hyper-util",
    "axum",
    "tower",
    "kube",
    "k8s-openapi",
    "libc",
    "rustix",
    "nix",
    "procfs",
    "rtnetlink",
    "rustls",
    "tempfile",
    "rand",
];

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--manifest-path",
        ])
        .arg(root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("two folders below the workspace")
        .to_owned()
}

/// Name of every workspace member with its direct dependencies of one kind (`normal`, `dev` or `build`).
fn dependencies(metadata: &Value, wanted: &str) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let direct = package["dependencies"].as_array().expect("dependencies").iter();
            let direct = direct.filter(|d| d["kind"].as_str().unwrap_or("normal") == wanted);
            let names = direct.map(|d| d["name"].as_str().expect("a name").to_owned());
            (
                package["name"].as_str().expect("a name").to_owned(),
                names.collect(),
            )
        })
        .collect()
}

#[test]
fn every_room_is_in_the_table_and_imports_only_what_it_may() {
    let metadata = metadata();
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    let direct = dependencies(&metadata, "normal");
    let members: BTreeSet<&String> = direct.keys().collect();
    for room in table.keys().filter(|room| !direct.contains_key(**room)) {
        wrong.push(format!(
            "the table has a room `{room}` that is not in the workspace"
        ));
    }
    for (room, imports) in &direct {
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!(
                "crate `{room}` is not in the table: say in ARCHITECTURE.md what it may import"
            ));
            continue;
        };
        for import in imports
            .iter()
            .filter(|i| members.contains(i) && !allowed.contains(&i.as_str()))
        {
            wrong.push(format!(
                "`{room}` imports `{import}`, which ARCHITECTURE.md does not allow"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table itself must be a house and no knot: every room imports only rooms listed above it.
#[test]
fn the_table_has_no_cycle() {
    let mut above = BTreeSet::new();
    for (room, imports) in ROOMS {
        for import in *imports {
            assert!(
                above.contains(import),
                "`{room}` may import `{import}`, which stands below it in the table"
            );
        }
        assert!(above.insert(*room), "`{room}` is in the table twice");
    }
}

#[test]
fn nobody_imports_the_binary_and_the_test_kit_is_for_tests_only() {
    let metadata = metadata();
    for kind in ["normal", "dev", "build"] {
        for (room, imports) in dependencies(&metadata, kind) {
            assert!(
                !imports.contains("cncfdemo"),
                "`{room}` imports the binary ({kind} dependency)"
            );
            let may_test = kind == "dev" || !imports.contains("testkit");
            assert!(
                may_test,
                "`{room}` imports `testkit` as a {kind} dependency; it is for tests only"
            );
        }
    }
}

#[test]
fn pure_rooms_import_nothing_that_acts() {
    let direct = dependencies(&metadata(), "normal");
    for room in PURE {
        let acting: Vec<_> = IMPURE.iter().filter(|i| direct[*room].contains(**i)).collect();
        assert!(acting.is_empty(), "`{room}` is pure and imports {acting:?}");
    }
}

/// `tests.rs`, `…_test.rs` and everything below a folder `tests`.
fn is_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name == "tests" || name.ends_with("_test") || path.components().any(|part| part.as_os_str() == "tests")
}

/// What the compiler cannot say about std: a pure room touches no file, socket, process, environment or clock, and only
/// binaries (the program, the benchmarks) read the environment or end the process.
#[test]
fn libraries_use_no_part_of_std_that_is_not_theirs() {
    const ACTING: &[&str] = &[
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::process",
        "std::env",
        "std::thread",
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
    ];
    const BINARY_ONLY: &[&str] = &["std::env::var", "std::env::args", "env::var(", "process::exit("];
    let mut wrong = Vec::new();
    for (room, _) in ROOMS
        .iter()
        .filter(|(room, _)| !["cncfdemo", "bench", "testkit"].contains(room))
    {
        let banned: Vec<&str> = BINARY_ONLY
            .iter()
            .chain(PURE.contains(room).then_some(ACTING).into_iter().flatten())
            .copied()
            .collect();
        for file in walkdir::WalkDir::new(root().join("crates").join(room).join("src")) {
            let file = file.expect("a readable source folder");
            if file.path().extension().is_none_or(|e| e != "rs") || is_test(file.path()) {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).expect("a readable source file");
            // A file's tests are its last part.
            let lines = text
                .lines()
                .take_while(|line| line.trim() != "#[cfg(test)]")
                .enumerate();
            for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for word in banned.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!(
                        "{}:{}: `{room}` must not use {word}",
                        file.path().display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
