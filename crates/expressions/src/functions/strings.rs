//! Texts (cel-go `ext/{strings,formatting}.go`, `k8s.io/apiserver/pkg/cel/library/regex.go`). Places are counted in characters.
use regex::Regex;

use super::{Done, convert};
use crate::{
    cost,
    evaluate::{Failure, Run, made, no_overload},
    pattern::{MADE, pattern},
    value::{List, Value},
};

/// A double as Go's `%g` writes it.
pub fn number(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{n:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) || n == 0.0 {
        return format!("{n}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

pub fn call<'a>(
    run: &mut Run<'_, '_, 'a>,
    name: &str,
    args: &[Value<'a>],
    compiled: Option<&Regex>,
) -> Done<'a> {
    match (name, args) {
        ("contains", [Value::String(text), Value::String(part)]) => Ok(text.contains(&**part).into()),
        ("startsWith", [Value::String(text), Value::String(part)]) => Ok(text.starts_with(&**part).into()),
        ("endsWith", [Value::String(text), Value::String(part)]) => Ok(text.ends_with(&**part).into()),
        ("matches", [Value::String(text), Value::String(with)]) => match compiled {
            Some(pattern) => Ok(pattern.is_match(text).into()),
            None => Ok(regex(run, with)?.is_match(text).into()),
        },
        ("find", [Value::String(text), Value::String(with)]) => {
            let found = regex(run, with)?
                .find(text)
                .map_or("", |found| found.as_str())
                .to_owned();
            Ok(found.into())
        }
        ("findAll", [Value::String(text), Value::String(with), limit @ ..]) => {
            let limit = match limit {
                [] | [Value::Int(i64::MIN..0)] => usize::MAX,
                [Value::Int(n)] => usize::try_from(*n).unwrap_or(usize::MAX),
                _ => return Err(no_overload()),
            };
            let pattern = regex(run, with)?;
            Ok(made(
                pattern
                    .find_iter(text)
                    .take(limit)
                    .map(|found| found.as_str().into())
                    .collect(),
            ))
        }
        ("charAt", [Value::String(text), Value::Int(at)]) => {
            let length = text.chars().count();
            match usize::try_from(*at) {
                Ok(at) if at <= length => {
                    Ok(text.chars().nth(at).map(String::from).unwrap_or_default().into())
                }
                _ => Err(format!("index out of range: {at}").into()),
            }
        }
        ("indexOf" | "lastIndexOf", [Value::String(text), Value::String(part), from @ ..]) => {
            place(text, part, from, name == "lastIndexOf")
        }
        ("lowerAscii", [Value::String(text)]) => Ok(text.to_ascii_lowercase().into()),
        ("upperAscii", [Value::String(text)]) => Ok(text.to_ascii_uppercase().into()),
        ("trim", [Value::String(text)]) => Ok(text.trim().to_owned().into()),
        (
            "replace",
            [
                Value::String(text),
                Value::String(from),
                Value::String(to),
                limit @ ..,
            ],
        ) => replace(run, text, from, to, limit),
        ("split", [Value::String(text), Value::String(by), limit @ ..]) => split(text, by, limit),
        ("substring", [Value::String(text), Value::Int(from), to @ ..]) => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            let to = match to {
                [] => length,
                [Value::Int(to)] => *to,
                _ => return Err(no_overload()),
            };
            let ranged = args.len() == 3;
            if ranged && to < *from {
                return Err(format!("invalid substring range. start: {from}, end: {to}").into());
            }
            for at in [*from, to] {
                if !(0..=length).contains(&at) {
                    return Err(format!("index out of range: {at}").into());
                }
            }
            let part: String = text
                .chars()
                .skip(*from as usize)
                .take((to - from) as usize)
                .collect();
            Ok(part.into())
        }
        ("join", [Value::List(list), with @ ..]) => join(run, list, with),
        ("format", [Value::String(text), Value::List(list)]) => format(run, text, list),
        ("strings.quote", [Value::String(text)]) => Ok(quote(text).into()),
        // `k8s.io/apiserver/pkg/cel/library/jsonpatch.go`
        ("jsonpatch.escapeKey", [Value::String(text)]) => {
            Ok(text.replace('~', "~0").replace('/', "~1").into())
        }
        _ => Err(no_overload()),
    }
}

fn regex(run: &mut Run<'_, '_, '_>, text: &str) -> Result<Regex, Failure> {
    run.pay(cost::PATTERN)?;
    pattern(text, MADE).map_err(|e| format!("Illegal regex: {e}").into())
}

/// Where a part stands, in characters: the first from a place on, or the last that begins there or before.
fn place<'a>(text: &str, part: &str, from: &[Value<'_>], last: bool) -> Done<'a> {
    let place = |byte: usize| i64::try_from(text[..byte].chars().count()).unwrap_or(i64::MAX);
    let from = match from {
        [] => None,
        // Nothing is wherever it is looked for.
        [Value::Int(at)] if part.is_empty() => return Ok(Value::Int(*at)),
        [Value::Int(at)] => {
            let at = usize::try_from(*at).map_err(|_| format!("index out of range: {at}"))?;
            match text.char_indices().nth(at) {
                Some((byte, _)) => Some(byte),
                None => return Ok(Value::Int(-1)),
            }
        }
        _ => return Err(no_overload()),
    };
    let found = if last {
        let end = from.map_or(text.len(), |from| from.saturating_add(part.len()));
        text[..text.floor_char_boundary(end)].rfind(part)
    } else {
        let from = from.unwrap_or(0);
        text[from..].find(part).map(|found| from + found)
    };
    Ok(Value::Int(found.map_or(-1, place)))
}

