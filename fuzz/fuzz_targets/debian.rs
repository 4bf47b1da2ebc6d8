//! Debian's control files, versions, signed releases and package files.
#![no_main]
use image::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    fuzzing::control(&text);
    fuzzing::release(&text);
    fuzzing::package(bytes);
    let (a, b) = text.split_once('\n').unwrap_or((&text, "1"));
    assert_eq!(fuzzing::compare(a, b), fuzzing::compare(b, a).reverse(), "{a:?} {b:?}");
    assert!(fuzzing::compare(a, a).is_eq(), "{a:?}");
});
