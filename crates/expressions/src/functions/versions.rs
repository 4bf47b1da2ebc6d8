//! Semantic versions (`k8s.io/apiserver/pkg/cel/library/semverlib.go`, `blang/semver`).
use std::{cmp::Ordering, sync::Arc};

use super::{Done, opaque::Opaque};
use crate::{evaluate::no_overload, value::Value};

/// A version. What is built does not matter to its order.
#[derive(Debug)]
pub struct Version {
    numbers: [u64; 3],
    /// Before the release: numbers and names.
    before: Vec<Result<u64, String>>,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (text, build) = match text.split_once('+') {
            Some((text, build)) => (text, Some(build)),
            None => (text, None),
        };
        let is_name =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if build.is_some_and(|build| !build.split('.').all(is_name)) {
            return None;
        }
        let (core, before) = match text.split_once('-') {
            Some((core, before)) => (core, Some(before)),
            None => (text, None),
        };
        let number = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            (plain && (part == "0" || !part.starts_with('0'))).then(|| part.parse::<u64>().ok())?
        };
        let mut parts = core.split('.').map(number);
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        if parts.next().is_some() {
            return None;
        }
        let mut names = Vec::new();
        for part in before.into_iter().flat_map(|before| before.split('.')) {
            if !is_name(part) {
                return None;
            }
            names.push(if part.bytes().all(|b| b.is_ascii_digit()) {
                Ok(number(part)?)
            } else {
                Err(part.to_owned())
            });
        }
        Some(Self {
            numbers,
            before: names,
        })
    }

    /// Without a leading `v`, with all three numbers, and these without leading zeros.
    fn normalised(text: &str) -> String {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let mut parts: Vec<&str> = core
            .split('.')
            .map(|part| match part.trim_start_matches('0') {
                "" if !part.is_empty() => "0",
                trimmed => trimmed,
            })
            .collect();
        while parts.len() < 3 {
            parts.push("0");
        }
        parts.join(".") + rest
    }

    /// Which comes first.
    pub fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.before.is_empty(), other.before.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                // Numbers come before names, which is how both stand in a result.
                (false, false) => self.before.cmp(&other.before),
            }
        })
    }
}

pub fn call<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let read = |text: &str, rest: &[Value<'a>]| match rest {
        [] | [Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::Bool(true)] => Ok(Version::parse(&Version::normalised(text))),
        _ => Err(no_overload()),
    };
    match (name, args) {
        ("semver", [Value::String(text), rest @ ..]) => {
            let version = read(text, rest)?
                .ok_or_else(|| format!("semver parse error during conversion from string: {:?}", &**text))?;
            Ok(Value::Opaque(Opaque::Semver(Arc::new(version))))
        }
        ("isSemver", [Value::String(text), rest @ ..]) => Ok(read(text, rest)?.is_some().into()),
        ("major" | "minor" | "patch", [Value::Opaque(Opaque::Semver(version))]) => {
            let at = match name {
                "major" => 0,
                "minor" => 1,
                _ => 2,
            };
            Ok(Value::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX)))
        }
        _ => Err(no_overload()),
    }
}
