//! Formats of strings, as far as upstream looks at them (kube-openapi `pkg/validation/strfmt`).

/// The formats that are checked here; others pass (`go-openapi/strfmt`).
pub(crate) fn formatted(format: &str, text: &str) -> bool {
    match format {
        // Small letters are as good.
        "date-time" => kube_types::parse_seconds(&text.to_ascii_uppercase()).is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "ipv4" => is_ipv4(text),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            let (body, padding) = match text.find('=') {
                Some(at) => text.split_at(at),
                None => (text, ""),
            };
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
            text.len().is_multiple_of(4) && matches!(padding, "" | "=" | "==") && body.bytes().all(plain)
        }
        "email" => text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()),
        "uuid" => {
            let parts: Vec<usize> = text.split('-').map(str::len).collect();
            let hex = text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
            hex && (parts == [8, 4, 4, 4, 12] || parts == [32])
        }
        "duration" => is_duration(text),
        "hostname" => is_hostname(text),
        "uri" => is_uri(text),
        "cidr" => text.split_once('/').is_some_and(|(ip, length)| {
            let bits = if is_ipv4(ip) { 32 } else { 128 };
            (bits == 32 || ip.parse::<std::net::Ipv6Addr>().is_ok())
                && length.bytes().all(|b| b.is_ascii_digit())
                && length.parse::<u8>().is_ok_and(|length| length <= bits)
        }),
        "mac" => is_mac(text),
        _ => true,
    }
}

/// Zeros may lead (`k8s.io/utils/net` ParseIPSloppy).
fn is_ipv4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let fits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u8>().is_ok();
    parts.len() == 4 && parts.iter().all(fits)
}

/// One of Go, or anything with a number before a unit in it (`strfmt/duration.go` ParseDuration).
fn is_duration(text: &str) -> bool {
    const UNITS: [char; 8] = ['n', 'u', 'µ', 'm', 's', 'h', 'd', 'w'];
    let with_unit = |(at, _)| {
        let rest: &str = &text[at..];
        let unit = rest
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .chars()
            .next();
        unit.is_some_and(|unit| UNITS.contains(&unit.to_ascii_lowercase()))
    };
    kube_types::parse_duration(text).is_ok()
        || text.match_indices(|c: char| c.is_ascii_digit()).any(with_unit)
}

/// One word, or several with dots of which the last has two letters or more (`strfmt/default.go` HostnamePattern).
fn is_hostname(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c.is_alphabetic();
    let labels: Vec<&str> = text.split('.').collect();
    if text.len() > 255 || labels.iter().any(|label| label.len() > 63) {
        return false;
    }
    if let [label] = labels[..] {
        let mut rest = label.chars();
        return rest.next().is_some_and(word) && {
            let rest = rest.as_str();
            rest.strip_prefix('-').unwrap_or(rest).chars().all(word)
        };
    }
    let (last, others) = labels.split_last().unwrap_or((&"", &[]));
    let inner = |label: &&str| {
        label.starts_with(word) && label.ends_with(word) && label.chars().all(|c| word(c) || c == '-')
    };
    last.chars().count() >= 2 && last.chars().all(char::is_alphabetic) && others.iter().all(inner)
}

/// Absolute (Go's `url.ParseRequestURI`).
fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    (text.starts_with('/') || scheme) && !text.bytes().any(|b| b.is_ascii_control())
}

/// Six, eight or twenty bytes (Go's `net.ParseMAC`).
fn is_mac(text: &str) -> bool {
    let of = |separator: char, digits: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        let hex = |part: &&str| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
        matches!(parts.len() * digits, 12 | 16 | 40) && parts.iter().all(hex)
    };
    of(':', 2) || of('-', 2) || of('.', 4)
}

#[cfg(test)]
mod tests {
    use super::formatted;

    #[test]
    fn formats_as_upstream_takes_them() {
        for (format, good, bad) in [
            ("duration", "1h", "x"),
            ("duration", "1w 2d", ""),
            ("ipv4", "01.2.3.4", "1.2.3"),
            ("hostname", "a.example", "a.b"),
            ("hostname", "abc", "-a"),
            ("hostname", "a-b", "A_B"),
            ("uri", "/a", "x y"),
            ("uri", "http://x", "x"),
            ("cidr", "10.0.0.1/8", "10.0.0.0/33"),
            ("cidr", "::1/128", "x"),
            ("mac", "00:00:5e:00:53:01", "x"),
            ("nope", "x", ""),
        ] {
            assert!(formatted(format, good), "{format} {good}");
            assert!(format == "nope" || !formatted(format, bad), "{format} {bad}");
        }
    }
}
