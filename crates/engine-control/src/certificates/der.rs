//! As much of DER as a certificate needs.

const SEQUENCE: u8 = 0x30;

/// A value with its tag and length.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    if length < 128 {
        out.extend(u8::try_from(length));
    } else {
        let bytes = length.to_be_bytes();
        let bytes: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
        out.extend(u8::try_from(bytes.len()).map(|n| 0x80 | n));
        out.extend(bytes);
    }
    out.extend(content);
    out
}

/// Values in one.
pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

/// The bytes of an object identifier.
pub(super) fn oid(bytes: &[u8]) -> Vec<u8> {
    tagged(6, bytes)
}

/// A number that is not negative, from its bytes.
pub(super) fn number(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if content.first().is_none_or(|b| *b >= 128) {
        content.insert(0, 0);
    }
    tagged(2, &content)
}

/// Whole bytes as a string of bits.
pub(super) fn bits(bytes: &[u8], unused: u8) -> Vec<u8> {
    let mut content = vec![unused];
    content.extend(bytes);
    tagged(3, &content)
}

/// An extension of a certificate.
pub(super) fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(id)];
    if critical {
        parts.push(tagged(1, &[0xff]));
    }
    parts.push(tagged(4, content));
    sequence(&parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers() {
        assert_eq!(tagged(4, &[1]), [4, 1, 1]);
        assert_eq!(tagged(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tagged(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(number(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(number(&[]), [2, 1, 0]);
    }
}