fn replace<'a>(run: &mut Run<'_, '_, 'a>, text: &str, from: &str, to: &str, limit: &[Value<'_>]) -> Done<'a> {
    let limit = match limit {
        [] => usize::MAX,
        [Value::Int(n)] => usize::try_from(*n).unwrap_or(usize::MAX),
        _ => return Err(no_overload()),
    };
    let count = if from.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(from).count()
    };
    let grown = (count.min(limit) as u64).saturating_mul(to.len() as u64);
    run.pay(cost::traversal(grown))?;
    Ok(text.replacen(from, to, limit).into())
}

fn split<'a>(text: &str, by: &str, limit: &[Value<'_>]) -> Done<'a> {
    let limit = match limit {
        [] | [Value::Int(i64::MIN..0)] => usize::MAX,
        [Value::Int(n)] => usize::try_from(*n).unwrap_or(usize::MAX),
        _ => return Err(no_overload()),
    };
    let parts: Vec<Value<'a>> = if limit == 0 {
        Vec::new()
    } else if by.is_empty() {
        // Go splits after each character, and nowhere else.
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let cut = if parts.len() + 1 == limit {
                rest.len()
            } else {
                c.len_utf8()
            };
            parts.push(rest[..cut].into());
            rest = &rest[cut..];
        }
        parts
    } else {
        text.splitn(limit, by).map(Into::into).collect()
    };
    Ok(made(parts))
}

fn join<'a>(run: &mut Run<'_, '_, 'a>, list: &List<'a>, with: &[Value<'a>]) -> Done<'a> {
    let between = match with {
        [] => "",
        [Value::String(text)] => text,
        _ => return Err(no_overload()),
    };
    let mut joined = String::new();
    for (at, item) in list.iter().enumerate() {
        let Value::String(text) = item else {
            return Err(no_overload());
        };
        let more = text.len() + if at > 0 { between.len() } else { 0 };
        run.pay(cost::traversal(more as u64 * 2))?;
        if at > 0 {
            joined.push_str(between);
        }
        joined.push_str(&text);
    }
    Ok(joined.into())
}

/// As Go's `strconv.Quote` would, for the few characters that CEL escapes.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// `"%s has %d".format([a, b])`
fn format<'a>(run: &mut Run<'_, '_, 'a>, text: &str, list: &List<'a>) -> Done<'a> {
    let mut args = list.iter();
    let mut made = String::new();
    let mut chars = text.chars().peekable();
    let mut at = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            made.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            made.push('%');
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let parsed: usize = digits
                .parse()
                .map_err(|_| "error while parsing precision: no digits".to_owned())?;
            if parsed > 1000 {
                return Err("error while parsing precision: too large".into());
            }
            precision = Some(parsed);
        }
        let clause = chars
            .next()
            .ok_or("could not parse formatting clause: unexpected end of string")?;
        let arg = args.next().ok_or_else(|| format!("index {at} out of range"))?;
        at += 1;
        let mut piece = String::new();
        clause_of(run, clause, precision, &arg, &mut piece)?;
        run.pay(cost::traversal(piece.len() as u64))?;
        made.push_str(&piece);
    }
    Ok(made.into())
}

