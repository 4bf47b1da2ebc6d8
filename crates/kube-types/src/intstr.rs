//! `intstr.IntOrString`: a number, a percentage or a port's name.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// A number or a string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A string: a percentage, or the name of a port.
    String(String),
}

/// Why a value cannot be scaled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IntOrStringError {
    /// A string without a percent sign.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotPercent,
    /// Not a number before the percent sign.
    #[error(
        "invalid value for IntOrString: invalid value {0:?}: strconv.Atoi: parsing {1:?}: invalid syntax"
    )]
    Number(String, String),
}

impl IntOrString {
    /// From JSON; `None` for other types and numbers that do not fit.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_i64().and_then(|n| i32::try_from(n).ok()).map(Self::Int),
            Value::String(text) => Some(Self::String(text.clone())),
            _ => None,
        }
    }

    /// The number; a string that is one counts.
    pub fn as_int(&self) -> i32 {
        match self {
            Self::Int(value) => *value,
            Self::String(text) => text.parse().unwrap_or_default(),
        }
    }

    /// The number itself, or that percentage of `total`, rounded up or down.
    pub fn scaled(&self, total: i64, round_up: bool) -> Result<i64, IntOrStringError> {
        let text = match self {
            Self::Int(value) => return Ok(i64::from(*value)),
            Self::String(text) => text,
        };
        let digits = text.strip_suffix('%').ok_or(IntOrStringError::NotPercent)?;
        let percent: i64 = digits
            .parse()
            .map_err(|_| IntOrStringError::Number(text.clone(), digits.to_owned()))?;
        let product = i128::from(percent) * i128::from(total);
        let floor = product.div_euclid(100);
        Ok((floor + i128::from(round_up && product.rem_euclid(100) != 0)) as i64)
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::String(text) => f.write_str(text),
        }
    }
}

impl From<i32> for IntOrString {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for IntOrString {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales() {
        assert_eq!(IntOrString::from("25%").scaled(10, true), Ok(3));
        assert_eq!(IntOrString::from("25%").scaled(10, false), Ok(2));
        assert_eq!(IntOrString::from(4).scaled(10, false), Ok(4));
        assert_eq!(
            IntOrString::from("http").scaled(1, false),
            Err(IntOrStringError::NotPercent)
        );
        assert!(
            IntOrString::from("x%")
                .scaled(1, false)
                .unwrap_err()
                .to_string()
                .contains("strconv.Atoi")
        );
    }
}
