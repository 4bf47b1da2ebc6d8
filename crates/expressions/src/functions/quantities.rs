//! Quantities (`k8s.io/apiserver/pkg/cel/library/quantity.go`).
use std::sync::Arc;

use kube_types::Quantity;

use super::{Done, opaque::Opaque};
use crate::{evaluate::no_overload, value::Value};

fn of<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Opaque::Quantity(Arc::new(quantity)))
}

pub fn call<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    match (name, args) {
        ("quantity", [Value::String(text)]) => text.parse().map(of).map_err(|e| e.to_string().into()),
        ("isQuantity", [Value::String(text)]) => Ok(text.parse::<Quantity>().is_ok().into()),
        ("sign", [Value::Opaque(Opaque::Quantity(q))]) => Ok(Value::Int(q.sign().into())),
        ("isInteger", [Value::Opaque(Opaque::Quantity(q))]) => Ok(q.is_integer().into()),
        ("asInteger", [Value::Opaque(Opaque::Quantity(q))]) if q.is_integer() => Ok(Value::Int(q.value())),
        ("asInteger", [Value::Opaque(Opaque::Quantity(_))]) => Err("cannot convert value to integer".into()),
        ("asApproximateFloat", [Value::Opaque(Opaque::Quantity(q))]) => Ok(Value::Double(q.as_f64())),
        ("add" | "sub", [Value::Opaque(Opaque::Quantity(a)), b]) => {
            let other = match b {
                Value::Opaque(Opaque::Quantity(b)) => (**b).clone(),
                Value::Int(n) => Quantity::from_integer(*n),
                _ => return Err(no_overload()),
            };
            Ok(of(if name == "add" {
                a.add(&other)
            } else {
                a.sub(&other)
            }))
        }
        _ => Err(no_overload()),
    }
}
