//! Text to tokens (cel-go `parser/gen/CEL.g4`, `parser/unescape.go`).
use crate::issue::Issue;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Ident(String),
    Int(u64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    /// A name in backquotes.
    Escaped(String),
    /// An operator or a bracket.
    Mark(&'static str),
    End,
}

/// Longest first.
const MARKS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}",
    ".", ",", ":", "?",
];

/// A token and where it begins and ends.
#[derive(Debug, Clone)]
pub struct Lexed {
    pub token: Token,
    pub at: usize,
    pub end: usize,
}

/// All tokens; the last is the end. What is no token is told of in `issues` and left out, as ANTLR does.
pub fn tokens(source: &str, issues: &mut Vec<Issue>) -> Vec<Lexed> {
    let mut lexer = Lexer { source, at: 0 };
    let mut all = Vec::new();
    loop {
        lexer.skip();
        let at = lexer.at;
        match lexer.next() {
            Ok(token) => {
                let last = token == Token::End;
                let end = lexer.at;
                all.push(Lexed { token, at, end });
                if last {
                    return all;
                }
            }
            Err(issue) => {
                // A literal that cannot be is a token all the same.
                if !issue.message.starts_with("Syntax error") {
                    let (token, end) = (Token::Int(0), lexer.at);
                    all.push(Lexed { token, at, end });
                }
                // There may be as many as characters.
                if issues.len() <= MOST {
                    issues.push(issue);
                }
            }
        }
    }
}

