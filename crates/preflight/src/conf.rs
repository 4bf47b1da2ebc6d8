//! Folders of configuration as systemd reads them: `/etc` over `/run` over `/usr/local/lib` over `/usr/lib`, one file per
//! basename, in the order of basenames. And modules-load.d.
use std::collections::BTreeMap;

use crate::facts::ConfFile;

/// Places, strongest first.
const PLACES: [&str; 5] = ["/etc/", "/run/", "/usr/local/lib/", "/usr/lib/", "/lib/"];

/// The files that count, in the order in which they are read. A file with the basename of one in a stronger folder is
/// hidden by it, also when the stronger one is empty, a link to `/dev/null` or cannot be read.
pub fn effective<'a>(files: &'a [ConfFile], folder: &str) -> Vec<&'a ConfFile> {
    let mut chosen: BTreeMap<&str, (usize, &ConfFile)> = BTreeMap::new();
    for file in files {
        let Some((place, name)) = PLACES.iter().enumerate().find_map(|(rank, place)| {
            let rest = file
                .path
                .strip_prefix(place)?
                .strip_prefix(folder)?
                .strip_prefix('/')?;
            (!rest.contains('/')).then_some((rank, rest))
        }) else {
            continue;
        };
        // Names that systemd passes over: hidden, backups, another suffix.
        if !name.ends_with(".conf") || name.starts_with('.') {
            continue;
        }
        match chosen.get(name) {
            Some((rank, _)) if *rank <= place => {}
            _ => {
                chosen.insert(name, (place, file));
            }
        }
    }
    chosen.into_values().map(|(_, file)| file).collect()
}

/// Modules that are loaded at boot: modules-load.d and `modules_load=` on the kernel's command line.
pub fn modules_at_boot(files: &[ConfFile], cmdline: &str) -> Vec<String> {
    let lines = effective(files, "modules-load.d")
        .into_iter()
        .filter_map(|f| f.text.as_deref())
        .flat_map(str::lines)
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let words = cmdline.split_whitespace().filter_map(|word| {
        word.strip_prefix("modules_load=")
            .or_else(|| word.strip_prefix("modules-load="))
            .or_else(|| word.strip_prefix("rd.modules_load="))
    });
    lines
        .chain(words.flat_map(|list| list.split(',')))
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> ConfFile {
        ConfFile {
            path: path.to_owned(),
            text: Some(text.to_owned()),
            ..ConfFile::default()
        }
    }

    #[test]
    fn the_stronger_folder_hides_the_basename_even_when_empty() {
        let files = [
            file("/usr/lib/modules-load.d/k8s.conf", "overlay\nbr_netfilter"),
            file("/etc/modules-load.d/k8s.conf", ""),
            file("/etc/modules-load.d/a.conf", "# c\n ; d\n veth \nnf-tables"),
            file("/etc/modules-load.d/a.conf.bak", "never"),
            file("/etc/modules-load.d/sub/a.conf", "never"),
        ];
        assert_eq!(
            modules_at_boot(&files, "quiet modules_load=x,y"),
            ["veth", "nf_tables", "x", "y"]
        );
    }
}
