//! Unknown, missing and contradicting arguments: usage errors say what is meant, on stderr, with exit code 2.
use testkit::Test;

#[test]
fn help_is_on_stdout_and_names_every_command() {
    let outcome = Test::new().args(["--help"]).success();
    for command in [
        "bootstrap",
        "start",
        "benchmark",
        "create",
        "status",
        "stop",
        "destroy",
        "image",
        "kubeconfig",
    ] {
        let listed = outcome
            .stdout
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("{command} ")));
        assert!(listed, "`{command}` is not in the help: {outcome}");
    }
    assert_eq!(outcome.stderr, "");
    assert!(
        !outcome.stdout.contains("__engine"),
        "the engine's own processes are not for people: {outcome}"
    );
}

#[test]
fn unknown_commands_and_options_are_usage_errors() {
    for (arguments, said) in [
        (&["benchmrak"][..], "a similar subcommand exists: 'benchmark'"),
        (&["--bogus"], "unexpected argument '--bogus'"),
        (
            &["start", "--namspace", "x"],
            "a similar argument exists: '--namespace'",
        ),
        (
            &["bootstrap", "mars"],
            "possible values: local, metal, aws, azure, gcp, packet",
        ),
        (&["bootstrap", "local", "--nodes", "0"], "0 is not in 1..=50"),
        (&["bootstrap", "local", "--api-port", "99999"], "99999"),
        (
            &["benchmark", "--time", "soon"],
            "`soon` is not a duration: write 30s, 5m or 1m30s",
        ),
        (&["create"], "--filename"),
        (&["create", "configmap"], "<NAME>"),
        (&["image", "rm"], "<REFERENCES>"),
        (&["destroy", "--images"], "--all"),
        (&["--output", "xml", "status"], "possible values: text, json"),
        (
            &["bootstrap", "local", "--context", "x"],
            "--context names a cluster that exists; bootstrap creates one",
        ),
        (
            &["destroy", "--context", "x"],
            "it does not touch the cluster of a --context",
        ),
    ] {
        let outcome = Test::new().args(arguments).stdout("").stderr_has(said).status(2);
        assert!(outcome.stderr.starts_with("error: "), "{outcome}");
    }
}

#[test]
fn what_is_not_there_is_named_with_exit_code_4() {
    let absent = format!("t-absent-{}", std::process::id());
    for (arguments, said) in [
        (
            &["kubeconfig", "--name", &absent][..],
            format!("there is no local cluster `{absent}`"),
        ),
        (
            &["destroy", "--name", &absent],
            format!("there is no local cluster `{absent}`"),
        ),
        (
            &["create", "-f", "/nowhere/demo.yaml"],
            "the path \"/nowhere/demo.yaml\" does not exist".to_owned(),
        ),
        (
            &["status", "--context", "prod", "--kubeconfig", "/nowhere/config"],
            "there is no /nowhere/config to look up context `prod` in".to_owned(),
        ),
    ] {
        Test::new()
            .args(arguments)
            .stdout("")
            .stderr_has(format!("error: {said}"))
            .status(4);
    }
}

#[test]
fn a_context_that_a_kubeconfig_lacks_is_named_with_those_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(
        &file,
        "apiVersion: v1\nkind: Config\ncontexts:\n- {name: dev, context: {cluster: dev, user: dev}}\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    Test::new()
        .args(["status", "--context", "prod", "--kubeconfig", file])
        .stderr_has("no context `prod`: it has dev")
        .status(4);
}

#[test]
fn names_that_cannot_be_used_are_refused_before_anything_is_done() {
    for name in ["UPPER", "../x", "a.b", "-a", ""] {
        Test::new()
            .args(["kubeconfig", &format!("--name={name}")])
            .stderr_has("cannot name a cluster")
            .status(1);
    }
}

#[test]
fn providers_that_are_not_built_say_so_and_what_works_instead() {
    for provider in ["metal", "aws", "azure", "gcp", "packet"] {
        Test::new()
            .args(["bootstrap", provider])
            .stderr_has(format!(
                "error: provider `{provider}` is not built yet\nhint: `cncfdemo bootstrap local`"
            ))
            .status(1);
    }
}

#[test]
fn completions_are_scripts_for_each_shell() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef cncfdemo"),
        ("fish", "complete -c cncfdemo"),
        ("elvish", "edit:completion"),
    ] {
        let script = Test::new()
            .args(["completions", shell])
            .stdout_has(part)
            .success();
        assert!(
            script.stdout.contains("benchmark"),
            "{shell} does not know the commands"
        );
    }
}

#[test]
fn a_closed_pipe_is_no_crash() {
    // `cncfdemo completions bash | head -1`
    let program = testkit::program();
    let line = format!(
        "{} completions bash | head -n 1; exit ${{PIPESTATUS[0]}}",
        program.display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &line])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
}
