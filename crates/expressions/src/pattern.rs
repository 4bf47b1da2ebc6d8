//! Patterns of RE2 as Go reads them (Go 1.26 `regexp/syntax/parse.go`, in whose words they are refused).
//!
//! The crate `regex` finds the same in linear time, but reads a dialect of its own: to it `\d` is a digit of any script, `[a&&b]` an
//! intersection and `\<` the beginning of a word. So a pattern is read here and written down for it.
use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

/// So many bytes may a pattern take that stands in a schema or in an expression.
pub const WRITTEN: usize = 10 << 20;
/// The same of one that an expression makes: compiling it is not counted upstream, and its text may come from anybody.
pub const MADE: usize = 1 << 20;

/// `maxRepeat`
const MOST_REPEATED: u32 = 1_000;

/// The pattern, ready to be looked for, if it takes no more than `largest` bytes; or why it is none.
pub fn pattern(text: &str, largest: usize) -> Result<Regex, String> {
    let translated = Reader {
        text,
        at: 0,
        made: String::with_capacity(text.len()),
    };
    let refused = |error: regex::Error| match error {
        regex::Error::CompiledTooBig(_) => format!("error parsing regexp: expression too large: `{text}`"),
        other => other.to_string().lines().last().unwrap_or_default().to_owned(),
    };
    RegexBuilder::new(&translated.read()?)
        .size_limit(largest)
        .build()
        .map_err(refused)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    made: String,
}

fn refused<T>(code: &str, part: &str) -> Result<T, String> {
    Err(format!("error parsing regexp: {code}: `{part}`"))
}

