//! Named formats (`k8s.io/apiserver/pkg/cel/library/format.go`).
use std::sync::Arc;

use super::{Done, opaque::Opaque};
use crate::{
    evaluate::{made, no_overload},
    value::Value,
};

/// A format that texts can have.
#[derive(Debug)]
pub struct Format {
    pub name: &'static str,
    check: fn(&str) -> Vec<String>,
}

/// Names may end in a hyphen when something is to follow.
fn as_prefix(text: &str, check: fn(&str) -> Vec<String>) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => check(&format!("{before}a")),
        _ => check(text),
    }
}

fn words(is: bool, message: &str) -> Vec<String> {
    if is { Vec::new() } else { vec![message.to_owned()] }
}

fn uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()) && (parts == [8, 4, 4, 4, 12] || parts == [32])
}

/// Go's strfmt takes small letters, too.
fn datetime(text: &str) -> bool {
    kube_types::parse_seconds(&text.to_ascii_uppercase()).is_ok()
}

fn byte(text: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(text).is_ok()
}

const ALL: &[Format] = &[
    Format {
        name: "dns1123Label",
        check: kube_types::is_dns1123_label,
    },
    Format {
        name: "dns1123Subdomain",
        check: kube_types::is_dns1123_subdomain,
    },
    Format {
        name: "dns1035Label",
        check: kube_types::is_dns1035_label,
    },
    Format {
        name: "qualifiedName",
        check: kube_types::is_qualified_name,
    },
    Format {
        name: "dns1123LabelPrefix",
        check: |text| as_prefix(text, kube_types::is_dns1123_label),
    },
    Format {
        name: "dns1123SubdomainPrefix",
        check: |text| as_prefix(text, kube_types::is_dns1123_subdomain),
    },
    Format {
        name: "dns1035LabelPrefix",
        check: |text| as_prefix(text, kube_types::is_dns1035_label),
    },
    Format {
        name: "labelValue",
        check: kube_types::is_label_value,
    },
    Format {
        name: "uri",
        check: |text| {
            words(
                url::Url::parse(text).is_ok() || text.starts_with('/'),
                "invalid URI",
            )
        },
    },
    Format {
        name: "uuid",
        check: |text| words(uuid(text), "does not match the UUID format"),
    },
    Format {
        name: "byte",
        check: |text| words(byte(text), "invalid base64"),
    },
    Format {
        name: "date",
        check: |text| {
            words(
                text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
                "invalid date",
            )
        },
    },
    Format {
        name: "datetime",
        check: |text| words(datetime(text), "invalid datetime"),
    },
];

fn find<'a>(name: &str) -> Option<Value<'a>> {
    let found = ALL.iter().find(|format| format.name == name)?;
    Some(Value::Opaque(Opaque::Format(found)))
}

/// `format.named('uuid')` and `format.uuid()`.
pub fn named<'a>(function: &str, args: &[Value<'a>]) -> Done<'a> {
    let name = function.trim_start_matches("format.");
    match args {
        [Value::String(wanted)] if name == "named" => Ok(Value::Optional(find(wanted).map(Arc::new))),
        [] => find(name).ok_or_else(no_overload),
        _ => Err(no_overload()),
    }
}

/// What is wrong with a text, if something is.
pub fn validate<'a>(args: &[Value<'a>]) -> Done<'a> {
    let [Value::Opaque(Opaque::Format(format)), Value::String(text)] = args else {
        return Err(no_overload());
    };
    let faults: Vec<Value<'a>> = (format.check)(text).into_iter().map(Into::into).collect();
    Ok(Value::Optional(
        (!faults.is_empty()).then(|| Arc::new(made(faults))),
    ))
}