/// More are never shown.
const MOST: usize = 100;

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn issue(at: usize, message: impl Into<String>) -> Issue {
        Issue {
            at: Some(at),
            message: message.into(),
        }
    }

    /// White space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches(['\t', ' ', '\r', '\n', '\u{c}']).len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Token, Issue> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        if let Some(token) = self.quoted()? {
            return Ok(token);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let rest = self.rest();
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let name = rest[..end].to_owned();
            self.at += end;
            return Ok(Token::Ident(name));
        }
        let digit_follows = self.rest().as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        if first.is_ascii_digit() || first == '.' && digit_follows {
            return self.number();
        }
        if first == '`'
            && let Some((name, _)) = self.rest()[1..].split_once('`')
            && !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-/ ".contains(&b))
        {
            let name = name.to_owned();
            self.at += name.len() + 2;
            return Ok(Token::Escaped(name));
        }
        if let Some(mark) = MARKS.iter().find(|mark| self.rest().starts_with(**mark)) {
            self.at += mark.len();
            return Ok(Token::Mark(mark));
        }
        // The first half of an operator is no token together with what comes after it.
        let length = match first {
            '=' | '&' | '|' => 2,
            _ => 1,
        };
        let end = self
            .rest()
            .chars()
            .take(length)
            .map(char::len_utf8)
            .sum::<usize>()
            + self.at;
        Err(self.unrecognised(end))
    }

    /// What up to here is no token, and is left out.
    fn unrecognised(&mut self, end: usize) -> Issue {
        let (start, end) = (self.at, end.min(self.source.len()));
        self.at = end;
        let shown = &self.source[start..end];
        Self::issue(
            start,
            format!("Syntax error: token recognition error at: '{shown}'"),
        )
    }

    fn number(&mut self) -> Result<Token, Issue> {
        let start = self.at;
        let bytes = self.source.as_bytes();
        let digits = |from: usize, hex: bool| {
            let is = |b: &u8| {
                if hex {
                    b.is_ascii_hexdigit()
                } else {
                    b.is_ascii_digit()
                }
            };
            bytes[from..].iter().take_while(|b| is(b)).count()
        };
        let unsigned = |end: usize| matches!(bytes.get(end), Some(b'u' | b'U'));
        let hex = self.rest().starts_with("0x");
        let count = if hex { digits(start + 2, true) } else { 0 };
        if count > 0 {
            let end = start + 2 + count;
            let is_unsigned = unsigned(end);
            self.at = end + usize::from(is_unsigned);
            let value = u64::from_str_radix(&self.source[start + 2..end], 16)
                .map_err(|_| Self::issue(start, "invalid int literal"))?;
            return Ok(if is_unsigned {
                Token::Uint(value)
            } else {
                Token::Int(value)
            });
        }
        let mut end = start + digits(start, false);
        let mut fraction = false;
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            fraction = true;
            end += 1 + digits(end + 1, false);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let count = digits((end + 1 + sign).min(bytes.len()), false);
            if count > 0 {
                fraction = true;
                end += 1 + sign + count;
            }
        }
        let text = &self.source[start..end];
        self.at = end;
        if fraction {
            let value = text
                .parse()
                .map_err(|_| Self::issue(start, "invalid double literal"))?;
            return Ok(Token::Double(value));
        }
        if unsigned(end) {
            self.at += 1;
            let value = text
                .parse()
                .map_err(|_| Self::issue(start, "invalid uint literal"))?;
            return Ok(Token::Uint(value));
        }
        let value = text
            .parse()
            .map_err(|_| Self::issue(start, "invalid int literal"))?;
        Ok(Token::Int(value))
    }

    /// A string or bytes, when one begins here.
    fn quoted(&mut self) -> Result<Option<Token>, Issue> {
        let start = self.at;
        let mut raw = false;
        let mut bytes = false;
        let mut from = start;
        for b in self.rest().bytes().take(2) {
            match b {
                b'r' | b'R' if !raw => raw = true,
                b'b' | b'B' if !bytes => bytes = true,
                _ => break,
            }
            from += 1;
        }
        let rest = &self.source[from..];
        let Some(quote) = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|q| rest.starts_with(q))
        else {
            return Ok(None);
        };
        let body = from + quote.len();
        let mut at = body;
        loop {
            let left = &self.source[at..];
            if left.starts_with(quote) {
                break;
            }
            // Where it cannot go on as a string.
            let fault = match left.chars().next() {
                None => Some(at),
                Some(next @ ('\n' | '\r')) if quote.len() == 1 => Some(at + next.len_utf8()),
                Some('\\') if !raw => match escaped(&left[1..]) {
                    Ok(length) => {
                        at += 1 + length;
                        None
                    }
                    Err(length) => Some(at + 1 + length),
                },
                Some(next) => {
                    at += next.len_utf8();
                    None
                }
            };
            let Some(end) = fault else { continue };
            if from > start {
                // The prefix is a name of its own then.
                self.at = from;
                return Ok(Some(Token::Ident(self.source[start..from].to_owned())));
            }
            if quote.len() == 3 {
                self.at = start + 2;
                return Ok(Some(Token::String(String::new())));
            }
            return Err(self.unrecognised(end));
        }
        let text = &self.source[body..at];
        self.at = at + quote.len();
        let bad = |message: &str| Self::issue(start, message.to_owned());
        if bytes {
            let value = if raw {
                text.as_bytes().to_vec()
            } else {
                unescape_bytes(text).map_err(bad)?
            };
            return Ok(Some(Token::Bytes(value)));
        }
        let value = if raw {
            text.to_owned()
        } else {
            unescape(text).map_err(bad)?
        };
        Ok(Some(Token::String(value)))
    }
}

/// How long an escape is after its backslash; or how far it goes with the character at which it is none.
fn escaped(text: &str) -> Result<usize, usize> {
    let mut chars = text.char_indices();
    let Some((_, first)) = chars.next() else {
        return Err(0);
    };
    let is_hex = |c: char| c.is_ascii_hexdigit();
    let is_octal = |c: char| matches!(c, '0'..='7');
    let (count, fits): (usize, fn(char) -> bool) = match first {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '\'' | '"' | '`' | '?' => (0, is_hex),
        'x' | 'X' => (2, is_hex),
        'u' => (4, is_hex),
        'U' => (8, is_hex),
        '0'..='3' => (2, is_octal),
        other => return Err(other.len_utf8()),
    };
    for _ in 0..count {
        match chars.next() {
            Some((_, c)) if fits(c) => {}
            Some((at, c)) => return Err(at + c.len_utf8()),
            None => return Err(text.len()),
        }
    }
    Ok(1 + count)
}

