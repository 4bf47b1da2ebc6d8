//! Query parameters.

/// The decoded parameters of a request, in order.
#[derive(Debug, Clone, Default)]
pub struct Query {
    raw: String,
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parse what follows the `?`.
    pub fn parse(raw: &str) -> Self {
        // Go leaves out what it cannot read, or what older clients divided by semicolons (`net/url` parseQuery).
        let readable = |pair: &&str| !pair.is_empty() && !pair.contains(';') && is_escaped_well(pair);
        let pairs = raw.split('&').filter(readable);
        let pairs = pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key, true), decode(value, true))
            })
            .collect();
        Self {
            raw: raw.to_owned(),
            pairs,
        }
    }

    /// As it came.
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The first value of a parameter, when it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(k, v)| k == name && !v.is_empty())
            .map(|(_, v)| v.as_str())
    }

    /// Whether the parameter is there, whatever it says.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(k, _)| k == name)
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.pairs
            .iter()
            .filter(|(k, _)| k == name)
            .map(|(_, v)| v.clone())
            .collect()
    }

    /// Whether the parameter is there and true; a bare `?watch` counts, as upstream's conversion has it.
    pub fn truth(&self, name: &str) -> bool {
        self.pairs
            .iter()
            .any(|(k, v)| k == name && !matches!(v.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A parameter as an integer.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|v| v.parse().ok())
    }
}

/// Percent decoding; `plus` turns `+` into a space, as in query strings.
pub fn decode(raw: &str, plus: bool) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match bytes[at] {
            b'%' => match (hex(at + 1), hex(at + 2)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether two hexadecimal digits follow every percent sign.
fn is_escaped_well(text: &str) -> bool {
    let mut parts = text.split('%').skip(1).map(str::as_bytes);
    parts.all(|rest| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_finds() {
        let query =
            Query::parse("labelSelector=a%3D%3D%3Db&watch=1&x=a+b&command=sh&command=-c&limit=5&f=false");
        assert_eq!(query.get("labelSelector"), Some("a===b"));
        assert!(query.truth("watch"));
        assert!(!query.truth("f"));
        assert!(!query.truth("absent"));
        assert_eq!(query.get("x"), Some("a b"));
        assert_eq!(query.all("command"), ["sh", "-c"]);
        assert_eq!(query.number("limit"), Some(5));
        assert_eq!(decode("100%zz%4", false), "100%zz%4");
    }

    /// As Go's `url.ParseQuery` answers them.
    #[test]
    fn leaves_out_what_cannot_be_read() {
        let query = Query::parse("labelSelector=x%3D1;y&limit=5%&continue=%zz&pretty=1&a%3Bb=c");
        for name in ["labelSelector", "limit", "continue", "y"] {
            assert!(!query.has(name), "{name}");
        }
        assert_eq!(query.get("pretty"), Some("1"));
        assert_eq!(query.get("a;b"), Some("c"));
    }
}
