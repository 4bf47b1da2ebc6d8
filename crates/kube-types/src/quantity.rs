//! `resource.Quantity`: fixed-point numbers with SI suffixes.

use std::{cmp::Ordering, fmt, str::FromStr};

use thiserror::Error;

const NANOS: i128 = 1_000_000_000;
/// 10²⁸ units; a round number, so that it prints and reads back in any format.
const LARGEST: i128 = 10i128.pow(37);

/// A fixed-point number down to 10⁻⁹ that remembers in which family of suffixes it was written.
///
/// Equality and order are by value: `1000m` equals `1`. Unlike upstream, which switches to arbitrary precision, numbers
/// beyond 10²⁸ are held at that bound.
#[derive(Debug, Clone)]
pub struct Quantity {
    nanos: i128,
    format: Format,
    /// What was parsed, when upstream would keep it: `1.500` stays `1.500`.
    text: Option<Box<str>>,
}

/// A family of suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `1e3`.
    DecimalExponent,
    /// `1k`, `500m`.
    DecimalSi,
    /// `1Ki`.
    BinarySi,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The digits are no number.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// An unknown suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// A whole number.
    pub fn from_integer(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * NANOS,
            format: Format::DecimalSi,
            text: None,
        }
    }

    /// A number of thousandths, such as CPU millicores.
    pub fn from_milli(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * (NANOS / 1000),
            format: Format::DecimalSi,
            text: None,
        }
    }

    /// A whole number that is written with binary suffixes, such as bytes of memory.
    pub fn from_bytes(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * NANOS,
            format: Format::BinarySi,
            text: None,
        }
    }

    /// A number of billionths, such as CPU nanocores.
    pub fn from_nano(value: i128, format: Format) -> Self {
        Self {
            nanos: value.clamp(-LARGEST, LARGEST),
            format,
            text: None,
        }
    }

    /// The number in whole units, rounded away from zero.
    pub fn value(&self) -> i64 {
        self.scaled(NANOS)
    }

    /// The number in thousandths, rounded away from zero.
    pub fn milli_value(&self) -> i64 {
        self.scaled(NANOS / 1000)
    }

    /// Whether upstream finds thousandths that are no whole: its numbers of a few digits are zero thousandths where those do not fit
    /// 64 bits, and its large ones wrap (`quantity.go` ScaledValue).
    pub fn has_thousandths(&self) -> bool {
        let unit = NANOS / 1000;
        let milli = self.nanos / unit + (self.nanos % unit).signum();
        match i64::try_from(milli) {
            Ok(milli) => milli % 1000 != 0,
            Err(_) => self.text.is_none() && milli as i64 % 1000 != 0,
        }
    }

    /// The number in billionths.
    pub fn nano_value(&self) -> i128 {
        self.nanos
    }

    /// The nearest floating point number.
    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// The family of suffixes it is written with.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The text that upstream's parser keeps beside the number, for it needs no other form; it is part of hashes.
    pub fn kept_text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whether there is nothing after the decimal point.
    pub fn is_integer(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// The sum, in this one's format unless it is zero.
    pub fn add(&self, other: &Self) -> Self {
        self.combine(other, self.nanos.saturating_add(other.nanos))
    }

    /// The difference, in this one's format unless it is zero.
    pub fn sub(&self, other: &Self) -> Self {
        self.combine(other, self.nanos.saturating_sub(other.nanos))
    }

    /// The product with a whole number.
    pub fn mul(&self, factor: i64) -> Self {
        Self::from_nano(self.nanos.saturating_mul(i128::from(factor)), self.format)
    }

    /// The negative.
    pub fn neg(&self) -> Self {
        Self::from_nano(-self.nanos, self.format)
    }

    /// The canonical text, whatever was parsed: `1000m` gives `1`.
    pub fn canonical(&self) -> String {
        if self.nanos == 0 {
            return "0".to_owned();
        }
        let small = self.nanos > -1024 * NANOS && self.nanos < 1024 * NANOS;
        match self.format {
            Format::BinarySi if !small && self.is_integer() => {
                let (mantissa, times) = strip_factor(self.nanos / NANOS, 1024, 6);
                format!("{mantissa}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][times])
            }
            Format::DecimalExponent => {
                let (mantissa, exponent) = self.decimal(usize::MAX);
                if exponent == 0 {
                    mantissa.to_string()
                } else {
                    format!("{mantissa}e{exponent}")
                }
            }
            _ => {
                let (mantissa, exponent) = self.decimal(9);
                let index = usize::try_from(exponent / 3 + 3).unwrap_or_default();
                format!(
                    "{mantissa}{}",
                    ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][index]
                )
            }
        }
    }

    /// Mantissa and an exponent that is a multiple of three, at most `most` steps above nano.
    fn decimal(&self, most: usize) -> (i128, i32) {
        let (mantissa, times) = strip_factor(self.nanos, 1000, most);
        (mantissa, times as i32 * 3 - 9)
    }

    fn scaled(&self, unit: i128) -> i64 {
        let (whole, rest) = (self.nanos / unit, self.nanos % unit);
        let value = whole + rest.signum();
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    fn combine(&self, other: &Self, nanos: i128) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self::from_nano(nanos, format)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let parts = Parts::split(text)?;
        let (base, exponent, format) = suffix(parts.suffix).ok_or(QuantityError::Suffix)?;
        let digits: String = format!("{}{}", parts.whole, parts.fraction);
        // Thirty digits are past the bound already; what follows only moves the point.
        let kept = &digits[..digits.len().min(30)];
        let dropped = (digits.len() - kept.len()) as i32;
        let number: i128 = if kept.is_empty() {
            0
        } else {
            kept.parse().map_err(|_| QuantityError::Numeric)?
        };
        let point = dropped - parts.fraction.len() as i32 + 9;
        let mut format = format;
        let mut nanos = if base == 2 {
            parts.binary(exponent)
        } else {
            shift(number, point.saturating_add(exponent))
        };
        if format == Format::BinarySi {
            nanos = nanos.min(i128::from(i64::MAX) * NANOS);
            if nanos > 0 && nanos < NANOS {
                format = Format::DecimalSi;
            }
        }
        if parts.negative {
            nanos = -nanos;
        }
        let text = parts
            .keeps_text(number, base, exponent, nanos)
            .then(|| text.into());
        Ok(Self { nanos, format, text })
    }
}

