//! The tag of an image reference, for pull policies (`pkg/util/parsers`, `distribution/reference`).

/// The tag, `latest` where there is neither tag nor digest; `None` for a digest alone and for what is no reference.
pub(crate) fn image_tag(image: &str) -> Option<&str> {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last_slash = name.rfind('/').map_or(0, |i| i + 1);
    let (path, tag) = match name[last_slash..].split_once(':') {
        Some((last, tag)) => (&name[..last_slash + last.len()], Some(tag)),
        None => (name, None),
    };
    let well_formed = is_repository(path)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(|d| {
            d.split_once(':')
                .is_some_and(|(a, h)| !a.is_empty() && h.len() >= 32)
        });
    match (well_formed, tag, digest) {
        (true, Some(tag), _) => Some(tag),
        (true, None, None) => Some("latest"),
        _ => None,
    }
}

fn is_repository(path: &str) -> bool {
    let mut components: Vec<&str> = path.split('/').collect();
    // A host may have upper case and a port.
    if components.len() > 1
        && (components[0].contains(['.', ':']) || components[0] == "localhost" || has_upper(components[0]))
    {
        components.remove(0);
    }
    components.iter().all(|component| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        component.starts_with(edge)
            && component.ends_with(edge)
            && component.chars().all(|c| edge(c) || matches!(c, '.' | '_' | '-'))
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::image_tag;

    #[test]
    fn tags() {
        let digest = format!("busybox@sha256:{}", "a".repeat(64));
        for (image, tag) in [
            ("busybox", Some("latest")),
            ("busybox:1", Some("1")),
            ("demo.local/busybox:1", Some("1")),
            ("localhost:5000/busybox", Some("latest")),
            ("localhost:5000/a/b:latest", Some("latest")),
            (digest.as_str(), None),
            ("", None),
            ("Busybox", None),
            ("busy box", None),
            ("busybox:", None),
        ] {
            assert_eq!(image_tag(image), tag, "{image}");
        }
    }
}
