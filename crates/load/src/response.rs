/// Where an answer stands in the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More bytes are needed.
    Partial,
    /// Whole: its status and length in bytes, and whether the server closes the connection after it.
    Whole { status: u16, length: usize, close: bool },
    /// Not HTTP/1.
    Malformed,
}

/// An answer's head may not be longer.
const MAX_HEAD: usize = 64 << 10;

/// Finds the end of the first answer in `bytes` by Content-Length or chunked coding.
pub(crate) fn progress(bytes: &[u8]) -> Progress {
    let Some(head_end) = find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD || !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
            Progress::Malformed
        } else {
            Progress::Partial
        };
    };
    let head = &bytes[..head_end];
    let status = head
        .get(9..12)
        .and_then(|s| std::str::from_utf8(s).ok())
        .and_then(|s| s.parse().ok());
    let (Some(status), true) = (status, head.starts_with(b"HTTP/1.")) else {
        return Progress::Malformed;
    };
    let body = head_end + 4;
    let Head {
        close,
        length,
        chunked,
    } = Head::read(head);
    if status == 204 || status == 304 {
        return Progress::Whole {
            status,
            length: body,
            close,
        };
    }
    if let Some(value) = length {
        let Some(length) = std::str::from_utf8(value)
            .ok()
            .and_then(|v| v.parse::<usize>().ok())
        else {
            return Progress::Malformed;
        };
        let Some(length) = body.checked_add(length) else {
            return Progress::Malformed;
        };
        return if bytes.len() >= length {
            Progress::Whole {
                status,
                length,
                close,
            }
        } else {
            Progress::Partial
        };
    }
    if chunked {
        return match chunks_end(bytes, body) {
            Ok(Some(length)) => Progress::Whole {
                status,
                length,
                close,
            },
            Ok(None) => Progress::Partial,
            Err(()) => Progress::Malformed,
        };
    }
    // A body that ends with the connection cannot be told from a broken one.
    Progress::Malformed
}

/// What the head says about the end of the answer.
#[derive(Default)]
struct Head<'a> {
    close: bool,
    length: Option<&'a [u8]>,
    chunked: bool,
}

impl<'a> Head<'a> {
    /// One pass; only lines whose name has the right length are looked at more closely.
    fn read(head: &'a [u8]) -> Head<'a> {
        let mut found = Head::default();
        for line in head.split(|&b| b == b'\n').skip(1) {
            let value = |name: &[u8]| {
                let (before, after) = line.split_at_checked(name.len())?;
                let value = after.strip_prefix(b":")?;
                before.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
            };
            match line.first() {
                Some(b'c' | b'C') => {
                    if let Some(length) = value(b"content-length") {
                        found.length.get_or_insert(length);
                    } else if let Some(how) = value(b"connection") {
                        found.close |= how.eq_ignore_ascii_case(b"close");
                    }
                }
                Some(b't' | b'T') => {
                    found.chunked |=
                        value(b"transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case(b"chunked"));
                }
                _ => {}
            }
        }
        found
    }
}

/// The end of a chunked body that begins at `at`; trailers are not supported.
fn chunks_end(bytes: &[u8], mut at: usize) -> Result<Option<usize>, ()> {
    loop {
        let Some(line) = bytes.get(at..).and_then(|rest| find(rest, b"\r\n")) else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).map_err(drop)?;
        let size =
            usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(drop)?;
        at = at
            .checked_add(line + 2)
            .and_then(|a| a.checked_add(size))
            .and_then(|a| a.checked_add(2))
            .ok_or(())?;
        if bytes.len() < at {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

/// Looks for the needle's first byte, which is rare in what is searched here, before it compares.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from
            + haystack
                .get(from..)?
                .iter()
                .position(|b| Some(b) == needle.first())?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found_at_every_split() {
        for (whole, status) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], 200),
            (
                b"HTTP/1.1 503 x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                503,
            ),
            (b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n", 204),
        ] {
            for cut in 0..whole.len() {
                assert_eq!(progress(&whole[..cut]), Progress::Partial, "{cut}");
            }
            let more = [whole, b"HTTP"].concat();
            let Progress::Whole {
                status: found,
                length,
                close,
            } = progress(&more)
            else {
                panic!("not whole")
            };
            assert_eq!((found, length, close), (status, whole.len(), status == 204));
        }
    }

    #[test]
    fn what_is_not_http_is_malformed() {
        assert_eq!(progress(b"SSH-2.0"), Progress::Malformed);
        assert_eq!(
            progress(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
            Progress::Malformed
        );
        assert_eq!(
            progress(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n"),
            Progress::Malformed
        );
        assert_eq!(progress(b"HTTP/1.1 200 OK\r\n\r\n"), Progress::Malformed);
    }

    #[test]
    fn headers_are_told_apart_by_their_whole_name() {
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Lengths: 9\r\nCONTENT-LENGTH:  2 \r\nConnections: close\r\n\r\nok";
        assert_eq!(
            progress(head),
            Progress::Whole {
                status: 200,
                length: head.len(),
                close: false
            }
        );
    }
}
