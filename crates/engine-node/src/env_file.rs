//! Files from which variables of containers come (`fileKeyRef`): a strict part of what a shell reads (pkg/kubelet/util/env/env_util.go).
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

/// What a pod may make the node read for one variable.
const LONGEST: u64 = 1 << 20;

/// Reads a file of a volume; links lead nowhere outside of it.
pub fn read(volume: &Path, path: &str) -> Result<String, String> {
    let root = open(
        volume,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = root
        .and_then(|root| openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT))
        .map_err(|err| err.to_string())?;
    let file = File::from(file);
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("not a file".to_owned());
    }
    let mut text = String::new();
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|err| err.to_string())?;
    Ok(text)
}

/// The value of a key, if there is one and it is not empty.
pub fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    let blank: &[char] = &[' ', '\t'];
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let wrong = |what: &str| {
            Err(format!(
                "invalid environment variable format at line {number}: {what}"
            ))
        };
        let line = line.trim_start_matches(blank);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, rest)) = line.split_once('=') else {
            return wrong("missing '='");
        };
        if name.trim_end_matches(blank).is_empty() {
            return wrong("empty variable name");
        }
        if name.ends_with(blank) {
            return wrong("whitespace before '=' is not allowed");
        }
        if rest.starts_with(blank) {
            if name == key {
                return Ok(None);
            }
            continue;
        }
        let Some(mut rest) = rest.strip_prefix('\'') else {
            return wrong("value must be enclosed in single quotes");
        };
        let mut value = String::new();
        let after = loop {
            if let Some((last, after)) = rest.split_once('\'') {
                value += last;
                break after;
            }
            value += rest;
            value.push('\n');
            let Some((next, _)) = lines.next() else {
                return wrong("unclosed single quote");
            };
            rest = next;
        };
        let after = after.trim_start_matches(blank);
        if !after.is_empty() && !after.starts_with('#') {
            return wrong("unexpected content after closing quote");
        }
        if name == key {
            return Ok(Some(value).filter(|value| !value.is_empty()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_and_nothing_else() {
        let text = "# c\n\n  A='one' # first\nB='two\nlines'\nC= 'x'\nD=''\nE='$A'\n";
        let of = |key| value(text, key).unwrap();
        assert_eq!(of("A").as_deref(), Some("one"));
        assert_eq!(of("B").as_deref(), Some("two\nlines"));
        assert_eq!((of("C"), of("D"), of("F")), (None, None, None));
        assert_eq!(of("E").as_deref(), Some("$A"));
        for bad in ["A", "='x'", "A ='x'", "A=x", "A='x", "A='x' y"] {
            assert!(value(bad, "B").is_err(), "{bad}");
        }
    }

    #[test]
    fn links_stay_in_the_volume() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("f"), "A='1'").unwrap();
        std::os::unix::fs::symlink("/f", folder.path().join("here")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).unwrap();
        assert_eq!(read(folder.path(), "here").unwrap(), "A='1'");
        assert!(read(folder.path(), "out").is_err());
        assert!(read(folder.path(), "../../etc/passwd").is_err());
        assert!(read(folder.path(), ".").is_err());
    }
}
