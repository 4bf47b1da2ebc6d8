//! Fields that a JSON document has twice: a parser keeps one, strict decoding must complain, so the bytes are looked at.

use std::collections::HashSet;

/// Duplicate fields with their paths, as upstream words them: `duplicate field "spec.replicas"`, in document order. The text must
/// be JSON that parses; on anything else the result is what was found before the fault.
pub fn duplicate_fields(json: &[u8]) -> Vec<String> {
    let mut scanner = Scanner {
        json,
        at: 0,
        path: String::new(),
        found: Vec::new(),
        depth: 0,
    };
    scanner.value();
    scanner.found
}

/// Deeper documents are refused by the parser that runs before.
const MAX_DEPTH: usize = 256;

struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
    path: String,
    found: Vec<String>,
    depth: usize,
}

impl Scanner<'_> {
    fn value(&mut self) -> Option<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.array()?,
            b'"' => {
                self.string()?;
            }
            _ => {
                let rest = &self.json[self.at..];
                let end = rest
                    .iter()
                    .position(|b| b",]} \t\r\n".contains(b))
                    .unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                self.at += end;
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn object(&mut self) -> Option<()> {
        self.at += 1;
        let mut seen = HashSet::new();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.peek().filter(|b| *b == b'"')?;
            let key = self.string()?;
            let length = self.path.len();
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if !seen.insert(key) {
                self.found.push(format!("duplicate field {:?}", self.path));
            }
            self.peek().filter(|b| *b == b':')?;
            self.at += 1;
            self.value()?;
            self.path.truncate(length);
            if self.next_or_end(b'}')? {
                return Some(());
            }
        }
    }

    fn array(&mut self) -> Option<()> {
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        let length = self.path.len();
        for i in 0.. {
            self.path.push_str(&format!("[{i}]"));
            self.value()?;
            self.path.truncate(length);
            if self.next_or_end(b']')? {
                break;
            }
        }
        Some(())
    }

    /// The string that starts here, unescaped.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.json.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_slice(&self.json[start..self.at]).ok()
    }

    /// True at the closing character, false at a comma.
    fn next_or_end(&mut self, end: u8) -> Option<bool> {
        let found = self.peek()?;
        self.at += 1;
        (found == end || found == b',').then_some(found == end)
    }

    fn peek(&mut self) -> Option<u8> {
        while self.json.get(self.at).is_some_and(|b| b" \t\r\n".contains(b)) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_them_with_paths() {
        let json =
            br#"{"a": 1, "spec": {"x": [{"n": "\"", "n": 2}, {"n": 1}], "r": true, "r": null}, "a": {}}"#;
        assert_eq!(
            duplicate_fields(json),
            [
                r#"duplicate field "spec.x[0].n""#,
                r#"duplicate field "spec.r""#,
                r#"duplicate field "a""#
            ]
        );
        assert!(duplicate_fields(br#"{"a": {"a": {"a": []}}}"#).is_empty());
    }

    #[test]
    fn survives_rubbish() {
        for text in [
            "", "{", "{\"a", "{\"a\\", "[,", "{\"a\":", "]", "{\"a\":}", "\"\\",
        ] {
            assert!(duplicate_fields(text.as_bytes()).is_empty());
        }
        assert!(duplicate_fields("[".repeat(100_000).as_bytes()).is_empty());
    }
}
