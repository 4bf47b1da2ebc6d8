//! A cursor over the text of JSON, for those who need what a parser does not keep: the order of keys, keys that come twice, the
//! characters of numbers.

/// Deeper documents are refused by the parser that runs before.
pub(crate) const MAX_DEPTH: usize = 256;

/// Where a reader is. Every method answers nothing where the text is not JSON; what is between the values need not be right
/// otherwise, for the documents have been parsed before.
pub(crate) struct Cursor<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    /// The next character that is not space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while self.json.get(self.at).is_some_and(|b| b" \t\r\n".contains(b)) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }

    /// Go past the character that [`Cursor::peek`] told.
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// Whether the object or list that was opened has another entry; goes past the comma before it or past the end.
    pub(crate) fn more(&mut self, first: &mut bool, end: u8) -> Option<bool> {
        let found = self.peek()?;
        if found == end {
            self.step();
            return Some(false);
        }
        if !std::mem::take(first) {
            (found == b',').then(|| self.step())?;
        }
        Some(true)
    }

    /// A key, unescaped; goes past its colon.
    pub(crate) fn key(&mut self) -> Option<String> {
        let key = serde_json::from_slice(self.string()?).ok()?;
        (self.peek()? == b':').then(|| self.step())?;
        Some(key)
    }

    /// A string with its quotes and escapes.
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        (self.peek()? == b'"').then_some(())?;
        let start = self.at;
        self.step();
        loop {
            match self.json.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.step();
        self.json.get(start..self.at)
    }

    /// A number, `true`, `false` or `null`.
    pub(crate) fn literal(&mut self) -> Option<&'a str> {
        let rest = &self.json[self.at..];
        let length = rest.iter().position(|b| b",]} \t\r\n".contains(b));
        let text = std::str::from_utf8(&rest[..length.unwrap_or(rest.len())]).ok()?;
        self.at += text.len();
        (!text.is_empty()).then_some(text)
    }
}
