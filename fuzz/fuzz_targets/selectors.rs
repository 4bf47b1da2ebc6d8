//! Label and field selectors: what is printed reads back as the same.
#![no_main]
use kube_types::{FieldSelector, LabelSelector};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let object = json!({"metadata": {"name": "n", "labels": {"a": "b", "": "", text: text}}, "status": {"phase": "Running"}});
    if let Ok(selector) = text.parse::<LabelSelector>() {
        let printed = selector.to_string();
        let again: LabelSelector = printed.parse().unwrap_or_else(|e| panic!("{text:?} is printed as {printed:?}: {e}"));
        assert_eq!(selector.matches_object(&object), again.matches_object(&object), "{printed:?}");
    }
    if let Ok(selector) = text.parse::<FieldSelector>() {
        let printed = selector.to_string();
        let again: FieldSelector = printed.parse().unwrap_or_else(|e| panic!("{text:?} is printed as {printed:?}: {e}"));
        assert_eq!(selector.matches_object(&object), again.matches_object(&object), "{printed:?}");
    }
});
