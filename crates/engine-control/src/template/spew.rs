//! A pod template as upstream's controllers print it before they hash it: the values of Go's structs with their types
//! (go-spew's `%#v` with the configuration of `k8s.io/utils/dump.ForHash`).
//!
//! `layout.tsv` has the structs that a `v1.PodTemplateSpec` of 1.36 is made of, by reflection: a line has the struct's name and its
//! fields in Go's order, `Name:json name:Go type:kind`. No JSON name: embedded. Kinds: `s` string, `b` boolean, `i` integer, `y`
//! bytes, `@` struct (of the name that follows where the type does not tell), with `m` before a map's.
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use kube_types::{Format, Quantity};
use serde_json::Value;

static NULL: Value = Value::Null;

struct Field {
    name: &'static str,
    json: &'static str,
    ty: &'static str,
    kind: &'static str,
}

fn structs() -> &'static HashMap<&'static str, Vec<Field>> {
    static STRUCTS: OnceLock<HashMap<&str, Vec<Field>>> = OnceLock::new();
    STRUCTS.get_or_init(|| include_str!("layout.tsv").lines().filter_map(parse).collect())
}

fn parse(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    let mut cells = line.split('\t');
    let name = cells.next()?;
    let fields = cells.filter_map(|cell| {
        let [name, json, ty, kind] = cell.split(':').collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Field { name, json, ty, kind })
    });
    Some((name, fields.collect()))
}

/// The whole template.
pub(super) fn template(value: &Value) -> String {
    let mut out = "(v1.PodTemplateSpec)".to_owned();
    fields(&mut out, "v1.PodTemplateSpec", value);
    out
}

fn fields(out: &mut String, name: &str, value: &Value) {
    out.push('{');
    for (n, field) in structs().get(name).into_iter().flatten().enumerate() {
        let separator = if n > 0 { " " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(out, "{separator}{}:({})", field.name, field.ty);
        let inner = if field.json.is_empty() {
            value
        } else {
            value.get(field.json).unwrap_or(&NULL)
        };
        typed(out, field.ty, field.kind, inner);
    }
    out.push('}');
}

fn typed(out: &mut String, ty: &str, kind: &str, value: &Value) {
    if let Some(element) = kind.strip_prefix('m') {
        return match value.as_object() {
            None => out.push_str("<nil>"),
            Some(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                out.push_str("map[");
                for (n, (key, value)) in entries.into_iter().enumerate() {
                    let separator = if n > 0 { " " } else { "" };
                    let _ = write!(out, "{separator}{key}:");
                    typed(out, element.trim_start_matches('@'), element, value);
                }
                out.push(']');
            }
        };
    }
    if let Some(element) = ty.strip_prefix("[]") {
        return match value.as_array() {
            None => out.push_str("<nil>"),
            Some(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(' ');
                    }
                    typed(out, element, kind, item);
                }
                out.push(']');
            }
        };
    }
    if let Some(target) = ty.strip_prefix('*') {
        return if value.is_null() {
            out.push_str("<nil>");
        } else {
            typed(out, target, kind, value);
        };
    }
    match (kind.chars().next(), value) {
        (Some('s'), value) => out.push_str(value.as_str().unwrap_or_default()),
        (Some('b'), value) => out.push_str(if value == &Value::Bool(true) {
            "true"
        } else {
            "false"
        }),
        (Some('i'), Value::Number(number)) => {
            let _ = write!(out, "{number}");
        }
        (Some('i'), _) => out.push('0'),
        (Some('@'), value) => object(out, ty, value),
        _ => out.push_str("<nil>"),
    }
}

fn object(out: &mut String, ty: &str, value: &Value) {
    match ty {
        "resource.Quantity" => quantity(out, value),
        "intstr.IntOrString" => {
            let (kind, number, text) = match value {
                Value::String(text) => (1, 0, text.as_str()),
                other => (0, other.as_i64().unwrap_or(0), ""),
            };
            let _ = write!(
                out,
                "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"
            );
        }
        // Templates have no times: they are never set.
        "v1.Time" => {
            out.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}");
        }
        name => fields(out, name, value),
    }
}

/// The number and the power of ten or two that Go's parser takes out of a canonical quantity.
fn quantity(out: &mut String, value: &Value) {
    let text = value.as_str().unwrap_or("0");
    let parsed: Quantity = text.parse().unwrap_or_default();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (amount, scale) = match &text[digits.len()..] {
        "n" => (digits.parse().unwrap_or(0), -9),
        "u" => (digits.parse().unwrap_or(0), -6),
        "m" => (digits.parse().unwrap_or(0), -3),
        "k" => (digits.parse().unwrap_or(0), 3),
        "M" => (digits.parse().unwrap_or(0), 6),
        "G" => (digits.parse().unwrap_or(0), 9),
        "T" => (digits.parse().unwrap_or(0), 12),
        "P" => (digits.parse().unwrap_or(0), 15),
        "E" => (digits.parse().unwrap_or(0), 18),
        _ => (parsed.value(), 0),
    };
    let format = match parsed.format() {
        Format::BinarySi => "BinarySI",
        Format::DecimalExponent => "DecimalExponent",
        Format::DecimalSi => "DecimalSI",
    };
    let kept = parsed.kept_text().unwrap_or_default();
    let _ = write!(
        out,
        "{{i:(resource.int64Amount){{value:(int64){amount} scale:(resource.Scale){scale}}} \
         d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){kept} Format:(resource.Format){format}}}"
    );
}
