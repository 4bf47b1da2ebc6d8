//! A document as it was written: the keys of objects in their order and numbers with all their characters. A parser keeps neither, and
//! upstream's decoder tells of the first wrong type in the text, with the number as it stands there.

/// A value of a document.
pub(crate) enum Written<'a> {
    /// The keys, also those that come twice, with their values.
    Object(Vec<(String, Written<'a>)>),
    /// The elements.
    List(Vec<Written<'a>>),
    /// A number's text.
    Number(&'a str),
    /// What is the same in any tree.
    Other,
}

/// Deeper documents are refused by the parser that runs before.
const MAX_DEPTH: usize = 256;

impl<'a> Written<'a> {
    /// Read JSON that parses; nothing on anything else.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { json, at: 0 };
        reader.value(0)
    }

    /// The value of a key, the last one where it comes twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(entries) = self else { return None };
        entries.iter().rev().find(|(name, _)| name == key).map(|e| &e.1)
    }

    /// The element of a list.
    pub(crate) fn at(&self, index: usize) -> Option<&Self> {
        let Self::List(list) = self else { return None };
        list.get(index)
    }

    /// The text of a number.
    pub(crate) fn number(&self) -> Option<&'a str> {
        let Self::Number(text) = self else { return None };
        Some(text)
    }
}

struct Reader<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Written<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match self.peek()? {
            b'{' => {
                let mut entries = Vec::new();
                self.each(b'}', |reader| {
                    let key = serde_json::from_slice(reader.string()?).ok()?;
                    (reader.peek()? == b':').then_some(())?;
                    reader.at += 1;
                    entries.push((key, reader.value(depth + 1)?));
                    Some(())
                })?;
                Written::Object(entries)
            }
            b'[' => {
                let mut list = Vec::new();
                self.each(b']', |reader| {
                    list.push(reader.value(depth + 1)?);
                    Some(())
                })?;
                Written::List(list)
            }
            b'"' => {
                self.string()?;
                Written::Other
            }
            _ => {
                let rest = &self.json[self.at..];
                let length = rest.iter().position(|b| b",]} \t\r\n".contains(b));
                let text = std::str::from_utf8(&rest[..length.unwrap_or(rest.len())]).ok()?;
                self.at += text.len();
                match text.as_bytes().first()? {
                    b'-' | b'0'..=b'9' => Written::Number(text),
                    _ => Written::Other,
                }
            }
        })
    }

    /// What stands between commas up to the closing character.
    fn each(&mut self, end: u8, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            one(self)?;
            let found = self.peek()?;
            self.at += 1;
            if found == end {
                return Some(());
            }
            (found == b',').then_some(())?;
        }
    }

    /// A string with its quotes and escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        (self.peek()? == b'"').then_some(())?;
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
        self.json.get(start..self.at)
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
    fn keeps_order_and_numbers() {
        let text = br#" {"b\n": [1e2, {"x": -0}, "1"], "a": true, "a" : 1.50 } "#;
        let read = Written::read(text).unwrap();
        let Written::Object(entries) = &read else { panic!() };
        assert_eq!(
            entries.iter().map(|e| e.0.as_str()).collect::<Vec<_>>(),
            ["b\n", "a", "a"]
        );
        let list = read.get("b\n").unwrap();
        assert_eq!(list.at(0).unwrap().number(), Some("1e2"));
        assert_eq!(list.at(1).unwrap().get("x").unwrap().number(), Some("-0"));
        assert_eq!(list.at(2).unwrap().number(), None);
        assert_eq!(read.get("a").unwrap().number(), Some("1.50"));
    }

    #[test]
    fn survives_rubbish() {
        for text in [
            "", "{", "{\"a", "{\"a\\", "[,", "{\"a\":", "]", "{\"a\":}", "\"\\", "{1:2}",
        ] {
            assert!(Written::read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Written::read("[".repeat(100_000).as_bytes()).is_none());
    }
}
