//! As much of SPDY/3.1 as Kubernetes' clients speak: streams with headers, data, resets and pings. There is no flow control:
//! the clients' library (moby/spdystream) has none either.
use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The dictionary of header blocks (SPDY/3 specification, section 2.6.10.1).
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");
/// The largest header block that is accepted, unpacked.
const MAX_HEADERS: usize = 64 * 1024;
/// The largest frame that is accepted.
const MAX_FRAME: usize = 1 << 20;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// The sender sends nothing more on the stream.
pub const FIN: u8 = 1;

/// A frame from the client.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A new stream with its headers, names in lower case.
    Open {
        /// Its number, odd for those of a client.
        stream: u32,
        /// Names in lower case and values.
        headers: Vec<(String, String)>,
        /// Whether nothing more comes on it.
        fin: bool,
    },
    /// Bytes of a stream.
    Data {
        /// Which one.
        stream: u32,
        /// The bytes.
        data: Bytes,
        /// Whether nothing more comes on it.
        fin: bool,
    },
    /// A stream is given up.
    Reset {
        /// Which one.
        stream: u32,
    },
    /// To be sent back.
    Ping {
        /// What tells it from others.
        id: u32,
    },
    /// The client opens no more streams.
    GoAway,
    /// Nothing to do.
    Other,
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("broken SPDY frame: {what}"))
}

/// Takes frames out of a byte stream.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    inflate: Decompress,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            inflate: Decompress::new(true),
        }
    }
}

impl Reader {
    /// More bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// The next whole frame, if it has come.
    #[allow(clippy::should_implement_trait, reason = "none now says nothing of later")]
    pub fn next(&mut self) -> Result<Option<Frame>> {
        if self.buffer.len() < 8 {
            return Ok(None);
        }
        let length = usize::from(self.buffer[5]) << 16
            | usize::from(self.buffer[6]) << 8
            | usize::from(self.buffer[7]);
        if length > MAX_FRAME {
            return Err(broken("too long"));
        }
        if self.buffer.len() < 8 + length {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(8 + length).freeze();
        let head = frame.get_u32();
        let flags = frame.get_u8();
        frame.advance(3);
        let fin = flags & FIN != 0;
        if head & 0x8000_0000 == 0 {
            return Ok(Some(Frame::Data {
                stream: head,
                data: frame,
                fin,
            }));
        }
        if head >> 16 & 0x7fff != 3 {
            return Err(broken("not version 3"));
        }
        let need = |n: usize| {
            if frame.len() < n {
                Err(broken("too short"))
            } else {
                Ok(())
            }
        };
        Ok(Some(match (head & 0xffff) as u16 {
            SYN_STREAM => {
                need(10)?;
                let stream = frame.get_u32() & 0x7fff_ffff;
                frame.advance(6);
                let headers = self.headers(&frame)?;
                Frame::Open { stream, headers, fin }
            }
            RST_STREAM => {
                need(8)?;
                Frame::Reset {
                    stream: frame.get_u32() & 0x7fff_ffff,
                }
            }
            PING => {
                need(4)?;
                Frame::Ping { id: frame.get_u32() }
            }
            GOAWAY => Frame::GoAway,
            // Its block must be unpacked: all blocks of a connection are one zlib stream.
            SYN_REPLY | HEADERS => {
                need(4)?;
                frame.advance(4);
                self.headers(&frame)?;
                Frame::Other
            }
            // Settings and window updates among them: there is no flow control.
            _ => Frame::Other,
        }))
    }

    fn headers(&mut self, packed: &[u8]) -> Result<Vec<(String, String)>> {
        let plain = self.unpack(packed)?;
        let mut block = plain.as_slice();
        let mut number = || -> Result<usize> {
            if block.len() < 4 {
                return Err(broken("short header block"));
            }
            Ok(block.get_u32() as usize)
        };
        let count = number()?;
        let mut headers = Vec::new();
        let mut rest = block;
        for _ in 0..count {
            let name = string(&mut rest)?;
            let value = string(&mut rest)?;
            headers.push((name, value));
        }
        Ok(headers)
    }

    fn unpack(&mut self, packed: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut input = packed;
        let mut chunk = [0; 4096];
        while !input.is_empty() {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, &mut chunk, FlushDecompress::Sync);
            let used = (self.inflate.total_in() - before_in) as usize;
            let made = (self.inflate.total_out() - before_out) as usize;
            input = &input[used..];
            out.extend_from_slice(&chunk[..made]);
            if out.len() > MAX_HEADERS {
                return Err(broken("header block too long"));
            }
            match status {
                Ok(Status::Ok | Status::BufError) if used + made > 0 => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate
                        .set_dictionary(DICTIONARY)
                        .map_err(|_| broken("header dictionary"))?;
                }
                Ok(_) | Err(_) => return Err(broken("header block does not unpack")),
            }
        }
        // What is left in the window after the last input byte.
        loop {
            let before = self.inflate.total_out();
            let status = self.inflate.decompress(&[], &mut chunk, FlushDecompress::Sync);
            let made = (self.inflate.total_out() - before) as usize;
            out.extend_from_slice(&chunk[..made]);
            if made == 0 || status.is_err() || out.len() > MAX_HEADERS {
                return Ok(out);
            }
        }
    }
}

