//! A document as it was written: the keys of objects in their order and numbers with all their characters. A parser keeps neither, and
//! upstream's decoder tells of the first wrong type in the text, with the number as it stands there.

use crate::text::{Cursor, MAX_DEPTH};

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

impl<'a> Written<'a> {
    /// Read JSON that parses; nothing on anything else.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        value(&mut Cursor::new(json), 0)
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

fn value<'a>(text: &mut Cursor<'a>, depth: usize) -> Option<Written<'a>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut first = true;
    Some(match text.peek()? {
        b'{' => {
            text.step();
            let mut entries = Vec::new();
            while text.more(&mut first, b'}')? {
                entries.push((text.key()?, value(text, depth + 1)?));
            }
            Written::Object(entries)
        }
        b'[' => {
            text.step();
            let mut list = Vec::new();
            while text.more(&mut first, b']')? {
                list.push(value(text, depth + 1)?);
            }
            Written::List(list)
        }
        b'"' => {
            text.string()?;
            Written::Other
        }
        b'-' | b'0'..=b'9' => Written::Number(text.literal()?),
        _ => {
            text.literal()?;
            Written::Other
        }
    })
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
