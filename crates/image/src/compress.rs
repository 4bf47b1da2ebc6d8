//! Readers that find out by the first bytes how a stream is compressed.

use std::io::{self, BufReader, Chain, Cursor, Read};

/// A decompressing reader over gzip, zstd, xz or plain bytes.
pub(crate) fn reader<'a, R: Read + Send + 'a>(inner: R) -> io::Result<Box<dyn Read + Send + 'a>> {
    let (magic, inner) = peek(inner)?;
    let inner = BufReader::with_capacity(128 << 10, inner);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(inner)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(inner)?),
        // 1 GiB: far above the dictionary of any real file, far below what would hurt.
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(inner, true, 1 << 20))
        }
        _ => Box::new(inner),
    })
}

/// A reader of which the first bytes were looked at.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// The first six bytes, and a reader that still has them.
fn peek<R: Read>(mut inner: R) -> io::Result<(Vec<u8>, Whole<R>)> {
    let mut magic = Vec::new();
    inner.by_ref().take(6).read_to_end(&mut magic)?;
    Ok((magic.clone(), Cursor::new(magic).chain(inner)))
}

/// Decompresses the whole of `bytes`, refusing more than `limit`.
pub(crate) fn decompress(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader(bytes)?.take(limit + 1).read_to_end(&mut out)?;
    if out.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is larger than {limit} bytes decompressed"),
        ));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn by_magic() {
        let text = b"the same text, whatever it was packed in".repeat(100);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&text).unwrap();
        let zst = zstd::bulk::compress(&text, 3).unwrap();
        for packed in [gz.finish().unwrap(), zst, text.clone()] {
            assert_eq!(decompress(&packed, 1 << 20).unwrap(), text);
            assert!(decompress(&packed, 100).is_err());
        }
        assert_eq!(decompress(b"", 10).unwrap(), b"");
        assert_eq!(decompress(b"ab", 10).unwrap(), b"ab");
    }
}
