//! Quantities: what is printed reads back as the same amount (`2312.5Ki` is printed as `2368000`, whose own form is `2368k`, as upstream
//! has it), arithmetic does not panic.
#![no_main]
use kube_types::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(quantity) = text.parse::<Quantity>() else { return };
    for printed in [quantity.to_string(), quantity.canonical()] {
        let again: Quantity = printed.parse().unwrap_or_else(|e| panic!("{text:?} is printed as {printed:?}: {e}"));
        assert!(again == quantity, "{text:?} is printed as {printed:?}");
    }
    let _ = (quantity.value(), quantity.milli_value(), quantity.as_f64(), quantity.sign());
    let _ = (quantity.add(&quantity).canonical(), quantity.sub(&quantity).canonical(), quantity.mul(i64::MAX).canonical());
});
