//! Debian's control format: paragraphs of `Field: value` with continued lines (deb822(5)), and dependency fields (deb-control(7)).

use crate::debian::version;

/// The fields of one paragraph, continued lines joined with newlines.
pub(crate) struct Paragraph<'a> {
    text: &'a str,
}

/// The paragraphs of a document.
pub(crate) fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph<'_>> {
    text.split("\n\n")
        .map(|text| Paragraph {
            text: text.trim_matches('\n'),
        })
        .filter(|p| !p.text.trim().is_empty())
}

impl<'a> Paragraph<'a> {
    /// The fields in order: name and value, the value's continued lines still in it.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            loop {
                if rest.is_empty() {
                    return None;
                }
                let mut end = 0;
                loop {
                    end += rest[end..].find('\n').map_or(rest.len() - end, |at| at + 1);
                    if end >= rest.len() || !rest[end..].starts_with([' ', '\t']) {
                        break;
                    }
                }
                let (field, next) = rest.split_at(end);
                rest = next;
                if let Some((name, value)) = field.split_once(':')
                    && !field.starts_with('#')
                {
                    return Some((name, value.trim()));
                }
            }
        })
    }

    /// One field; names are compared without regard to case.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.fields()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// How a version is compared in a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Earlier,
    EarlierOrEqual,
    Equal,
    LaterOrEqual,
    Later,
}

/// One alternative of a dependency: `name:arch (>= version)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative<'a> {
    pub name: &'a str,
    pub architecture: Option<&'a str>,
    pub version: Option<(Relation, &'a str)>,
}

impl Alternative<'_> {
    /// Whether a version satisfies it.
    pub(crate) fn accepts(&self, version: &str) -> bool {
        let Some((relation, wanted)) = self.version else {
            return true;
        };
        let order = version::compare(version, wanted);
        match relation {
            Relation::Earlier => order.is_lt(),
            Relation::EarlierOrEqual => order.is_le(),
            Relation::Equal => order.is_eq(),
            Relation::LaterOrEqual => order.is_ge(),
            Relation::Later => order.is_gt(),
        }
    }
}

/// The groups of a dependency field, each with the text it was written as and its alternatives.
pub(crate) fn dependencies(field: &str) -> impl Iterator<Item = (&str, Vec<Alternative<'_>>)> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| (group, group.split('|').filter_map(alternative).collect()))
}

fn alternative(text: &str) -> Option<Alternative<'_>> {
    // Build profiles and architecture lists do not occur in binary packages' fields.
    let (name, version) = match text.split_once('(') {
        Some((name, rest)) => {
            let rest = rest.trim_end().trim_end_matches(')').trim();
            let at = rest.find(|c| !matches!(c, '<' | '>' | '=')).unwrap_or(rest.len());
            let (relation, version) = rest.split_at(at);
            let relation = match relation {
                "<<" => Relation::Earlier,
                "<=" | "<" => Relation::EarlierOrEqual,
                "=" => Relation::Equal,
                ">=" | ">" => Relation::LaterOrEqual,
                ">>" => Relation::Later,
                _ => return None,
            };
            (name.trim(), Some((relation, version.trim())))
        }
        None => (text.trim(), None),
    };
    let (name, architecture) = match name.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (name, None),
    };
    (!name.is_empty()).then_some(Alternative {
        name,
        architecture,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_fields() {
        let text = "Package: a\nDescription: short\n long\n .\n more\nDepends: b,\n c\n\n\nPackage: d\n";
        let all: Vec<_> = paragraphs(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("description"), Some("short\n long\n .\n more"));
        assert_eq!(all[0].get("Depends"), Some("b,\n c"));
        assert_eq!(all[1].get("Package"), Some("d"));
        assert_eq!(all[1].get("Depends"), None);
    }

    #[test]
    fn dependency_fields() {
        let field = "libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0,\n perl:any, x (= 1:2-3)";
        let parsed: Vec<_> = dependencies(field).collect();
        assert_eq!(parsed.len(), 4);
        assert_eq!(parsed[1].0, "debconf (>= 0.5) | debconf-2.0");
        assert_eq!(
            parsed[1].1[1],
            Alternative {
                name: "debconf-2.0",
                architecture: None,
                version: None
            }
        );
        assert_eq!(parsed[2].1[0].architecture, Some("any"));
        assert!(parsed[0].1[0].accepts("2.36-9") && !parsed[0].1[0].accepts("2.31"));
        assert!(parsed[3].1[0].accepts("1:2-3") && !parsed[3].1[0].accepts("2-3"));
    }
}
