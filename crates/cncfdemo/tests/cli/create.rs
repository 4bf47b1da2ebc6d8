//! `create`: ConfigMaps as kubectl makes them, templates and manifests with mistakes in them.
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{Outcome, Test};

/// The object that `--debug` prints.
fn object(outcome: &Outcome) -> Value {
    serde_saphyr::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("not YAML ({e}): {outcome}"))
}

fn configmap(folder: &Path, arguments: &[&str]) -> Test {
    Test::new()
        .folder(folder)
        .args(["create", "configmap", "web", "--debug"])
        .args(arguments)
}

/// The expected objects were printed by kubectl 1.32: `kubectl create configmap web … --dry-run=client -o json`, without
/// its `creationTimestamp: null`.
#[test]
fn configmaps_are_as_kubectl_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("app");
    fs::create_dir_all(app.join("sub")).unwrap();
    fs::write(app.join("api.js"), "host: x\n").unwrap();
    fs::write(app.join("b.bin"), [0, 1, 255]).unwrap();
    fs::write(app.join("c"), "no newline").unwrap();
    fs::write(app.join("t.yaml"), "a: \"q\"\n\ttab \n- x: |\n  trailing  \n").unwrap();
    fs::write(app.join("sub/ignored"), "x").unwrap();
    fs::write(folder.path().join("env"), "\n# a comment\nA=1\nB=x y \n").unwrap();

    let outcome = configmap(
        folder.path(),
        &[
            "--from-file=app",
            "--from-literal=x=1=2",
            "--from-literal=num=12",
            "--from-literal=e=",
        ],
    )
    .success();
    let expected = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
        "binaryData": {"b.bin": "AAH/"},
        "data": {
            "api.js": "host: x\n", "c": "no newline", "e": "", "num": "12",
            "t.yaml": "a: \"q\"\n\ttab \n- x: |\n  trailing  \n", "x": "1=2",
        },
    });
    assert_eq!(object(&outcome), expected);

    let outcome = configmap(folder.path(), &["--from-env-file=env"]).success();
    assert_eq!(object(&outcome)["data"], json!({"A": "1", "B": "x y "}));

    let outcome = configmap(folder.path(), &["--from-file=renamed=app/c"]).success();
    assert_eq!(object(&outcome)["data"], json!({"renamed": "no newline"}));

    let outcome = configmap(folder.path(), &[]).success();
    assert_eq!(
        object(&outcome),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}})
    );
}

/// Refusals in kubectl's words.
#[test]
fn configmap_sources_that_kubectl_refuses_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    for (arguments, said) in [
        (
            &["--from-literal=ab"][..],
            "invalid literal source ab, expected key=value",
        ),
        (
            &["--from-literal=a b=1"],
            "\"a b\" is not a valid key name for a ConfigMap: a valid config key must consist of",
        ),
        (
            &["--from-literal=a=1", "--from-literal=a=2"],
            "cannot add key \"a\", another key by that name already exists in Data",
        ),
        (
            &["--from-file=a=d"],
            "cannot give a key name for a directory path",
        ),
        (&["--from-file=nope"], "nope: "),
    ] {
        configmap(folder.path(), arguments)
            .stdout("")
            .stderr_has(said)
            .status(1);
    }
}

#[test]
fn a_template_error_shows_the_line_the_place_and_what_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("values.toml"), "replicas = 3\n").unwrap();
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  n: \"{{ replica }}\"\n";
    fs::write(folder.path().join("demo.yaml.j2"), template).unwrap();
    let create = |arguments: &[&str]| {
        Test::new()
            .folder(folder.path())
            .args([
                "create",
                "-f",
                "demo.yaml.j2",
                "--values",
                "values.toml",
                "--debug",
            ])
            .args(arguments)
    };
    let outcome = create(&[]).stdout("").status(1);
    let expected = "error: demo.yaml.j2:6: `replica` is not defined\n  \
                    6 |   n: \"{{ replica }}\"\n    \
                    |          ^^^^^^^\n\
                    hint: did you mean `replicas`?";
    assert!(outcome.stderr.starts_with(expected), "{outcome}");
    let rendered = create(&["--set", "replica=7"]).success();
    assert_eq!(object(&rendered)["data"]["n"], "7");
}

#[test]
fn a_template_that_does_not_parse_shows_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml.j2"), "kind: X\n{% if replicas %}\n").unwrap();
    let outcome = Test::new()
        .folder(folder.path())
        .args(["create", "-f", "a.yaml.j2", "--debug"])
        .stdout("")
        .status(1);
    assert!(
        outcome.stderr.starts_with("error: a.yaml.j2:2: ")
            || outcome.stderr.starts_with("error: a.yaml.j2:3: "),
        "{outcome}"
    );
}

#[test]
fn manifests_with_mistakes_are_named_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text, said) in [
        (
            "kind.yaml",
            "apiVersion: v1\nmetadata: {name: a}\n",
            "kind.yaml:1: the object has no kind",
        ),
        (
            "version.yaml",
            "---\nkind: Pod\nmetadata: {name: a}\n",
            "version.yaml:2: the object has no apiVersion",
        ),
        (
            "name.yaml",
            "apiVersion: v1\nkind: Pod\n",
            "name.yaml:1: the object has no metadata.name",
        ),
        (
            "yaml.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: [}\n",
            "yaml.yaml:3: ",
        ),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
        Test::new()
            .folder(folder.path())
            .args(["create", "-f", file, "--debug"])
            .stdout("")
            .stderr_has(format!("error: {said}"))
            .status(1);
    }
}

#[test]
fn folders_are_taken_in_order_and_deeper_ones_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    fs::create_dir(folder.path().join("deep")).unwrap();
    fs::write(folder.path().join("b.yaml"), config("b")).unwrap();
    fs::write(
        folder.path().join("a.json"),
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}",
    )
    .unwrap();
    fs::write(folder.path().join("notes.txt"), "no manifest").unwrap();
    fs::write(folder.path().join("deep/c.yml.j2"), config("c{{ n }}")).unwrap();
    let names = |arguments: &[&str]| -> Vec<String> {
        let outcome = Test::new()
            .folder(folder.path())
            .args(["create", "-f", ".", "--debug", "--set", "n=1"])
            .args(arguments)
            .success();
        let documents = outcome.stdout.split("---\n").filter(|d| !d.trim().is_empty());
        documents
            .map(|d| {
                serde_saphyr::from_str::<Value>(d).unwrap()["metadata"]["name"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(names(&[]), ["a", "b"]);
    assert_eq!(names(&["-R"]), ["a", "b", "c1"]);
}

/// Every template of the demo renders with its own values; a mistake in a value shows before anything is changed.
#[test]
fn the_demo_renders_without_a_cluster() {
    let outcome = Test::new()
        .args(["start", "--dry-run", "--output", "json"])
        .success();
    assert!(
        outcome.json()["objects"].as_u64().is_some_and(|n| n > 10),
        "{outcome}"
    );
    Test::new()
        .args(["start", "--dry-run", "--set", "tally.replicas"])
        .stderr_has("expected KEY=VALUE")
        .status(1);
}