fn string(block: &mut &[u8]) -> Result<String> {
    if block.len() < 4 {
        return Err(broken("short header block"));
    }
    let length = block.get_u32() as usize;
    if block.len() < length {
        return Err(broken("short header"));
    }
    let text = String::from_utf8_lossy(&block[..length]).into_owned();
    block.advance(length);
    Ok(text)
}

/// Makes frames.
#[derive(Debug)]
pub struct Writer {
    deflate: Compress,
}

impl Writer {
    /// A writer of a new connection.
    pub fn new() -> Result<Self> {
        let mut deflate = Compress::new(Compression::default(), true);
        deflate
            .set_dictionary(DICTIONARY)
            .map_err(|_| broken("header dictionary"))?;
        Ok(Self { deflate })
    }

    /// Accept a stream.
    pub fn reply(&mut self, stream: u32) -> Result<Bytes> {
        let block = self.pack(&[])?;
        let mut body = BytesMut::new();
        body.put_u32(stream);
        body.put_slice(&block);
        Ok(control(SYN_REPLY, 0, &body))
    }

    fn pack(&mut self, headers: &[(&str, &str)]) -> Result<Vec<u8>> {
        let mut plain = BytesMut::new();
        plain.put_u32(headers.len() as u32);
        for text in headers.iter().flat_map(|(k, v)| [k, v]) {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(plain.len() + 64);
        let start = self.deflate.total_in();
        loop {
            let rest = &plain[(self.deflate.total_in() - start) as usize..];
            out.reserve(64);
            self.deflate
                .compress_vec(rest, &mut out, FlushCompress::Sync)
                .map_err(|_| broken("cannot pack headers"))?;
            if (self.deflate.total_in() - start) as usize == plain.len() && out.len() < out.capacity() {
                return Ok(out);
            }
        }
    }

    /// A stream with headers, as clients open it.
    pub fn open(&mut self, stream: u32, headers: &[(&str, &str)]) -> Result<Bytes> {
        let block = self.pack(headers)?;
        let mut body = BytesMut::new();
        body.put_u32(stream);
        body.put_u32(0);
        body.put_u16(0);
        body.put_slice(&block);
        Ok(control(SYN_STREAM, 0, &body))
    }
}

/// Bytes of a stream.
pub fn data(stream: u32, bytes: &[u8], fin: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + bytes.len());
    out.put_u32(stream);
    out.put_u32(u32::from(if fin { FIN } else { 0 }) << 24 | (bytes.len() as u32 & 0x00ff_ffff));
    out.put_slice(bytes);
    out.freeze()
}

/// Give up a stream (status CANCEL).
pub fn reset(stream: u32) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u32(stream);
    body.put_u32(5);
    control(RST_STREAM, 0, &body)
}

/// Send a ping back.
pub fn ping(id: u32) -> Bytes {
    control(PING, 0, &id.to_be_bytes())
}

fn control(kind: u16, flags: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + body.len());
    out.put_u16(0x8003);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24 | (body.len() as u32 & 0x00ff_ffff));
    out.put_slice(body);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip() {
        let (mut writer, mut reader) = (Writer::new().unwrap(), Reader::default());
        let headers = [("streamtype", "data"), ("port", "80"), ("requestid", "0")];
        for stream in [1, 3, 5] {
            let bytes = writer.open(stream, &headers).unwrap();
            // Byte by byte: frames come in pieces.
            for (index, byte) in bytes.iter().enumerate() {
                assert_eq!(reader.next().unwrap(), None, "at {index}");
                reader.push(&[*byte]);
            }
            let owned = headers
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(
                reader.next().unwrap(),
                Some(Frame::Open {
                    stream,
                    headers: owned,
                    fin: false
                })
            );
        }
        reader.push(&data(1, b"hello", true));
        reader.push(&ping(7));
        reader.push(&writer.reply(3).unwrap());
        reader.push(&reset(5));
        assert_eq!(
            reader.next().unwrap(),
            Some(Frame::Data {
                stream: 1,
                data: Bytes::from("hello"),
                fin: true
            })
        );
        assert_eq!(reader.next().unwrap(), Some(Frame::Ping { id: 7 }));
        assert_eq!(reader.next().unwrap(), Some(Frame::Other));
        assert_eq!(reader.next().unwrap(), Some(Frame::Reset { stream: 5 }));
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn refuses_nonsense() {
        let mut reader = Reader::default();
        reader.push(&control(SYN_STREAM, 0, &[0; 40]));
        assert!(reader.next().is_err());
        let mut reader = Reader::default();
        reader.push(&[0x80, 0x02, 0, 1, 0, 0, 0, 0]);
        assert!(reader.next().is_err());
    }
}
