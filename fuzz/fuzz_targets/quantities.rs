//! Quantities: what is printed reads back as the same, arithmetic does not panic.
#![no_main]
use kube_types::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(quantity) = text.parse::<Quantity>() else { return };
    for printed in [quantity.to_string(), quantity.canonical()] {
        let again: Quantity = printed.parse().unwrap_or_else(|e| panic!("{text:?} is printed as {printed:?}: {e}"));
        assert_eq!(again.canonical(), quantity.canonical(), "{printed:?}");
    }
    let _ = (quantity.value(), quantity.milli_value(), quantity.as_f64(), quantity.sign());
    let _ = (quantity.add(&quantity).canonical(), quantity.sub(&quantity).canonical(), quantity.mul(i64::MAX).canonical());
});
