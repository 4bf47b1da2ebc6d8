//! Checks of names, keys and small values. Each returns the complaints in upstream's words; none means valid.
//! (`k8s.io/apimachinery/pkg/util/validation` and `.../api/validate/content`, 1.36.)

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;
const KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_WORDS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// A DNS label (RFC 1123), such as a container's name.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX);
    if !label_matches(value) {
        errors.push(if subdomain_matches(value) {
            "must not contain dots".to_owned()
        } else {
            regex_message(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}

/// A DNS subdomain (RFC 1123), such as most objects' names.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if !subdomain_matches(value) {
        errors.push(subdomain_words());
    }
    errors
}

fn subdomain_words() -> String {
    regex_message(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        SUBDOMAIN,
        &["example.com"],
    )
}

/// A DNS label that starts with a letter (RFC 1035), such as a Service's name.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, LABEL_MAX);
    if !(label_matches(value) && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(regex_message(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// `*.` and a subdomain, such as an Ingress host.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(subdomain_matches) {
        errors.push(regex_message(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    errors
}

/// `[prefix/]name`, such as the key of a label or annotation, a resource or a finalizer.
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let words = || regex_message(KEY_WORDS, KEY, &["MyName", "my.name", "123-abc"]);
    let mut errors = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > SUBDOMAIN_MAX {
                    errors.push(format!("prefix part {}", max_bytes(SUBDOMAIN_MAX)));
                }
                if !subdomain_matches(prefix) {
                    errors.push(format!("prefix part {}", subdomain_words()));
                }
            }
            name
        }
        _ => {
            let words = words();
            return vec![format!(
                "a valid label key {words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part {}", max_bytes(LABEL_MAX)));
    }
    if !key_matches(name) {
        errors.push(format!("name part {}", words()));
    }
    errors
}

/// The value of a label.
pub fn is_label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX {
        errors.push(max_bytes(LABEL_MAX));
    }
    if !value.is_empty() && !key_matches(value) {
        errors.push(regex_message(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({KEY})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A name in C.
pub fn is_c_identifier(value: &str) -> Vec<String> {
    let fits = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && only(value, "_");
    complain(
        fits,
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )
}

/// A TCP or UDP port.
pub fn is_port_number(port: i64) -> Vec<String> {
    is_in_range(port, 1, 65535)
}

/// A number between two others.
pub fn is_in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) {
        Vec::new()
    } else {
        vec![format!("must be between {low} and {high}, inclusive")]
    }
}

/// A port's name (IANA service name).
pub fn is_port_name(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 15);
    let charset = !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    for (wrong, message) in [
        (
            !charset,
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            !value.bytes().any(|b| b.is_ascii_lowercase()),
            "must contain at least one letter (a-z)",
        ),
        (value.contains("--"), "must not contain consecutive hyphens"),
        (
            value.starts_with('-') || value.ends_with('-'),
            "must not begin or end with a hyphen",
        ),
    ] {
        if wrong {
            errors.push(message.to_owned());
        }
    }
    errors
}

/// `25%`.
pub fn is_percent(value: &str) -> Vec<String> {
    let fits = value
        .strip_suffix('%')
        .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    complain(
        fits,
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )
}

/// The name of an HTTP header.
pub fn is_http_header_name(value: &str) -> Vec<String> {
    let fits = !value.is_empty() && only(value, "-");
    complain(
        fits,
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )
}

/// The name of an environment variable, strictly.
pub fn is_env_var_name(value: &str) -> Vec<String> {
    let fits =
        value.starts_with(|c: char| c.is_ascii_alphabetic() || "-._".contains(c)) && only(value, "-._");
    let mut errors = complain(
        fits,
        "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
        "[-._a-zA-Z][-._a-zA-Z0-9]*",
        &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
    );
    errors.extend(dots(value));
    errors
}

/// The name of an environment variable as 1.34 and later take it in pods.
pub fn is_relaxed_env_var_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.is_empty() {
        errors.push("environment variable name must be non-empty".to_owned());
    }
    if !value.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        errors.push("a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned());
    }
    errors
}

/// A key of a ConfigMap or Secret.
pub fn is_config_map_key(value: &str) -> Vec<String> {
    let mut errors = too_long(value, SUBDOMAIN_MAX);
    errors.extend(complain(
        !value.is_empty() && only(value, "-._"),
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        "[-._a-zA-Z0-9]+",
        &["key.name", "KEY_NAME", "key-name"],
    ));
    errors.extend(dots(value));
    errors
}

/// A decimal integer without padding or plus sign, such as a `Gt` toleration's value.
pub fn is_decimal_integer(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["must be non-empty".to_owned()];
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let canonical = value == "0"
        || (digits.bytes().all(|b| b.is_ascii_digit()) && digits.starts_with(|c| ('1'..='9').contains(&c)));
    if canonical {
        Vec::new()
    } else {
        vec!["must be a valid decimal integer in canonical form".to_owned()]
    }
}

/// What keys and values of labels are told, whose rules have moved to `api/validate/content`.
fn max_bytes(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

/// `must be no more than N characters`.
pub fn max_length_message(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// A complaint with examples and the regular expression, in upstream's form.
pub fn regex_message(words: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    let examples = if examples.is_empty() {
        String::new()
    } else {
        format!("e.g. {}", examples.join(" or "))
    };
    format!("{words} ({examples}regex used for validation is '{regex}')")
}

fn complain(fits: bool, words: &str, regex: &str, examples: &[&str]) -> Vec<String> {
    if fits {
        Vec::new()
    } else {
        vec![regex_message(words, regex, examples)]
    }
}

fn too_long(value: &str, length: usize) -> Vec<String> {
    if value.len() > length {
        vec![max_length_message(length)]
    } else {
        Vec::new()
    }
}

fn dots(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn only(value: &str, also: &str) -> bool {
    value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

fn label_matches(value: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = value.as_bytes();
    bytes.iter().all(|b| alphanumeric(*b) || *b == b'-')
        && bytes.first().is_some_and(|b| alphanumeric(*b))
        && bytes.last().is_some_and(|b| alphanumeric(*b))
}

fn subdomain_matches(value: &str) -> bool {
    value.split('.').all(label_matches)
}

fn key_matches(value: &str) -> bool {
    only(value, "-_.")
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid() {
        for errors in [
            is_dns1123_label("a-1"),
            is_dns1123_subdomain("a.b-c.0"),
            is_dns1035_label("a0"),
            is_qualified_name("example.com/My.Name_1"),
            is_label_value(""),
            is_port_name("http-1"),
            is_percent("25%"),
            is_config_map_key("a.b"),
            is_env_var_name("_A.b-1"),
            is_relaxed_env_var_name("1 a"),
            is_decimal_integer("-10"),
            is_wildcard_dns1123_subdomain("*.example.com"),
        ] {
            assert!(errors.is_empty(), "{errors:?}");
        }
    }

    #[test]
    fn messages() {
        assert_eq!(
            is_dns1123_subdomain("Bad Name"),
            [
                r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            is_qualified_name("bad key!"),
            [
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            ]
        );
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(is_port_number(70000), ["must be between 1 and 65535, inclusive"]);
        assert_eq!(
            is_port_name(""),
            [
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)"
            ]
        );
        assert_eq!(is_config_map_key(".."), ["must not be '..'"]);
        assert_eq!(is_label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(
            is_qualified_name(&format!("{}/{}", "a".repeat(254), "b".repeat(64))),
            [
                "prefix part must be no more than 253 bytes",
                "name part must be no more than 63 bytes"
            ]
        );
        assert_eq!(
            is_dns1123_label(&"a".repeat(64)),
            ["must be no more than 63 characters"]
        );
    }

    #[test]
    fn the_expected_text_of_the_conformance_case() {
        let found = is_qualified_name("bad key!").join("");
        assert!(
            found.contains("(e.g. 'MyName',  or 'my.name',  or '123-abc', regex"),
            "{found}"
        );
    }
}
