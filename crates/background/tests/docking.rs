//! A docking with the real programs, as far as they are installed; the demo's test has them from its image.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_molecule_is_docked_and_counted() {
    if Command::new("vina").arg("--version").output().is_err()
        || Command::new("obabel").arg("-V").output().is_err()
    {
        testkit::skipped(
            "docking",
            "vina and obabel are not installed (Debian: apt-get install autodock-vina openbabel)",
        );
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    // A ring of atoms for a protein, and water for a drug: seconds become milliseconds.
    let atom = |n: usize, x: f64, y: f64| {
        format!("ATOM  {n:5}  C   ALA A{n:4}    {x:8.3}{y:8.3}   0.000  1.00  0.00     0.000 C \n")
    };
    let receptor: String = (0..12_u32)
        .map(|n| (n, f64::from(n) * std::f64::consts::TAU / 12.0))
        .map(|(n, angle)| atom(n as usize + 1, 5.0 * angle.cos(), 5.0 * angle.sin()))
        .collect();
    let site = "center_x = 0\ncenter_y = 0\ncenter_z = 0\nsize_x = 8\nsize_y = 8\nsize_z = 8\n";
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], testkit::free_port()));
    let config = background::docking::Config {
        listen,
        workers: 2,
        receptor: place("ring.pdbqt", &receptor),
        site: place("site.txt", site),
        ligands: place("ligands.smi", "C1CCCCC1 cyclohexane\nnonsense( broken\n"),
        scratch: scratch.path().to_owned(),
        exhaustiveness: 1,
    };
    tokio::spawn(config.run(std::future::pending()));
    let begun = Instant::now();
    let text = loop {
        let asked = tokio::task::spawn_blocking(move || testkit::http_get(&listen.to_string(), "/metrics"));
        let text = asked.await.unwrap().unwrap_or_default();
        let done = |metric: &str| number(&text, metric) > 0.0;
        if done("background_dockings_total") && done("background_docking_failures_total") {
            break text;
        }
        assert!(begun.elapsed() < testkit::PATIENCE, "nothing was docked: {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // Held at all, and not as no molecule can be.
    let energy = number(&text, "background_affinity_kcal_per_mole{ligand=\"cyclohexane\"}");
    assert!((-20.0..0.0).contains(&energy), "{text}");
    assert!(
        number(&text, "background_docking_duration_seconds_count") >= 1.0,
        "{text}"
    );
    assert!(text.contains("background_cpu_seconds_total"), "{text}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let config = background::docking::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        workers: 1,
        receptor: "/nowhere/protein.pdbqt.gz".into(),
        site: "/nowhere/conf.txt".into(),
        ligands: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apps/docking/ligands.smi"),
        scratch: std::env::temp_dir(),
        exhaustiveness: 1,
    };
    let error = config.run(std::future::pending()).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to read /nowhere/conf.txt"), "{error}");
}

fn number(text: &str, metric: &str) -> f64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
    value.unwrap_or(0.0)
}
