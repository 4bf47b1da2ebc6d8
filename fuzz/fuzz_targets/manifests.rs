//! Manifests and templates that people write: YAML, JSON, Jinja, values.
#![no_main]
use deploy::{Templates, Values, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = parse("fuzz.yaml", text);
    let mut values = Values::new();
    let (head, body) = text.split_once('\n').unwrap_or((text, text));
    let _ = values.set(head);
    let _ = values.merge_toml("fuzz.toml", body);
    // The length keeps `range(10**9)` and the like from being found in numbers that take minutes.
    if text.len() < 200
        && let Ok(rendered) = Templates::default().render("fuzz.yaml.j2", body, &values)
    {
        let _ = parse("fuzz.yaml", &rendered);
    }
});
