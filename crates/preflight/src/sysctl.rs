//! Which value a reboot will give a kernel parameter: a replay of what `systemd-sysctl` does with the files of sysctl.d
//! (read in systemd's `src/sysctl/sysctl.c` and `src/basic/sysctl-util.c`, version 252, and compared with the program
//! itself over generated sets of files by `host`'s test `sysctl_replay`).
use crate::conf::effective;
use crate::facts::ConfFile;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The value.
    pub value: String,
    /// The file.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
}

#[derive(Debug)]
struct Assignment<'a> {
    key: String,
    /// None for a `-key` line without a value, which only keeps globs away from the key.
    value: Option<String>,
    path: &'a str,
    line: usize,
}

/// The value of `key` (dots or slashes) after a boot; None when no file sets it.
pub fn after_boot(files: &[ConfFile], key: &str) -> Option<Set> {
    let assignments = assignments(files);
    let key = normalise(key);
    let explicit = assignments.iter().any(|a| a.key == key);
    let mut found = None;
    for a in &assignments {
        let Some(value) = &a.value else { continue };
        let hit = if is_glob(&a.key) {
            !explicit && glob(&a.key, &key)
        } else {
            a.key == key
        };
        if hit {
            found = Some(Set {
                value: value.clone(),
                path: a.path.to_owned(),
                line: a.line,
            });
        }
    }
    found
}

/// Every place that sets a key, in the order of reading, winners and losers.
pub fn mentions(files: &[ConfFile], key: &str) -> Vec<Set> {
    let key = normalise(key);
    let mut found = Vec::new();
    for file in effective(files, "sysctl.d") {
        for a in parse(file) {
            if let Some(value) = a.value
                && (a.key == key || is_glob(&a.key) && glob(&a.key, &key))
            {
                found.push(Set {
                    value,
                    path: a.path.to_owned(),
                    line: a.line,
                });
            }
        }
    }
    found
}

/// The assignments as systemd keeps them: a later one of the same key and another value moves to the end of the order.
fn assignments(files: &[ConfFile]) -> Vec<Assignment<'_>> {
    let mut all: Vec<Assignment> = Vec::new();
    for file in effective(files, "sysctl.d") {
        for new in parse(file) {
            if let Some(at) = all.iter().position(|a| a.key == new.key) {
                if all[at].value == new.value {
                    continue;
                }
                all.remove(at);
            }
            all.push(new);
        }
    }
    all
}

fn parse(file: &ConfFile) -> Vec<Assignment<'_>> {
    let text = file.text.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        let line = line.trim_matches(WHITE);
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => {
                let key = key.strip_prefix('-').unwrap_or(key).trim_matches(WHITE);
                (normalise(key), Some(value.trim_matches(WHITE).to_owned()))
            }
            None => match line.strip_prefix('-') {
                Some(key) => (normalise(key.trim_matches(WHITE)), None),
                None => continue,
            },
        };
        found.push(Assignment {
            key,
            value,
            path: &file.path,
            line: number + 1,
        });
    }
    found
}

const WHITE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Keys come with dots or slashes; the separator seen first decides, and the other one is then part of a name.
fn normalise(key: &str) -> String {
    let swapped: String = match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'.' => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    };
    // A leading slash makes no other key of it, as systemd-sysctl's own log shows.
    let parts: Vec<&str> = swapped
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    parts.join("/")
}

