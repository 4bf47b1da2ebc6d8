//! CEL: any text as an expression, and what it makes of an object, within its cost and without a panic.
#![no_main]
use std::sync::OnceLock;

use expressions::{Environment, Failure, Scope, Type, Value};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

struct Here;

fn object() -> &'static serde_json::Value {
    static OBJECT: OnceLock<serde_json::Value> = OnceLock::new();
    OBJECT.get_or_init(|| {
        json!({"a": 1, "b": "text", "list": [1, "x", null, {"k": 2.5}], "map": {"x": "10Gi", "y": "2026-01-01T00:00:00Z"},
            "deep": [[[["10.0.0.0/8"]]]], "big": 18_446_744_073_709_551_615_u64})
    })
}

impl Scope<'static> for Here {
    fn variable(&self, name: &str) -> Option<Result<Value<'static>, Failure>> {
        (name == "self").then(|| Ok(Value::of(object(), &Type::Dyn)))
    }
}

fuzz_target!(|source: &str| {
    let environment = Environment::default().with("self", Type::Dyn);
    match environment.compile(source) {
        Ok(program) => {
            let (result, cost) = program.run(&Here, 20_000);
            assert!(cost <= 20_000 || result.is_err());
            if let Ok(value) = result {
                let _ = value.json();
            }
        }
        Err(issues) => {
            let _ = expressions::display(source, &issues);
        }
    }
});
