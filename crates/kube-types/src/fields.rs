//! Field selectors of query parameters: `metadata.name=a,status.phase!=Running`.
//! (`k8s.io/apimachinery/pkg/fields/selector.go`.)

use std::{fmt, str::FromStr};

use serde_json::Value;
use thiserror::Error;

/// All requirements must hold; none selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field, such as `spec.nodeName`.
    pub field: String,
    /// Whether it must equal, rather than differ from, the value.
    pub equal: bool,
    /// The value; absent fields are empty.
    pub value: String,
}

/// Why a selector is not understood, as upstream words it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldSelectorError {
    /// No operator.
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Term(String, String),
    /// A backslash before the wrong character.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A bare comma or equals sign in a value; upstream prints its code point.
    #[error("invalid field selector: unescaped character in value: {}", u32::from(*.0))]
    Unescaped(char),
}

impl FieldSelector {
    /// Its conditions, sorted by their texts.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the fields, looked up by `field`, are selected.
    pub fn matches(&self, field: impl Fn(&str) -> Option<String>) -> bool {
        self.requirements
            .iter()
            .all(|r| (field(&r.field).unwrap_or_default() == r.value) == r.equal)
    }

    /// Whether an object is selected, with fields as paths into it. Which fields may be asked of which kind is the API's rule.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(|path| {
            let value = path.split('.').try_fold(object, |value, name| value.get(name))?;
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Null => None,
                other => Some(other.to_string()),
            }
        })
    }

    /// The value that `field` must equal, if there is such a condition.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements
            .iter()
            .find(|r| r.equal && r.field == field)
            .map(|r| r.value.as_str())
    }
}

impl FromStr for FieldSelector {
    type Err = FieldSelectorError;

    fn from_str(text: &str) -> Result<Self, FieldSelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|t| !t.is_empty()) {
            let (field, operator, value) =
                split_term(term).ok_or_else(|| FieldSelectorError::Term(text.to_owned(), term.to_owned()))?;
            let value = unescape(value)?;
            // Nothing about nothing selects everything (`hasTerm.Transform`).
            if field.is_empty() && value.is_empty() {
                continue;
            }
            requirements.push(FieldRequirement {
                field: field.to_owned(),
                equal: operator != "!=",
                value,
            });
        }
        Ok(Self { requirements })
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split_term(term: &str) -> Option<(&str, &str, &str)> {
    term.char_indices().find_map(|(i, _)| {
        let operator = ["!=", "==", "="].into_iter().find(|o| term[i..].starts_with(o))?;
        Some((&term[..i], operator, &term[i + operator.len()..]))
    })
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c)),
            c => text.push(c),
        }
    }
    Ok(text)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let value = r
                .value
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace('=', "\\=");
            write!(
                f,
                "{}{}{}{value}",
                if i > 0 { "," } else { "" },
                r.field,
                if r.equal { "=" } else { "!=" }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn matching() {
        let pod = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"hostNetwork": true}, "status": {"phase": "Running"}});
        for (selector, expected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,metadata.namespace=n", true),
            ("metadata.name!=a", false),
            ("spec.nodeName=", true),
            ("spec.nodeName!=", false),
            ("spec.hostNetwork=true", true),
            ("status.phase!=Running", false),
        ] {
            assert_eq!(
                selector.parse::<FieldSelector>().unwrap().matches_object(&pod),
                expected,
                "{selector}"
            );
        }
    }

    #[test]
    fn errors_and_escapes() {
        let parse = |s: &str| s.parse::<FieldSelector>();
        assert_eq!(
            parse("a").unwrap_err().to_string(),
            "invalid selector: 'a'; can't understand 'a'"
        );
        assert_eq!(
            parse(r"a=b\c").unwrap_err().to_string(),
            r"invalid field selector: invalid escape sequence: \c"
        );
        assert_eq!(
            parse("a=b=c").unwrap_err().to_string(),
            "invalid field selector: unescaped character in value: 61"
        );
        assert!(parse("=,!=").unwrap().is_everything());
        assert_eq!(parse("=,a=b").unwrap().to_string(), "a=b");
        assert_eq!(parse(r"a=b\,c").unwrap().exact("a"), Some("b,c"));
        assert_eq!(parse(r"b!=1,a=b\,c").unwrap().to_string(), r"a=b\,c,b!=1");
    }
}
