//! Scripts of kubectl commands and what a cluster answered: to hold one cluster against what upstream was seen to say.
//!
//! A case is a bash script. Every line that begins with `k ` runs kubectl in the case's own namespace (`$NS`); it is shown,
//! its output and exit status are recorded. `q` is the same without being shown, `settle COMMAND… -- TEXT` repeats a quiet
//! kubectl until its output contains the text. What differs from run to run (uids, times, addresses, generated names) is
//! replaced.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};

use crate::eventually;

const PRELUDE: &str = r#"
set -u
k() { kubectl -n "$NS" "$@"; }
q() { kubectl -n "$NS" "$@"; }
say() { printf '%s\n' "$*"; }
settle() {
    local command=()
    while [ "$1" != -- ]; do command+=("$1"); shift; done
    local end=$((SECONDS + 60))
    while [ $SECONDS -lt $end ]; do
        case "$(q "${command[@]}" 2>&1)" in *"$2"*) return;; esac
        sleep 0.05
    done
    say "not within patience: ${command[*]}: $2"
}
"#;

/// How long a case may take; a bound for broken code, not a measure.
const PATIENCE: Duration = Duration::from_mins(5);

/// A script and the transcript beside it.
#[derive(Debug, Clone)]
pub struct Case {
    script: PathBuf,
}