/// The text cut up as upstream's `parseQuantityString` does.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let unpadded = rest.trim_start_matches('0');
        let (whole, rest) = split_digits(unpadded);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        let letters = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
        let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityError::Format);
        }
        Ok(Self {
            negative,
            whole,
            fraction,
            suffix,
        })
    }

    /// The number times a power of two in nano, rounded up.
    fn binary(&self, exponent: i32) -> i128 {
        let unit = NANOS << exponent;
        // From the last digit on: what any division leaves over is too little to be seen, and rounds the end up.
        let (mut below, mut rest) = (0, false);
        for digit in self.fraction.bytes().rev() {
            let sum = i128::from(digit - b'0') * unit + below;
            below = sum / 10;
            rest |= sum % 10 != 0;
        }
        let whole = if self.whole.is_empty() {
            0
        } else {
            let number = self.whole.parse().ok();
            number.and_then(|n: i128| n.checked_mul(unit)).unwrap_or(LARGEST)
        };
        whole.saturating_add(below + i128::from(rest))
    }

    /// Upstream keeps the text of numbers that are canonical enough (the fast path of `ParseQuantity`).
    fn keeps_text(&self, number: i128, base: u32, exponent: i32, nanos: i128) -> bool {
        if nanos == 0 && self.whole.is_empty() {
            return false;
        }
        let digits = self.whole.len().max(1) as i32 + self.fraction.len() as i32;
        if base == 2 {
            let precision = 15 - digits - (exponent as f32 * 3.0 / 10.0) as i32 - 1;
            return self.fraction.is_empty() && precision >= 0 && exponent % 10 == 0 && number & 7 != 0;
        }
        let scale = exponent - self.fraction.len() as i32;
        let trailing_zeros = format!("{}{}", self.whole, self.fraction).ends_with("000");
        digits <= 18 && scale >= -9 && scale % 3 == 0 && !trailing_zeros && !self.whole.is_empty()
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Base, exponent and format of a suffix.
fn suffix(text: &str) -> Option<(u32, i32, Format)> {
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"]
        .iter()
        .position(|s| *s == text);
    if let Some(i) = decimal {
        return Some((10, i as i32 * 3 - 9, Format::DecimalSi));
    }
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
        .iter()
        .position(|s| *s == text);
    if let Some(i) = binary {
        return Some((2, (i as i32 + 1) * 10, Format::BinarySi));
    }
    let exponent = text.strip_prefix(['e', 'E']).filter(|e| !e.is_empty())?;
    let exponent: i64 = exponent.parse().ok()?;
    Some((10, exponent.clamp(-1000, 1000) as i32, Format::DecimalExponent))
}

/// `number`·10^`places`, rounded up where digits are lost, within bounds.
fn shift(number: i128, places: i32) -> i128 {
    if number == 0 {
        return 0;
    }
    let power = 10i128.checked_pow(places.unsigned_abs());
    match (places >= 0, power) {
        (true, Some(power)) => number.checked_mul(power).unwrap_or(LARGEST).min(LARGEST),
        (true, None) => LARGEST,
        (false, Some(power)) => (number / power + i128::from(number % power != 0)).min(LARGEST),
        (false, None) => 1,
    }
}

fn strip_factor(mut number: i128, factor: i128, most: usize) -> (i128, usize) {
    let mut times = 0;
    while times < most && number != 0 && number % factor == 0 {
        number /= factor;
        times += 1;
    }
    (number, times)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.pad(text),
            None => f.pad(&self.canonical()),
        }
    }
}

