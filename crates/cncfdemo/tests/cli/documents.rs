//! What the documents say is there: the commands and their flags, and what they link to.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Markdown files of the repository, but for what `doctor explain` and `--help` write themselves.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["", "docs/design", "docs/reference"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        found.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "md") && !path.ends_with("cli.md")),
        );
    }
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// `--help` of every command, by its words; another test keeps it current.
fn commands() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/reference/cli.md")).unwrap();
    let sections = text.split("\n## ").flat_map(|part| part.split("\n### "));
    sections
        .flat_map(|part| part.split("\n#### "))
        .filter_map(|part| part.split_once('\n'))
        .filter(|(title, _)| title.starts_with("cncfdemo"))
        .map(|(title, help)| (title.to_owned(), help.to_owned()))
        .collect()
}

/// The commands in a document: lines of its code blocks, and what stands in backquotes.
fn called(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (nth, block) in text.split("```").enumerate() {
        let pieces: Vec<&str> = if nth % 2 == 1 {
            block.lines().collect()
        } else {
            block.split('`').skip(1).step_by(2).collect()
        };
        for piece in pieces {
            let piece = piece.trim().replace("cargo run --release -- ", "cncfdemo ");
            if piece.starts_with("cncfdemo ") {
                // What follows two spaces says what it does.
                found.push(piece.split("  ").next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

#[test]
fn commands_in_documents_exist_with_their_flags() {
    let commands = commands();
    let mut checked = 0;
    for path in documents() {
        for line in called(&fs::read_to_string(&path).unwrap()) {
            let mut words = line.split_whitespace().skip(1).peekable();
            let mut name = "cncfdemo".to_owned();
            while let Some(word) = words.peek() {
                let longer = format!("{name} {word}");
                if !commands.contains_key(&longer) {
                    break;
                }
                name = longer;
                words.next();
            }
            // The program by itself, and hidden commands of the engine's own.
            if name == "cncfdemo" && words.peek().is_none_or(|word| word.starts_with("__")) {
                continue;
            }
            assert_ne!(name, "cncfdemo", "{}: `{line}` is no command", path.display());
            let flags = words.take_while(|word| !matches!(*word, "|" | "&&" | ">" | "#"));
            for flag in flags.filter(|word| word.starts_with("--")) {
                let flag = flag.split(['=', ']', ',', ';']).next().unwrap_or_default();
                let is_known = commands[&name]
                    .split(|c: char| c.is_whitespace() || matches!(c, ',' | '='))
                    .any(|word| word == flag);
                assert!(is_known, "{}: `{line}`: {name} has no {flag}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} commands were found");
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut checked = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap_or_default();
            assert!(
                path.with_file_name(file).exists(),
                "{} links to {target}, which is not there",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were found");
}
