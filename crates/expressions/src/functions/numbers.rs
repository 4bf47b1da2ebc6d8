//! Arithmetic, which fails where it overflows (cel-go `common/types/overflow.go`).
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Done;
use crate::{
    evaluate::{Failure, no_overload},
    value::{Text, Value},
};

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";
const DURATION: &str = "duration overflow";
const TIMESTAMP: &str = "timestamp overflow";

fn or<T>(value: Option<T>, why: &str) -> Result<T, Failure> {
    value.ok_or_else(|| why.into())
}

pub fn operator<'a>(name: &str, args: &[Value<'a>]) -> Done<'a> {
    let (a, b) = match args {
        [Value::Int(n)] => return or(n.checked_neg(), INT).map(Value::Int),
        [Value::Double(n)] => return Ok(Value::Double(-n)),
        [a, b] => (a, b),
        _ => return Err(no_overload()),
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int(name, *a, *b).map(Value::Int),
        (Value::Uint(a), Value::Uint(b)) => uint(name, *a, *b).map(Value::Uint),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(match name {
            "_+_" => a + b,
            "_-_" => a - b,
            "_*_" => a * b,
            "_/_" => a / b,
            _ => return Err(no_overload()),
        })),
        (Value::String(a), Value::String(b)) if name == "_+_" => {
            let mut both = String::with_capacity(a.len() + b.len());
            both.push_str(a);
            both.push_str(b);
            Ok(Value::String(Text::Made(both.into())))
        }
        (Value::Bytes(a), Value::Bytes(b)) if name == "_+_" => {
            Ok(Value::Bytes(Arc::from([&**a, &**b].concat())))
        }
        (Value::List(a), Value::List(b)) if name == "_+_" => Ok(Value::List(a.plus(b))),
        (Value::Duration(a), Value::Duration(b)) => match name {
            "_+_" => or(a.checked_add(*b), DURATION).map(Value::Duration),
            "_-_" => or(a.checked_sub(*b), DURATION).map(Value::Duration),
            _ => Err(no_overload()),
        },
        (Value::Timestamp(time), Value::Duration(by)) | (Value::Duration(by), Value::Timestamp(time))
            if name == "_+_" =>
        {
            moved(*time, *by)
        }
        (Value::Timestamp(time), Value::Duration(by)) if name == "_-_" => {
            moved(*time, or(by.checked_neg(), DURATION)?)
        }
        (Value::Timestamp(a), Value::Timestamp(b)) if name == "_-_" => {
            let between = a.as_nanosecond() - b.as_nanosecond();
            or(i64::try_from(between).ok(), DURATION).map(Value::Duration)
        }
        _ => Err(no_overload()),
    }
}

fn moved<'a>(time: Timestamp, by: i64) -> Done<'a> {
    let moved = time.checked_add(SignedDuration::from_nanos(by)).ok();
    or(moved, TIMESTAMP).map(Value::Timestamp)
}

fn int(name: &str, a: i64, b: i64) -> Result<i64, Failure> {
    match name {
        "_+_" => or(a.checked_add(b), INT),
        "_-_" => or(a.checked_sub(b), INT),
        "_*_" => or(a.checked_mul(b), INT),
        "_/_" if b == 0 => Err("division by zero".into()),
        "_/_" => or(a.checked_div(b), INT),
        _ if b == 0 => Err("modulus by zero".into()),
        _ => or(a.checked_rem(b), INT),
    }
}

fn uint(name: &str, a: u64, b: u64) -> Result<u64, Failure> {
    match name {
        "_+_" => or(a.checked_add(b), UINT),
        "_-_" => or(a.checked_sub(b), UINT),
        "_*_" => or(a.checked_mul(b), UINT),
        "_/_" => or(a.checked_div(b), "division by zero"),
        _ => or(a.checked_rem(b), "modulus by zero"),
    }
}
