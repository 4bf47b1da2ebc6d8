//! What fuzzing reaches of the rooms that are otherwise closed: readers of what mirrors serve.
use std::cmp::Ordering;

use jiff::Timestamp;

use crate::debian::{control, deb, index::Index, release::Release, version};

/// A control file, its dependencies, an index made of it.
pub fn control(text: &str) {
    for paragraph in control::paragraphs(text) {
        for (_, value) in paragraph.fields() {
            for (_, alternatives) in control::dependencies(value) {
                for alternative in &alternatives {
                    let _ = alternative.accepts("1.0-1");
                }
            }
        }
    }
    let Some(index) = Index::compact("fuzz", text, "amd64").ok().and_then(Index::load) else {
        return;
    };
    for name in index.names() {
        let _ = (index.find(name).count(), index.providers(name).count());
    }
}

/// A release document, as it is once its signature holds.
pub fn release(text: &str) {
    if let Ok(release) = Release::parse("fuzz", text, "trixie") {
        let _ = (
            release.check_time("fuzz", Timestamp::UNIX_EPOCH),
            release.file("main/binary-amd64/Packages.xz"),
        );
    }
}

/// A package file.
pub fn package(bytes: &[u8]) {
    let _ = deb::read_from(bytes, "fuzz", |_| true);
}

/// Which of two versions is newer.
pub fn compare(a: &str, b: &str) -> Ordering {
    version::compare(a, b)
}
