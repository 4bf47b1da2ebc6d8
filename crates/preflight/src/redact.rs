//! Takes names, addresses and secrets out of a facts document, so that it can be shown to others. Equal things stay equal:
//! each becomes `redacted-` and a number, so that judging several machines together still works.
use std::collections::BTreeMap;

use serde_json::Value;

/// Fields whose whole value names the machine.
const NAMES: [&str; 6] = [
    "hostname",
    "machine_id",
    "product_uuid",
    "address",
    "subject",
    "hostname_fqdn",
];
/// Words after which the rest of a line is a secret.
const SECRETS: [&str; 8] = [
    "password",
    "passwd",
    "secret",
    "token",
    "_key",
    "apikey",
    "auth",
    "credential",
];

/// Redacts a document in place.
#[derive(Debug, Default)]
pub struct Redactor {
    seen: BTreeMap<String, String>,
    hosts: Vec<String>,
}

impl Redactor {
    /// Redacts a document. One redactor for several documents keeps what is equal between them equal.
    pub fn redact(&mut self, document: &mut Value) {
        self.hosts.clear();
        if let Some(host) = document
            .pointer("/machine/hostname")
            .and_then(Value::as_str)
            .filter(|h| !h.is_empty())
        {
            self.hosts.push(host.to_owned());
            if let Some((short, _)) = host.split_once('.') {
                self.hosts.push(short.to_owned());
            }
        }
        self.walk(document);
    }

    fn walk(&mut self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    match value {
                        Value::String(text) if NAMES.contains(&key.as_str()) && !text.is_empty() => {
                            *text = self.stand_in(text)
                        }
                        _ => self.walk(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|v| self.walk(v)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    fn stand_in(&mut self, what: &str) -> String {
        let next = self.seen.len() + 1;
        self.seen
            .entry(what.to_owned())
            .or_insert_with(|| format!("redacted-{next}"))
            .clone()
    }

    fn text(&mut self, text: &str) -> String {
        let lines: Vec<String> = text.split('\n').map(|line| self.line(line)).collect();
        lines.join("\n")
    }

    fn line(&mut self, line: &str) -> String {
        if let Some(at) = line.find(['=', ':'])
            && let name = line[..at].to_lowercase()
            && SECRETS.iter().any(|s| name.contains(s))
        {
            // Its name may be a machine's as well: `auth-3:` in a comment.
            return format!("{} redacted", self.names_and_addresses(&line[..=at]));
        }
        self.names_and_addresses(line)
    }

    fn names_and_addresses(&mut self, line: &str) -> String {
        // user:password@host in URLs.
        let mut line = line.to_owned();
        if let (Some(scheme), Some(at)) = (line.find("://"), line.find('@'))
            && scheme + 3 < at
            && !line[scheme + 3..at].contains('/')
        {
            line.replace_range(scheme + 3..=at, "redacted@");
        }
        for host in self.hosts.clone() {
            if line.contains(&host) && host.len() > 1 {
                let stand_in = self.stand_in(&host);
                line = replace_words(&line, &host, &stand_in);
            }
        }
        let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        let mut out = String::new();
        let mut rest = line.as_str();
        while let Some(from) = rest.find(is_address) {
            let to = rest[from..]
                .find(|c| !is_address(c))
                .map_or(rest.len(), |n| from + n);
            out.push_str(&rest[..from]);
            let word = &rest[from..to];
            let trimmed = word.trim_end_matches([':', '.']);
            if is_telling(trimmed) {
                out.push_str(&self.stand_in(trimmed));
                out.push_str(&word[trimmed.len()..]);
            } else {
                // `1.2.3.4:8080` and `1.2.3.4::1.2.3.1`: each part for itself.
                for part in word.split_inclusive(':') {
                    let bare = part.trim_end_matches([':', '.']);
                    if is_telling(bare) {
                        out.push_str(&self.stand_in(bare));
                        out.push_str(&part[bare.len()..]);
                    } else {
                        out.push_str(part);
                    }
                }
            }
            rest = &rest[to..];
        }
        out.push_str(rest);
        out
    }
}

/// Addresses that say something of whose machine this is: not loopback, and not networks that everybody has.
fn is_telling(word: &str) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr};
    if let Ok(v4) = word.parse::<Ipv4Addr>() {
        return !v4.is_loopback()
            && !v4.is_unspecified()
            && !["10.96.0.0", "10.244.0.0", "10.0.0.0"].contains(&word);
    }
    if let Ok(v6) = word.parse::<Ipv6Addr>() {
        return !v6.is_loopback() && !v6.is_unspecified();
    }
    // A hardware address.
    let parts: Vec<&str> = word.split(':').collect();
    parts.len() == 6
        && parts
            .iter()
            .all(|p| p.len() == 2 && p.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Replaces a word where no letter, digit or dash stands beside it.
fn replace_words(line: &str, word: &str, by: &str) -> String {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(word) {
        let before = rest[..at].chars().next_back().or(out.chars().next_back());
        let after = rest[at + word.len()..].chars().next();
        out.push_str(&rest[..at]);
        out.push_str(if before.is_some_and(part) || after.is_some_and(part) {
            word
        } else {
            by
        });
        rest = &rest[at + word.len()..];
    }
    out + rest
}
