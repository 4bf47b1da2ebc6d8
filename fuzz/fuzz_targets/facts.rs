//! The facts of machines, as other programs and other versions may write them: the doctor judges whatever is readable.
#![no_main]
use std::sync::OnceLock;

use fuzz::{Choices, mutate};
use libfuzzer_sys::fuzz_target;
use preflight::{Facts, Profile, Wanted};
use serde_json::Value;

static WHOLE: OnceLock<Value> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let mut document = WHOLE.get_or_init(|| serde_json::to_value(Facts::default()).expect("facts are JSON")).clone();
    let mut choices = Choices::new(bytes);
    let profile = choices.one(&[Profile::Node, Profile::ControlPlane, Profile::LocalEngine, Profile::Mongodb]);
    mutate(&mut choices, &mut document);
    if let Ok(facts) = serde_json::from_value::<Facts>(document) {
        let wanted = Wanted::new(profile, 1_800_000_000);
        let _ = preflight::judge(&facts, &wanted);
        let _ = preflight::judge_fleet(&[facts.clone(), facts], &wanted);
    }
});
