//! SPDY frames: the same ones come out whether the bytes come at once or one by one.
#![no_main]
use libfuzzer_sys::fuzz_target;
use streaming::spdy::{Reader, Writer};

fn frames(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> (Vec<streaming::spdy::Frame>, bool) {
    let (mut reader, mut frames) = (Reader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece.as_ref());
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

fuzz_target!(|bytes: &[u8]| {
    // A stream with headers first: the fuzzer cannot make the compressed block.
    let open = Writer::new().and_then(|mut w| w.open(1, &[("streamtype", "data"), ("port", "80")])).expect("a stream is opened");
    for bytes in [bytes.to_vec(), [&open, bytes].concat()] {
        assert_eq!(frames(std::iter::once(&bytes)), frames(bytes.iter().map(|b| [*b])));
    }
});
