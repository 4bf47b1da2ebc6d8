//! Result documents: whatever reads is checked, compared and written again.
#![no_main]
use std::sync::OnceLock;

use fuzz::{Choices, mutate};
use libfuzzer_sys::fuzz_target;
use results::{Rules, Run};
use serde_json::Value;

static WHOLE: OnceLock<Value> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let whole = WHOLE.get_or_init(|| serde_json::from_str(include_str!("../seeds/run.json")).expect("a run"));
    let mut document = whole.clone();
    mutate(&mut Choices::new(bytes), &mut document);
    if let Ok(run) = Run::read(&document.to_string()) {
        let _ = results::verify(&run);
        let other = Run::read(&whole.to_string()).expect("a run");
        let _ = results::compare(&[&other], &[&run], Rules::default());
        let text = serde_json::to_string(&run).expect("a run is JSON");
        assert!(Run::read(&text).is_ok(), "{text}");
    }
});