impl Case {
    /// All cases of a folder, by name.
    ///
    /// # Panics
    /// When the folder cannot be read or is empty.
    pub fn all(folder: &Path) -> Vec<Case> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let mut cases: Vec<Case> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "sh"))
            .map(|script| Case { script })
            .collect();
        assert!(!cases.is_empty(), "{} has no cases", folder.display());
        cases.sort_by(|a, b| a.script.cmp(&b.script));
        cases
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.script
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// What the reference answered.
    ///
    /// # Panics
    /// When it was not recorded.
    pub fn expected(&self) -> String {
        let file = self.script.with_extension("expected");
        std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// Keeps what the reference answers.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn record(&self, transcript: &str) {
        let file = self.script.with_extension("expected");
        std::fs::write(&file, transcript).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Runs it on the cluster of this kubeconfig and gives what was said.
    ///
    /// # Panics
    /// When kubectl or bash cannot be run, or the cluster makes no namespace.
    pub fn run(&self, kubeconfig: &Path) -> String {
        // Not the caller's home folder; all cases of a cluster share it.
        let cache = kubeconfig.with_file_name("kubectl-cache");
        let kubectl = |arguments: &[&str]| {
            let output = Command::new("kubectl")
                .arg("--kubeconfig")
                .arg(kubeconfig)
                .args(arguments)
                .env("KUBECACHEDIR", &cache)
                .stdin(Stdio::null())
                .output();
            output.unwrap_or_else(|e| panic!("kubectl: {e}"))
        };
        let nodes = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
        let nodes = String::from_utf8_lossy(&nodes.stdout).into_owned();
        let unique = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let namespace = format!("case-{:08x}", (unique as u32) ^ std::process::id());
        let made = kubectl(&["create", "namespace", &namespace]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        eventually("the namespace's service account and certificate", || {
            let found = kubectl(&["-n", &namespace, "get", "sa/default", "cm/kube-root-ca.crt"]);
            found
                .status
                .success()
                .then_some(())
                .ok_or_else(|| String::from_utf8_lossy(&found.stderr).into_owned())
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = std::fs::read_to_string(&self.script).expect("the script can be read");
        let output = Command::new("timeout")
            .arg(PATIENCE.as_secs().to_string())
            .args(["bash", "-c", &format!("exec 2>&1\n{PRELUDE}{}", shown(&source))])
            .current_dir(folder.path())
            .env("KUBECONFIG", kubeconfig)
            .env("KUBECACHEDIR", &cache)
            .env("NS", &namespace)
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        kubectl(&["delete", "namespace", &namespace, "--wait=false"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = if output.status.code() == Some(124) {
            format!("{said}\nnot done within {} s\n", PATIENCE.as_secs())
        } else {
            said
        };
        normalised(&said, &namespace, nodes.split_whitespace(), kubeconfig)
    }
}

/// The script with every `k ` line echoed before and its status after; a here-document is left whole.
fn shown(source: &str) -> String {
    static DOCUMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<<-?'?(\w+)'?").expect("a pattern"));
    let mut script = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("k ") {
            let _ = writeln!(script, "{line}");
            continue;
        }
        let quoted = line.replace('\'', r"'\''");
        let _ = writeln!(script, "printf '%s\\n' '$ {quoted}'\n{line}");
        if let Some(end) = DOCUMENT.captures(line).map(|found| found[1].to_owned()) {
            for inside in lines.by_ref() {
                let _ = writeln!(script, "{inside}");
                if inside == end {
                    break;
                }
            }
        }
        let _ = writeln!(script, "printf '[%s]\\n' $?");
    }
    script
}

/// Patterns in the order in which they are replaced.
static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let rules = [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "<uid>",
        ),
        (r"\b[0-9a-f]{64}\b", "<sha256>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4}", "<time>"),
        (
            r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
            "<time>",
        ),
        (r"/tmp/(LIVE|MERGED)-\d+", "/tmp/$1"),
        (r"kubectl-edit-\d+", "kubectl-edit"),
        (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "<ip>"),
        (r#"(resourceVersion: )"?\d+"?"#, "${1}<rv>"),
        (r#"("resourceVersion": ?)"\d+""#, r#"${1}"<rv>""#),
        (r":3\d{4}/", ":<port>/"),
        (r"nodePort: 3\d{4}\b", "nodePort: <port>"),
        (r"(\d+) (second|minute)s? ago", "<age> ago"),
        // Since a day that a case names: another number every day.
        (r"\b(\d+y)?\d+d ago", "<age> ago"),
    ];
    rules
        .map(|(pattern, to)| (Regex::new(pattern).expect("a pattern"), to))
        .into()
});

fn normalised<'a>(
    said: &str,
    namespace: &str,
    nodes: impl Iterator<Item = &'a str>,
    kubeconfig: &Path,
) -> String {
    let mut text = said
        .replace(namespace, "<ns>")
        .replace(&kubeconfig.display().to_string(), "<kubeconfig>");
    for node in nodes {
        text = text.replace(node, "<node>");
    }
    for (pattern, to) in RULES.iter() {
        text = pattern.replace_all(&text, *to).into_owned();
    }
    let text = generated(&text);
    let lines = text.lines().map(|line| spaces(&ages(line)));
    lines.fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

/// Names that the server or a controller made: `web-5d59c8b6bd-x2x7k`, `web-x2x7k`, `web-5d59c8b6bd`.
fn generated(text: &str) -> String {
    const LETTERS: &str = "[bcdf-hj-np-tv-xz2-9]";
    static PATTERNS: LazyLock<[(Regex, &str, bool); 3]> = LazyLock::new(|| {
        let hash = "[0-9bcdf-hj-np-tv-xz]";
        let pattern = |end: &str| Regex::new(&format!(r"\b([a-z0-9][a-z0-9-]*)-{end}\b")).expect("a pattern");
        [
            (
                pattern(&format!("{hash}{{6,10}}-{LETTERS}{{5}}")),
                "<hash>-<rand>",
                true,
            ),
            (pattern(&format!("{LETTERS}{{5}}")), "<rand>", false),
            (pattern(&format!("{hash}{{8,10}}")), "<hash>", true),
        ]
    });
    let mut text = text.to_owned();
    for (pattern, to, digit) in PATTERNS.iter() {
        let replaced = pattern.replace_all(&text, |found: &Captures<'_>| {
            let stem = &found[1];
            let rest = &found[0][stem.len() + 1..];
            // Words without a digit, and parts of longer names, are somebody's own.
            let hash = rest.split('-').next().unwrap_or_default();
            let own = *digit && !hash.contains(|c: char| c.is_ascii_digit());
            let after = found.get(0).map_or("", |all| &text[all.end()..]);
            let ends = after
                .chars()
                .next()
                .is_none_or(|c| !matches!(c, '-' | '.' | '=' | '<' | '_'));
            if own || !ends {
                found[0].to_owned()
            } else {
                format!("{stem}-{to}")
            }
        });
        text = replaced.into_owned();
    }
    text
}

/// Ages that stand alone, as in the columns of a table.
fn ages(line: &str) -> String {
    static AGE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(^|[\s(])(<invalid>|\d+[smhd](\d+[smhd])?)").expect("a pattern"));
    let mut out = String::new();
    let mut rest = line;
    while let Some(found) = AGE.captures(rest) {
        let (all, age) = (found.get(0), found.get(2));
        let (Some(all), Some(age)) = (all, age) else { break };
        let after = &rest[all.end()..];
        let alone = after.is_empty() || after.starts_with([' ', ')', '\t']);
        out += &rest[..age.start()];
        out += if alone { "<age>" } else { age.as_str() };
        rest = after;
    }
    out + rest
}

/// Columns are as wide as the widest cell, which may be something that was replaced.
fn spaces(line: &str) -> String {
    static WIDE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\S) {2,}").expect("a pattern"));
    WIDE.replace_all(line, "$1  ").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        normalised(text, "case-1", ["node-1"].into_iter(), Path::new("/tmp/k"))
    }

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        assert_eq!(
            plain("web-5d59c8b6bd-x2x7k   1/1     Running   2 (3s ago)   1m5s   10.64.1.3   node-1\n"),
            "web-<hash>-<rand>  1/1  Running  2 (<age> ago)  <age>  <ip>  <node>\n"
        );
        assert_eq!(
            plain("resourceVersion: \"42\" in case-1"),
            "resourceVersion: <rv> in <ns>\n"
        );
        assert_eq!(plain("  cpu:  100m"), "  cpu:  <age>\n");
    }

    #[test]
    fn names_that_somebody_chose_stay() {
        for name in [
            "web-headless",
            "pod-template-hash=8c8b5dc66",
            "kube-root-ca.crt",
            "my-front-tier",
        ] {
            assert_eq!(plain(name), format!("{name}\n"));
        }
    }

    #[test]
    fn commands_are_echoed_with_their_status_and_documents_stay_whole() {
        assert_eq!(
            shown("k get x\nk create -f - <<'Y'\nk is not run\nY\necho\n"),
            "printf '%s\\n' '$ k get x'\nk get x\nprintf '[%s]\\n' $?\nprintf '%s\\n' '$ k create -f - <<'\\''Y'\\'''\n\
             k create -f - <<'Y'\nk is not run\nY\nprintf '[%s]\\n' $?\necho\n"
        );
    }
}
