//! The difference of two pod specs as upstream prints it: a unified diff of the internal Go structs as indented JSON.
//!
//! `internal.txt` lists those structs (`pkg/apis/core/types.go`, 1.36): a line has the struct's name and its fields in order,
//! `NAME:TYPE`, or a type alone where it is embedded. Types: `s` string, `i` number, `b` boolean, `q` quantity, `z` anything that is
//! null when absent, `*` pointer, `[]` list, otherwise a struct.
use std::{collections::HashMap, fmt::Write, sync::OnceLock};

use serde_json::Value;

/// The unified diff of two specs.
pub(super) fn diff(old: &Value, new: &Value) -> String {
    let (old, new) = (pretty(old), pretty(new));
    unified(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>())
}

type Structs = HashMap<&'static str, Vec<(&'static str, &'static str)>>;

fn structs() -> &'static Structs {
    static STRUCTS: OnceLock<Structs> = OnceLock::new();
    STRUCTS.get_or_init(|| {
        let lines = include_str!("internal.txt").lines();
        lines
            .filter_map(|line| {
                let mut words = line.split(' ');
                let name = words.next()?;
                Some((
                    name,
                    words
                        .map(|word| word.split_once(':').unwrap_or(("", word)))
                        .collect(),
                ))
            })
            .collect()
    })
}

fn pretty(spec: &Value) -> String {
    let mut spec = spec.clone();
    // Internally these are in the security context.
    let moved = [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "shareProcessNamespace",
        "hostUsers",
    ];
    let values: Vec<_> = moved
        .iter()
        .filter_map(|name| Some((*name, spec.get(name)?.clone())))
        .collect();
    if let Some(spec) = spec.as_object_mut()
        && (!values.is_empty() || spec.contains_key("securityContext"))
    {
        let context = spec
            .entry("securityContext")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        for (name, value) in values {
            if let Some(context) = context.as_object_mut() {
                context.insert(name.to_owned(), value);
            }
        }
    }
    let mut out = String::new();
    write_struct(&mut out, "PodSpec", &spec, 0);
    out
}

fn write_struct(out: &mut String, name: &str, value: &Value, depth: usize) {
    let mut fields = Vec::new();
    flatten(name, &mut fields);
    if fields.is_empty() {
        return out.push_str("{}");
    }
    out.push_str("{\n");
    for (n, (field, ty)) in fields.iter().enumerate() {
        indent(out, depth + 1);
        // Writing to a string cannot fail.
        let _ = write!(out, "\"{field}\": ");
        write_typed(out, ty, lookup(value, field), depth + 1);
        out.push_str(if n + 1 < fields.len() { ",\n" } else { "\n" });
    }
    indent(out, depth);
    out.push('}');
}

/// A struct's fields with those of embedded structs in their places.
fn flatten(name: &str, out: &mut Vec<(&'static str, &'static str)>) {
    for (field, ty) in structs().get(name).into_iter().flatten() {
        if field.is_empty() {
            flatten(ty, out);
        } else {
            out.push((field, ty));
        }
    }
}

/// The API's name of a field differs from Go's in case only.
fn lookup<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let map = value.as_object()?;
    map.iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(field))
        .map(|(_, value)| value)
        .filter(|v| !v.is_null())
}

fn write_typed(out: &mut String, ty: &str, value: Option<&Value>, depth: usize) {
    if let Some(item) = ty.strip_prefix("[]") {
        return match value.and_then(Value::as_array) {
            None => out.push_str("null"),
            Some(items) if items.is_empty() => out.push_str("[]"),
            Some(items) => write_list(out, items, depth, |out, value| {
                if item.is_empty() {
                    write_plain(out, value, depth + 1);
                } else {
                    write_struct(out, item, value, depth + 1);
                }
            }),
        };
    }
    if let Some(target) = ty.strip_prefix('*') {
        return match value {
            None => out.push_str("null"),
            Some(value) if target.is_empty() => write_plain(out, value, depth),
            Some(value) => write_struct(out, target, value, depth),
        };
    }
    match (ty, value) {
        ("s" | "i" | "b" | "q" | "z", Some(value)) => write_plain(out, value, depth),
        ("s", None) => out.push_str("\"\""),
        ("i", None) => out.push('0'),
        ("b", None) => out.push_str("false"),
        ("q", None) => out.push_str("\"0\""),
        ("z", None) => out.push_str("null"),
        (name, value) => write_struct(out, name, value.unwrap_or(&Value::Null), depth),
    }
}