fn is_glob(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// glob(3) with braces: no wildcard matches a slash, nor a dot at the beginning of a name.
fn glob(pattern: &str, path: &str) -> bool {
    braces(pattern, 0).iter().any(|pattern| {
        let (pattern, path): (Vec<&str>, Vec<&str>) =
            (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern.iter().zip(&path).all(|(p, name)| {
                let hidden = name.starts_with('.') && !p.starts_with('.');
                !hidden && name_matches(&p.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
            })
    })
}

/// `a{b,c}d` to `abd` and `acd`; what has no partner stays as it is.
fn braces(pattern: &str, depth: usize) -> Vec<String> {
    let whole = || vec![pattern.to_owned()];
    let Some(open) = pattern.find('{') else {
        return whole();
    };
    let mut level = 0usize;
    let (mut close, mut commas) = (None, Vec::new());
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => level += 1,
            '}' => {
                level -= 1;
                if level == 0 {
                    close = Some(at);
                    break;
                }
            }
            ',' if level == 1 => commas.push(at),
            _ => {}
        }
    }
    let Some(close) = close else { return whole() };
    // A hostile file is no reason to take all memory.
    if depth > 6 || pattern.len() > 4096 {
        return whole();
    }
    let mut found = Vec::new();
    let mut from = open + 1;
    for to in commas.into_iter().chain([close]) {
        let one = format!(
            "{}{}{}",
            &pattern[..open],
            &pattern[from..to],
            &pattern[close + 1..]
        );
        found.extend(braces(&one, depth + 1));
        from = to + 1;
        if found.len() > 1000 {
            break;
        }
    }
    found
}

/// One name against one pattern without slashes. Iterative with one point of return, so that no pattern is slow.
fn name_matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], name[n]) {
                Some((true, length)) => Some(p + length),
                Some((false, _)) => None,
                None => (name[n] == '[').then_some(p + 1),
            },
            Some('\\') if pattern.get(p + 1) == Some(&name[n]) => Some(p + 2),
            Some(c) if *c == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, back) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            (None, Some((after, from))) => {
                p = after;
                n = from + 1;
                back = Some((after, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// `[a-z]` and `[!x]` at the beginning of a pattern: whether it matches, and its length.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let first = if negated { 2 } else { 1 };
    let end = (first + 1..pattern.len()).find(|i| pattern[*i] == ']')?;
    let members = &pattern[first..end];
    let (mut hit, mut i) = (false, 0);
    while i < members.len() {
        if i + 2 < members.len() && members[i + 1] == '-' {
            hit |= members[i] <= c && c <= members[i + 2];
            i += 3;
        } else {
            hit |= members[i] == c;
            i += 1;
        }
    }
    Some((hit != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> ConfFile {
        ConfFile {
            path: path.to_owned(),
            text: Some(text.to_owned()),
            ..ConfFile::default()
        }
    }

    fn value(files: &[ConfFile], key: &str) -> Option<String> {
        after_boot(files, key).map(|s| s.value)
    }

    #[test]
    fn basenames_decide_the_order_across_folders() {
        let files = [
            file("/etc/sysctl.d/10-a.conf", "net.ipv4.ip_forward=1"),
            file("/usr/lib/sysctl.d/50-b.conf", "net/ipv4/ip_forward = 0"),
        ];
        let set = after_boot(&files, "net.ipv4.ip_forward").unwrap();
        assert_eq!(
            (set.value.as_str(), set.path.as_str(), set.line),
            ("0", "/usr/lib/sysctl.d/50-b.conf", 1)
        );
        assert_eq!(mentions(&files, "net.ipv4.ip_forward").len(), 2);
    }

    #[test]
    fn sysctl_conf_counts_only_through_its_link() {
        assert_eq!(value(&[file("/etc/sysctl.conf", "a.b=1")], "a.b"), None);
        assert_eq!(
            value(&[file("/etc/sysctl.d/99-sysctl.conf", "a.b=1")], "a.b"),
            Some("1".into())
        );
    }

    #[test]
    fn globs_yield_to_explicit_keys_and_to_exclusions() {
        let files = [file(
            "/etc/sysctl.d/1.conf",
            "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\nnet.ipv4.conf.lo.rp_filter=0",
        )];
        assert_eq!(value(&files, "net.ipv4.conf.eth0.rp_filter"), Some("2".into()));
        assert_eq!(value(&files, "net.ipv4.conf.all.rp_filter"), None);
        assert_eq!(value(&files, "net.ipv4.conf.lo.rp_filter"), Some("0".into()));
        assert_eq!(value(&files, "net/ipv4/conf/eth0.5/rp_filter"), Some("2".into()));
        assert_eq!(value(&files, "net.ipv4.conf.eth0/5.rp_filter"), Some("2".into()));
    }

    #[test]
    fn patterns() {
        for (pattern, path, hit) in [
            ("net/*/x", "net/a/x", true),
            ("net/*/x", "net/a/b/x", false),
            ("n[a-f]t", "net", true),
            ("n[!a-f]t", "net", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("{a,b{c,d}}?", "bdx", true),
            ("[", "[", true),
        ] {
            assert_eq!(glob(pattern, path), hit, "{pattern} {path}");
        }
    }
}
