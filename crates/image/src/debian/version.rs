//! Debian versions: `[epoch:]upstream[-revision]`, compared as deb-version(7) says.

use std::cmp::Ordering;

/// Compares two versions.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0)
        .then_with(|| part(a.1, b.1))
        .then_with(|| part(a.2, b.2))
}

/// The upstream version as people say it, usable as a tag: no epoch, no revision, no `+dfsg` and the like.
pub(crate) fn upstream(version: &str) -> &str {
    let (_, upstream, _) = split(version);
    upstream.split(['+', '~', ':']).next().unwrap_or(upstream)
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    // No revision counts as revision 0, and so does an empty one.
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Alternately compares a stretch of non-digits (letters before other characters, `~` before the end) and a number.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let weight = |c: Option<u8>| match c {
            Some(b'~') => -1,
            None => 0,
            Some(c) if c.is_ascii_digit() => 0,
            Some(c) if c.is_ascii_alphabetic() => i32::from(c),
            Some(c) => i32::from(c) + 256,
        };
        let digit = |s: &str| s.bytes().next().is_some_and(|c| c.is_ascii_digit());
        while (!a.is_empty() && !digit(a)) || (!b.is_empty() && !digit(b)) {
            let (x, y) = (weight(a.bytes().next()), weight(b.bytes().next()));
            if x != y {
                return x.cmp(&y);
            }
            a = skip(a);
            b = skip(b);
        }
        let number = |s: &str| s.len() - s.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let ((x, rest_a), (y, rest_b)) = (a.split_at(number(a)), b.split_at(number(b)));
        let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Without the first character. Versions are ASCII; anything else is skipped as a whole character.
fn skip(s: &str) -> &str {
    let mut chars = s.chars();
    chars.next();
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each was compared by `dpkg --compare-versions` of dpkg 1.21.22.
    #[test]
    fn as_dpkg_compares() {
        for (a, order, b) in [
            ("1.0", Ordering::Equal, "1.0-0"),
            ("1.0", Ordering::Equal, "0:1.0"),
            ("1.0", Ordering::Less, "1:0.1"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1.0~~", Ordering::Less, "1.0~"),
            ("1.0-1", Ordering::Less, "1.0-1+b1"),
            ("1.0-1~deb12u1", Ordering::Less, "1.0-1"),
            ("1.10", Ordering::Greater, "1.9"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.0a", Ordering::Greater, "1.0"),
            ("007", Ordering::Equal, "7"),
            ("2.36-9+deb12u10", Ordering::Greater, "2.36-9+deb12u9"),
            ("5:7.0.15-1~deb12u5", Ordering::Greater, "5:7.0.15-1~deb12u4"),
            ("1.2.3-1-1", Ordering::Greater, "1.2.3-1"),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }

    proptest::proptest! {
        /// A total order: what sorting packages by version relies on.
        #[test]
        fn is_an_order(a in "[0-9]?:?[0-9a-z.+~]{0,6}(-[0-9.~]{0,3})?", b in "[0-9a-z.+~-]{0,6}", c in "[0-9a-z.+~-]{0,6}") {
            proptest::prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            proptest::prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                proptest::prop_assert!(compare(&a, &c).is_le());
            }
        }
    }

    #[test]
    fn tags() {
        for (version, tag) in [
            ("2.42.0+ds-5+b5", "2.42.0"),
            ("5:7.0.15-1~deb12u5", "7.0.15"),
            ("1:1.35.0-4+b3", "1.35.0"),
        ] {
            assert_eq!(upstream(version), tag);
        }
    }
}
