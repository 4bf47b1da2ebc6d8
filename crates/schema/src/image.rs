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
    // What could be an image's own hash is no name.
    let is_hash = image.len() == 64 && image.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let well_formed = !is_hash
        && is_repository(path)
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
    } else if components.len() == 1 {
        // Docker's own images have a folder that nobody writes.
        components.insert(0, "library");
    }
    let length = components.iter().map(|c| c.len() + 1).sum::<usize>() - 1;
    length <= MAX_PATH && components.iter().all(|component| is_component(component))
}

/// How long the path of a repository may be (`RepositoryNameTotalLengthMax`).
const MAX_PATH: usize = 255;

/// Words with one dot, one or two underscores or any number of dashes between them.
fn is_component(component: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(word)
        && component.ends_with(word)
        && component
            .split(word)
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
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
            (&"a".repeat(64), None),
            (&"x".repeat(300), None),
            (&format!("a.b/{}", "x".repeat(255)), Some("latest")),
            ("a..b", None),
            ("a__b/c---d.e:1", Some("1")),
            ("a___b", None),
            ("Busybox", None),
            ("busy box", None),
            ("busybox:", None),
        ] {
            assert_eq!(image_tag(image), tag, "{image}");
        }
    }
}
