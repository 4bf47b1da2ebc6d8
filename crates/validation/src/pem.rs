//! Blocks of PEM as Go's `encoding/pem` finds them: what is around them, or is none, is passed over.
use base64::{Engine, engine::general_purpose::STANDARD};

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'t> {
    /// What it says it is.
    pub(crate) label: &'t str,
    /// How many headers it has.
    pub(crate) headers: usize,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The first block, and what follows it.
pub(crate) fn decode(text: &[u8]) -> Option<(Block<'_>, &[u8])> {
    let mut rest = text;
    loop {
        let (line, after) = line(rest)?;
        rest = after;
        if let Some(label) = label(line, BEGIN)
            && let Some(found) = block(label, rest)
        {
            return Some(found);
        }
    }
}

/// The first line, and what follows it; nothing at the end.
fn line(text: &[u8]) -> Option<(&str, &[u8])> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|b| *b == b'\n');
    let (line, rest) = match end {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, &[][..]),
    };
    // What is no text cannot be a line of a block.
    Some((str::from_utf8(line).unwrap_or_default().trim_end(), rest))
}

fn label<'t>(line: &'t str, mark: &str) -> Option<&'t str> {
    line.strip_prefix(mark)?.strip_suffix(DASHES)
}

fn block<'t>(own: &'t str, mut rest: &'t [u8]) -> Option<(Block<'t>, &'t [u8])> {
    let (mut headers, mut body, mut in_headers) = (0, String::new(), true);
    loop {
        let (line, after) = line(rest)?;
        rest = after;
        if line.starts_with(END) {
            let block = Block {
                label: own,
                headers,
                bytes: STANDARD.decode(body).ok()?,
            };
            return (label(line, END)? == own).then_some((block, rest));
        }
        if in_headers && line.contains(':') {
            headers += 1;
        } else if !line.is_empty() {
            in_headers = false;
            body.extend(line.split_whitespace());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_among_other_text() {
        let text = "before\n-----BEGIN A-----\nAAAA\nAAAA\n-----END A-----\nbetween\n-----BEGIN B-----\nx: y\n\n-----END B-----\n";
        let (first, rest) = decode(text.as_bytes()).unwrap();
        assert_eq!((first.label, first.headers, first.bytes.len()), ("A", 0, 6));
        let (second, rest) = decode(rest).unwrap();
        assert_eq!((second.label, second.headers, second.bytes.len()), ("B", 1, 0));
        assert_eq!(decode(rest), None);
        for none in [
            "",
            "AAAA",
            "-----BEGIN A-----\n!\n-----END A-----",
            "-----BEGIN A-----\nAAAA\n-----END B-----",
        ] {
            assert_eq!(decode(none.as_bytes()), None, "{none}");
        }
    }
}