fn clause_of(
    run: &mut Run<'_, '_, '_>,
    clause: char,
    precision: Option<usize>,
    arg: &Value<'_>,
    into: &mut String,
) -> Result<(), Failure> {
    let refused = |wanted: &str| -> Failure {
        format!("error during formatting: {wanted}, was given {}", arg.type_name()).into()
    };
    let piece = match (clause, arg) {
        ('s', value) => return shown(run, value, into),
        ('d', Value::Int(n)) => n.to_string(),
        ('d', Value::Uint(n)) => n.to_string(),
        ('d' | 'f' | 'e', Value::Double(n)) if n.is_nan() || n.is_infinite() => special(*n),
        ('d', _) => return Err(refused("decimal clause can only be used on integers")),
        ('f' | 'e', Value::Double(_) | Value::Int(_) | Value::Uint(_)) => {
            let n = match arg {
                Value::Double(n) => *n,
                Value::Int(n) => *n as f64,
                Value::Uint(n) => *n as f64,
                _ => 0.0,
            };
            let precision = precision.unwrap_or(6);
            if clause == 'f' {
                format!("{n:.precision$}")
            } else {
                let text = format!("{n:.precision$e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                format!(
                    "{digits}e{}{:02}",
                    if exponent < 0 { '-' } else { '+' },
                    exponent.abs()
                )
            }
        }
        ('f', _) => {
            return Err(refused(
                "fixed-point clause can only be used on doubles, integers",
            ));
        }
        ('e', _) => return Err(refused("scientific clause can only be used on doubles")),
        ('b', Value::Int(n)) => signed(*n, |n| format!("{n:b}")),
        ('b', Value::Uint(n)) => format!("{n:b}"),
        ('b', Value::Bool(is)) => u8::from(*is).to_string(),
        ('b', _) => return Err(refused("only integers and bools can be formatted as binary")),
        ('o', Value::Int(n)) => signed(*n, |n| format!("{n:o}")),
        ('o', Value::Uint(n)) => format!("{n:o}"),
        ('o', _) => return Err(refused("octal clause can only be used on integers")),
        ('x' | 'X', _) => {
            let hex = match arg {
                Value::Int(n) => signed(*n, |n| format!("{n:x}")),
                Value::Uint(n) => format!("{n:x}"),
                Value::String(text) => hex(text.as_bytes()),
                Value::Bytes(bytes) => hex(bytes),
                _ => {
                    return Err(refused(
                        "only integers, byte buffers, and strings can be formatted as hex",
                    ));
                }
            };
            if clause == 'X' { hex.to_uppercase() } else { hex }
        }
        (other, _) => {
            return Err(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )
            .into());
        }
    };
    into.push_str(&piece);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn signed(n: i64, shown: impl FnOnce(u64) -> String) -> String {
    let sign = if n < 0 { "-" } else { "" };
    format!("{sign}{}", shown(n.unsigned_abs()))
}

fn special(n: f64) -> String {
    if n.is_nan() {
        "NaN".to_owned()
    } else if n > 0.0 {
        "Infinity".to_owned()
    } else {
        "-Infinity".to_owned()
    }
}

/// A value as `%s` shows it.
fn shown(run: &mut Run<'_, '_, '_>, value: &Value<'_>, into: &mut String) -> Result<(), Failure> {
    run.pay(1)?;
    match value {
        Value::Null => into.push_str("null"),
        Value::Double(n) if n.is_nan() || n.is_infinite() => into.push_str(&special(*n)),
        Value::Type(name) => into.push_str(name),
        Value::List(list) => {
            into.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    into.push_str(", ");
                }
                shown(run, &item, into)?;
            }
            into.push(']');
        }
        Value::Map(map) => {
            into.push('{');
            for (at, key) in map.keys().enumerate() {
                if at > 0 {
                    into.push_str(", ");
                }
                shown(run, &key, into)?;
                into.push_str(": ");
                if let Some(value) = map.get(&key) {
                    shown(run, &value, into)?;
                }
            }
            into.push('}');
        }
        other => match convert::call("string", std::slice::from_ref(other)) {
            Ok(Value::String(text)) => {
                run.pay(cost::traversal(text.len() as u64))?;
                into.push_str(&text);
            }
            _ => {
                return Err(format!(
                    "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, \
                     types, durations, and timestamps, was given {}",
                    other.type_name()
                )
                .into());
            }
        },
    }
    Ok(())
}