/// The ranges of `\d`, `\s` and `\w`, which are ASCII's.
fn perl(class: char) -> Option<&'static str> {
    Some(match class.to_ascii_lowercase() {
        'd' => "0-9",
        's' => r"\t\n\x0c\r\x20",
        'w' => "0-9A-Za-z_",
        _ => return None,
    })
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn literal(&mut self, c: char) {
        self.made.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn read(mut self) -> Result<String, String> {
        let mut open = 0_usize;
        // Whether there is something to repeat, and where its repetition began.
        let mut something = false;
        let mut repeated: Option<usize> = None;
        while let Some(c) = self.peek() {
            let from = self.at;
            let repeats = match c {
                '*' | '+' | '?' => {
                    self.at += 1;
                    true
                }
                '{' => self.count()?,
                _ => false,
            };
            if repeats {
                let operator = &self.text[from..self.at];
                if !something {
                    return refused("missing argument to repetition operator", operator);
                }
                self.made.push_str(operator);
                if self.peek() == Some('?') {
                    self.at += 1;
                    self.made.push('?');
                }
                if let Some(first) = repeated {
                    return refused("invalid nested repetition operator", &self.text[first..self.at]);
                }
                repeated = Some(from);
                continue;
            }
            repeated = None;
            something = !matches!(c, '(' | '|');
            match c {
                '(' => open += usize::from(self.group()?),
                ')' if open == 0 => return refused("unexpected )", self.text),
                '[' => self.class()?,
                '\\' => self.escape()?,
                _ => {
                    self.at += c.len_utf8();
                    open -= usize::from(c == ')');
                    match c {
                        ')' | '|' | '.' | '^' | '$' => self.made.push(c),
                        c => self.literal(c),
                    }
                }
            }
        }
        if open > 0 {
            return refused("missing closing )", self.text);
        }
        Ok(self.made)
    }

    /// `{2}`, `{2,}`, `{2,5}`; whatever else a brace begins is itself.
    fn count(&mut self) -> Result<bool, String> {
        let inner = self.rest().split_once('}').map(|(count, _)| &count[1..]);
        let number = |text: &str| -> Option<u32> {
            let plain =
                text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
            (plain && !text.is_empty()).then(|| text.parse().unwrap_or(u32::MAX))
        };
        let read = |inner: &str| match inner.split_once(',') {
            None => number(inner).map(|n| (n, n)),
            Some((least, "")) => number(least).map(|n| (n, n)),
            Some((least, most)) => Some((number(least)?, number(most)?)),
        };
        let Some((inner, (least, most))) = inner.and_then(|inner| Some((inner, read(inner)?))) else {
            return Ok(false);
        };
        let whole = &self.rest()[..inner.len() + 2];
        if most > MOST_REPEATED || least > most {
            return refused("invalid repeat count", whole);
        }
        self.at += whole.len();
        Ok(true)
    }

    /// The beginning of a group; whether there is an end to come, which `(?i)` has not.
    fn group(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        let Some(flags) = rest.strip_prefix("(?") else {
            self.at += 1;
            self.made.push('(');
            return Ok(true);
        };
        if let Some(name) = flags.strip_prefix("P<").or_else(|| flags.strip_prefix('<')) {
            let Some(end) = name.find('>') else {
                return refused("invalid named capture", rest);
            };
            let length = rest.len() - name.len() + end + 1;
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if end == 0 || !name[..end].bytes().all(word) {
                return refused("invalid named capture", &rest[..length]);
            }
            self.at += length;
            // Nobody asks for a group by its name.
            self.made.push('(');
            return Ok(true);
        }
        let known = flags.find(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
        let end = known.map_or(rest.len(), |at| at + 2);
        let words = &rest[2..end];
        let signs = words.matches('-').count();
        let last = rest[end..].chars().next();
        if !matches!(last, Some(':' | ')')) || signs > 1 || words.ends_with('-') {
            let shown = end + last.map_or(0, char::len_utf8);
            return refused("invalid or unsupported Perl syntax", &rest[..shown]);
        }
        self.at += end + 1;
        if !(words.is_empty() && last == Some(')')) {
            self.made.push_str(&rest[..=end]);
        }
        Ok(last == Some(':'))
    }

    /// A backslash and what belongs to it, outside a class.
    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let Some(next) = rest[1..].chars().next() else {
            return refused("trailing backslash at end of expression", "");
        };
        if let Some(ranges) = perl(next) {
            let not = if next.is_ascii_uppercase() { "^" } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(self.made, "[{not}{ranges}]");
            self.at += 2;
            return Ok(());
        }
        match next {
            'A' | 'z' => self.made.push_str(&rest[..2]),
            'b' | 'B' => {
                let _ = write!(self.made, r"(?-u:\{next})");
            }
            'Q' => {
                let quoted = &rest[2..];
                let (quoted, length) = match quoted.find(r"\E") {
                    Some(end) => (&quoted[..end], end + 4),
                    None => (quoted, rest.len()),
                };
                self.made.push_str(&regex::escape(quoted));
                self.at += length;
                return Ok(());
            }
            'p' | 'P' => return self.script(),
            _ => {
                let c = self.character()?;
                self.literal(c);
                return Ok(());
            }
        }
        self.at += 2;
        Ok(())
    }

    /// `\pN`, `\p{Greek}`, `\P{^Greek}`.
    fn script(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let negated = rest.starts_with(r"\P");
        let (name, length) = match rest[2..].strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) => (&inner[..end], end + 4),
                None => return refused("invalid character class range", rest),
            },
            None => {
                let length = rest[2..].chars().next().map_or(0, char::len_utf8);
                (&rest[2..2 + length], 2 + length)
            }
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name, negated),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return refused("invalid character class range", &rest[..length]);
        }
        let _ = write!(self.made, r"\{}{{{name}}}", if negated { 'P' } else { 'p' });
        self.at += length;
        Ok(())
    }

    /// One character, written with a backslash.
    fn character(&mut self) -> Result<char, String> {
        let from = self.at;
        let text = self.text;
        self.at += 1;
        let Some(c) = self.next() else {
            return refused("trailing backslash at end of expression", "");
        };
        let code = match c {
            // A single digit would refer back to a group.
            '1'..='7' if !self.peek().is_some_and(|c| c.is_digit(8)) => None,
            '0'..='7' => {
                let digits = self
                    .rest()
                    .bytes()
                    .take(2)
                    .take_while(|b| matches!(b, b'0'..=b'7'))
                    .count();
                self.at += digits;
                u32::from_str_radix(&text[from + 1..self.at], 8).ok()
            }
            'x' => {
                let braced = self
                    .rest()
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'));
                let (digits, length) = match braced {
                    Some((digits, _)) => (digits, digits.len() + 2),
                    None => (self.rest().get(..2).unwrap_or_default(), 2),
                };
                let is_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
                self.at = (self.at + length).min(text.len());
                u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
            }
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c.into()),
            _ => None,
        };
        match code.and_then(char::from_u32) {
            Some(c) => Ok(c),
            None => refused(
                "invalid escape sequence",
                text.get(from..self.at).unwrap_or(&text[from..]),
            ),
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest();
        self.at += 1;
        self.made.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.made.push('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(next) = self.peek() else {
                return refused("missing closing ]", whole);
            };
            if next == ']' && !first {
                self.at += 1;
                self.made.push(']');
                return Ok(());
            }
            first = false;
            if let Some(end) = rest.strip_prefix("[:").and_then(|inner| inner.find(":]")) {
                let named = &rest[..end + 4];
                self.at += named.len();
                self.made.push_str(named);
                continue;
            }
            if next == '\\' {
                match rest[1..].chars().next() {
                    Some('p' | 'P') => {
                        self.script()?;
                        continue;
                    }
                    Some(class) if perl(class).is_some() => {
                        let ranges = perl(class).unwrap_or_default();
                        let _ = if class.is_ascii_uppercase() {
                            write!(self.made, "[^{ranges}]")
                        } else {
                            write!(self.made, "{ranges}")
                        };
                        self.at += 2;
                        continue;
                    }
                    _ => {}
                }
            }
            let low = self.member()?;
            let mut high = low;
            // A hyphen at the end is itself.
            if self.rest().len() > 1 && self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.at += 1;
                high = self.member()?;
                if high < low {
                    let part = &self.text[self.text.len() - rest.len()..self.at];
                    return refused("invalid character class range", part);
                }
            }
            let _ = write!(
                self.made,
                r"\x{{{:x}}}-\x{{{:x}}}",
                u32::from(low),
                u32::from(high)
            );
        }
    }

    /// A character of a class.
    fn member(&mut self) -> Result<char, String> {
        if self.peek() == Some('\\') {
            return self.character();
        }
        match self.next() {
            Some(c) => Ok(c),
            None => refused("missing closing ]", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, has, has_not) in [
            (r"^\d+$", "12", "\u{663}"),
            (r"^[\d_]+$", "1_2", "\u{663}"),
            (r"^\w$", "a", "\u{e4}"),
            (r"^[^\W]$", "a", "\u{e4}"),
            (r"^\s$", " ", "\u{b}"),
            (r"^\S$", "\u{a0}", "\t"),
            (r"\bb", "\u{e4}b", "ab"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[^[]+$", "a]", "["),
            (r"^[[a]$", "[", "b"),
            (r"^[+--]$", ",", "a"),
            (r"^[]-_]+$", "]^_", "["),
            (r"^[a\-z]$", "-", "b"),
            (r"^[[:alpha:]-]$", "-", "1"),
            (r"^{.*}$", "{x}", "x"),
            (r"^a{,5}$", "a{,5}", "aa"),
            (r"^a{2,3}?$", "aaa", "a"),
            (r"^\<b\>$", "<b>", "b"),
            (r"^\Qa.b\E.$", "a.bc", "axbc"),
            (r"^\x41\x{e4}\101$", "A\u{e4}A", "x"),
            (r"^\p{Greek}\P{^Greek}\pL$", "\u{3b1}\u{3b2}a", "ab1"),
            (r"^(?i)a(?-i:b)(?P<n>c)(?<m>d)$", "AbCD", "ABCD"),
            (r"^(?)a$", "a", "b"),
            (r"^(?s:.)$", "\n", ""),
            (r"^.$", "x", "\n"),
            (r"^a #b$", "a #b", "ab"),
        ] {
            let pattern = pattern(text, WRITTEN).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert!(pattern.is_match(has), "{text}: {has:?}");
            assert!(!pattern.is_match(has_not), "{text}: {has_not:?}");
        }
    }

    #[test]
    fn what_go_refuses() {
        for (text, why) in [
            ("a**", "invalid nested repetition operator: `**`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("(|+)", "missing argument to repetition operator: `+`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("a(b", "missing closing ): `a(b`"),
            ("a)b", "unexpected ): `a)b`"),
            ("x[a", "missing closing ]: `[a`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?P<n!>a)", "invalid named capture: `(?P<n!>`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\q", r"invalid escape sequence: `\q`"),
            (r"\u00e4", r"invalid escape sequence: `\u`"),
            (r"[\b]", r"invalid escape sequence: `\b`"),
            ("a\\", "trailing backslash at end of expression: ``"),
        ] {
            let refused = pattern(text, WRITTEN).map(|_| ()).unwrap_err();
            assert_eq!(refused, format!("error parsing regexp: {why}"), "{text}");
        }
        assert!(pattern(r"(\p{L}{500}){2}", MADE).is_err());
    }
}
