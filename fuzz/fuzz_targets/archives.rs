//! Image archives: docker's and OCI's, whole or damaged, into a store.
#![no_main]
use std::cell::RefCell;

use image::Store;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static STORE: RefCell<Option<(tempfile::TempDir, Store)>> = const { RefCell::new(None) };
}

fuzz_target!(|bytes: &[u8]| {
    STORE.with_borrow_mut(|kept| {
        let (_, store) = kept.get_or_insert_with(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Store::open(folder.path()).expect("a store");
            (folder, store)
        });
        if let Ok(images) = store.import_from(bytes, "fuzz", "fuzz.example/x:1") {
            for image in &images {
                let _ = store.unpacked_layers(image);
            }
            *kept = None;
        }
    });
});