fn write_list(out: &mut String, items: &[Value], depth: usize, write: impl Fn(&mut String, &Value)) {
    out.push_str("[\n");
    for (n, item) in items.iter().enumerate() {
        indent(out, depth + 1);
        write(out, item);
        out.push_str(if n + 1 < items.len() { ",\n" } else { "\n" });
    }
    indent(out, depth);
    out.push(']');
}

/// A value that is the same inside and outside.
fn write_plain(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            write_list(out, items, depth, |out, value| write_plain(out, value, depth + 1));
        }
        Value::Object(map) if !map.is_empty() => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push_str("{\n");
            for (n, (key, value)) in entries.iter().enumerate() {
                indent(out, depth + 1);
                let _ = write!(out, "{}: ", Value::from(key.as_str()));
                write_plain(out, value, depth + 1);
                out.push_str(if n + 1 < entries.len() { ",\n" } else { "\n" });
            }
            indent(out, depth);
            out.push('}');
        }
        Value::String(_) => {
            for c in value.to_string().chars() {
                match c {
                    // As `encoding/json` escapes for HTML.
                    '<' | '>' | '&' => drop(write!(out, "\\u{:04x}", c as u32)),
                    c => out.push(c),
                }
            }
        }
        other => drop(write!(out, "{other}")),
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n(' ', depth));
}

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// Runs of equal lines: start in the old text, start in the new one, length.
type Block = (usize, usize, usize);

/// A unified diff without file names, as `go-difflib` prints it.
fn unified(old: &[&str], new: &[&str]) -> String {
    let mut blocks = Vec::new();
    matching(old, new, (0, 0), &mut blocks);
    blocks.push((old.len(), new.len(), 0));
    // What lies between the blocks are the changes; changes with little between them share a hunk.
    let mut changes: Vec<[usize; 4]> = Vec::new();
    let (mut o, mut n) = (0, 0);
    for (old_at, new_at, length) in blocks {
        if o < old_at || n < new_at {
            changes.push([o, old_at, n, new_at]);
        }
        (o, n) = (old_at + length, new_at + length);
    }
    let mut out = String::new();
    let mut rest = &changes[..];
    while let Some(first) = rest.first() {
        let together = rest
            .windows(2)
            .take_while(|pair| pair[1][0] - pair[0][1] <= 2 * CONTEXT)
            .count()
            + 1;
        let (hunk, after) = rest.split_at(together);
        rest = after;
        let before = first[0].min(CONTEXT).min(first[2]);
        let last = hunk[hunk.len() - 1];
        let behind = (old.len() - last[1]).min(CONTEXT);
        let (old_from, old_to) = (first[0] - before, last[1] + behind);
        let (new_from, new_to) = (first[2] - before, last[3] + behind);
        let _ = writeln!(
            out,
            "@@ -{} +{} @@",
            range(old_from, old_to),
            range(new_from, new_to)
        );
        let mut at = old_from;
        for [o, o_end, n, n_end] in hunk {
            lines(&mut out, ' ', &old[at..*o]);
            lines(&mut out, '-', &old[*o..*o_end]);
            lines(&mut out, '+', &new[*n..*n_end]);
            at = *o_end;
        }
        lines(&mut out, ' ', &old[at..old_to]);
    }
    out
}

fn lines(out: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        let _ = writeln!(out, "{mark}{line}");
    }
}

fn range(from: usize, to: usize) -> String {
    match to - from {
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        length => format!("{},{length}", from + 1),
    }
}

/// Blocks of equal lines by the longest one and what is left and right of it, after equal ends are set aside.
fn matching(old: &[&str], new: &[&str], at: (usize, usize), out: &mut Vec<Block>) {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    if head > 0 {
        out.push((at.0, at.1, head));
    }
    let (old_rest, new_rest) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let (o, n) = (at.0 + head, at.1 + head);
    if let Some((i, j, length)) = longest(old_rest, new_rest) {
        matching(&old_rest[..i], &new_rest[..j], (o, n), out);
        out.push((o + i, n + j, length));
        matching(
            &old_rest[i + length..],
            &new_rest[j + length..],
            (o + i + length, n + j + length),
            out,
        );
    }
    if tail > 0 {
        out.push((o + old_rest.len(), n + new_rest.len(), tail));
    }
}

fn longest(old: &[&str], new: &[&str]) -> Option<Block> {
    let mut best: Option<Block> = None;
    let mut lengths = vec![0; new.len() + 1];
    for (i, line) in old.iter().enumerate() {
        // From the right, so that the row above is still there to the left.
        for j in (0..new.len()).rev() {
            lengths[j + 1] = if new[j] == *line { lengths[j] + 1 } else { 0 };
            let length = lengths[j + 1];
            if length > best.map_or(0, |b| b.2) {
                best = Some((i + 1 - length, j + 1 - length, length));
            }
        }
    }
    best
}
