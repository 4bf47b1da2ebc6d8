//! Resource quantities as numbers: what the scheduler, quota and volume decisions count with.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in thousandths, rounded up; `None` when it is not a quantity.
pub(crate) fn milli(quantity: &Quantity) -> Option<i64> {
    parse(&quantity.0, 1000)
}

/// The quantity in whole units, rounded up.
pub(crate) fn units(quantity: &Quantity) -> Option<i64> {
    parse(&quantity.0, 1)
}

/// `text * scale`, rounded up (away from zero for fractions, as upstream's `Value()` and `MilliValue()`).
fn parse(text: &str, scale: i128) -> Option<i64> {
    let text = text.trim();
    let split = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && (*c == '-' || *c == '+'))))
        .map_or(text.len(), |(at, _)| at);
    let (number, suffix) = text.split_at(split);
    let (mul, div): (i128, i128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent >= 0 { (power, 1) } else { (1, power) }
        }
    };
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(9)];
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = div.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let product = mantissa.checked_mul(mul)?.checked_mul(scale)?;
    let value = product / divisor + i128::from(product % divisor != 0);
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_notations() {
        let q = |s: &str| Quantity(s.to_owned());
        assert_eq!(milli(&q("100m")), Some(100));
        assert_eq!(milli(&q("1.5")), Some(1500));
        assert_eq!(milli(&q("2")), Some(2000));
        assert_eq!(milli(&q("1n")), Some(1));
        assert_eq!(units(&q("1Gi")), Some(1 << 30));
        assert_eq!(units(&q("1.5Ki")), Some(1536));
        assert_eq!(units(&q("1e3")), Some(1000));
        assert_eq!(units(&q("100m")), Some(1));
        assert_eq!(units(&q("-3")), Some(-3));
        assert_eq!(units(&q("abc")), None);
        assert_eq!(units(&q("")), None);
    }
}