impl Default for Quantity {
    fn default() -> Self {
        Self::from_integer(0)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        input.parse::<Quantity>().unwrap().to_string()
    }

    #[test]
    fn thousandths_as_upstream_counts_them() {
        for (input, has) in [
            ("1", false),
            ("1500m", true),
            ("100u", true),
            ("1E", false),
            ("9223372036854775807", false),
            ("1Ei", true),
            ("4Ei", false),
        ] {
            assert_eq!(
                input.parse::<Quantity>().unwrap().has_thousandths(),
                has,
                "{input}"
            );
        }
    }

    #[test]
    fn round_trips_as_upstream() {
        for (input, output) in [
            ("0", "0"),
            ("0Gi", "0"),
            ("0m", "0"),
            ("-0", "0"),
            ("+", "0"),
            (".", "0"),
            ("1", "1"),
            ("+1", "+1"),
            ("1000m", "1"),
            ("100m", "100m"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1.500", "1.500"),
            (".5", "500m"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1500", "1500"),
            ("128Mi", "128Mi"),
            ("1024Ki", "1Mi"),
            ("1025Ki", "1025Ki"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("10e3", "10e3"),
            ("100e1", "1e3"),
            ("1E", "1E"),
            ("2Ei", "2Ei"),
            ("100Ei", "9223372036854775807"),
            ("0.1n", "1n"),
            ("-1.5", "-1500m"),
            ("500u", "500u"),
            ("12345678901234567890", "12345678901234567890"),
        ] {
            assert_eq!(text(input), output, "{input}");
        }
    }

    /// Found by fuzzing: many digits times a large power were a small number.
    #[test]
    fn many_digits_of_a_large_unit() {
        let fives: Quantity = format!(".{}Ei", "5".repeat(92)).parse().unwrap();
        // As exact fractions give it, rounded up.
        assert_eq!(fives.value(), 640_511_947_003_803_876);
        assert_eq!(".5Ei".parse::<Quantity>().unwrap().value(), 1 << 59);
        let capped: Quantity = format!("{}Ki", "9".repeat(60)).parse().unwrap();
        assert_eq!(capped.value(), i64::MAX);
    }

    #[test]
    fn rejects() {
        for (input, error) in [
            ("", QuantityError::Format),
            ("1 ", QuantityError::Format),
            ("1Mi5x", QuantityError::Format),
            ("abc", QuantityError::Format),
            ("1.2.3", QuantityError::Format),
            ("1Kib", QuantityError::Format),
            ("1K", QuantityError::Suffix),
            ("1mm", QuantityError::Suffix),
            ("1e", QuantityError::Suffix),
        ] {
            assert_eq!(input.parse::<Quantity>().unwrap_err(), error, "{input}");
        }
    }

    #[test]
    fn values_round_away_from_zero() {
        let q = |s: &str| s.parse::<Quantity>().unwrap();
        assert_eq!(q("100m").value(), 1);
        assert_eq!(q("-100m").value(), -1);
        assert_eq!(q("1.5").milli_value(), 1500);
        assert_eq!(q("1n").milli_value(), 1);
        assert_eq!(q("1Gi").value(), 1 << 30);
        assert_eq!(q("1000m"), q("1"));
        assert!(q("999m") < q("1"));
    }

    #[test]
    fn sums() {
        let q = |s: &str| s.parse::<Quantity>().unwrap();
        assert_eq!(q("100m").add(&q("1")).to_string(), "1100m");
        assert_eq!(q("0").add(&q("1Gi")).to_string(), "1Gi");
        assert_eq!(q("1Gi").sub(&q("512Mi")).to_string(), "512Mi");
        assert_eq!(q("250m").mul(4).to_string(), "1");
        assert_eq!(Quantity::from_bytes(1000).to_string(), "1k");
        assert_eq!(Quantity::from_bytes(16 << 30).to_string(), "16Gi");
    }
}