/// One escape, after its backslash: a value, and whether it stands for one byte where bytes are written (`\x41`, `\101`).
fn escape(chars: &mut std::str::Chars<'_>) -> Option<(u32, bool)> {
    let first = chars.next()?;
    let plain = |c: char| Some((u32::from(c), false));
    let (count, radix) = match first {
        'a' => return plain('\u{7}'),
        'b' => return plain('\u{8}'),
        'f' => return plain('\u{c}'),
        'n' => return plain('\n'),
        'r' => return plain('\r'),
        't' => return plain('\t'),
        'v' => return plain('\u{b}'),
        '\\' | '\'' | '"' | '`' | '?' => return plain(first),
        'x' | 'X' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='3' => (2, 8),
        _ => return None,
    };
    let octal = (radix == 8).then_some(first);
    let digits: String = octal.into_iter().chain(chars.by_ref().take(count)).collect();
    // `from_str_radix` takes a sign.
    if digits.len() != count + usize::from(radix == 8) || digits.starts_with('+') {
        return None;
    }
    let value = u32::from_str_radix(&digits, radix).ok()?;
    Some((value, count == 2))
}

const BAD_ESCAPE: &str = "unable to unescape string";

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut chars = text.chars();
    let mut made = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        if c != '\\' {
            made.push(c);
            continue;
        }
        let code = escape(&mut chars).and_then(|(code, _)| char::from_u32(code));
        made.push(code.ok_or(BAD_ESCAPE)?);
    }
    Ok(made)
}

fn unescape_bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut chars = text.chars();
    let mut made = Vec::with_capacity(text.len());
    let push = |made: &mut Vec<u8>, c: char| made.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut made, c);
            continue;
        }
        match escape(&mut chars) {
            Some((code, true)) => made.push(u8::try_from(code).map_err(|_| BAD_ESCAPE)?),
            Some((code, false)) => push(&mut made, char::from_u32(code).ok_or(BAD_ESCAPE)?),
            None => return Err(BAD_ESCAPE),
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: &str) -> Token {
        let mut issues = Vec::new();
        let mut all = tokens(source, &mut issues);
        assert!(issues.is_empty(), "{source}: {issues:?}");
        all.swap_remove(0).token
    }

    #[test]
    fn literals() {
        let text = |s: &str| Token::String(s.to_owned());
        assert_eq!(one(r#""a\"b\n""#), text("a\"b\n"));
        assert_eq!(one(r"r'\d+'"), text(r"\d+"));
        assert_eq!(one("'''it's\ntwo'''"), text("it's\ntwo"));
        assert_eq!(one(r"'\u00e4\x41\101'"), text("äAA"));
        assert_eq!(one(r"b'\xff\377ä'"), Token::Bytes(vec![255, 255, 0xc3, 0xa4]));
        assert_eq!(one("0x1Fu"), Token::Uint(31));
        assert_eq!(one("12"), Token::Int(12));
        assert_eq!(one(".5e1"), Token::Double(5.0));
        assert_eq!(one("1e3"), Token::Double(1000.0));
        assert_eq!(one("// gone\nb"), Token::Ident("b".to_owned()));
    }

    #[test]
    fn what_is_no_token() {
        for bad in [
            "'abc",
            "'a\nb'",
            "#",
            "ÿ",
            r"'\q'",
            r"'\x+1'",
            r"'\ud800'",
            "99999999999999999999",
            "'\\",
        ] {
            let mut issues = Vec::new();
            tokens(bad, &mut issues);
            assert!(!issues.is_empty(), "{bad}");
        }
    }
}
