//! What `--fix` would do, as data. `host` does it, keeps a journal, and takes it back.
use serde::{Deserialize, Serialize};

use crate::facts::{ConfFile, Facts};
use crate::sysctl;

/// One change of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// A file is to have this text.
    WriteFile {
        /// Path.
        path: String,
        /// The text that was judged; None when there was no such file. Another text stops the fix.
        before: Option<String>,
        /// The new text.
        after: String,
    },
    /// A kernel parameter is to have this value now.
    SetSysctl {
        /// Key with dots.
        key: String,
        /// Value.
        value: String,
    },
    /// A kernel module is to be loaded now.
    LoadModule {
        /// Name.
        name: String,
    },
    /// Swap is to be switched off now.
    SwapOff {
        /// Device or file.
        device: String,
    },
}

impl Change {
    /// The change as lines of a diff.
    pub fn diff(&self) -> String {
        match self {
            Change::WriteFile { path, before, after } => diff(path, before.as_deref(), after),
            Change::SetSysctl { key, value } => format!("now: sysctl {key} = {value}\n"),
            Change::LoadModule { name } => format!("now: load kernel module {name}\n"),
            Change::SwapOff { device } => format!("now: switch off swap on {device}\n"),
        }
    }
}

/// A unified diff with one hunk: what is common at both ends is left out but for three lines.
fn diff(path: &str, before: Option<&str>, after: &str) -> String {
    let old: Vec<&str> = before.unwrap_or_default().lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let start = head.saturating_sub(3);
    let shown = tail.min(3);
    let (old_end, new_end) = (old.len() - tail + shown, new.len() - tail + shown);
    let from = if before.is_some() { path } else { "/dev/null" };
    let place = |start: usize, end: usize| {
        let length = end - start;
        format!("{},{length}", if length == 0 { start } else { start + 1 })
    };
    let mut text = format!(
        "--- {from}\n+++ {path}\n@@ -{} +{} @@\n",
        place(start, old_end),
        place(start, new_end)
    );
    let mut put = |mark: char, lines: &[&str]| {
        for line in lines {
            text.push(mark);
            text.push_str(line);
            text.push('\n');
        }
    };
    put(' ', &old[start..head]);
    put('-', &old[head..old.len() - tail]);
    put('+', &new[head..new.len() - tail]);
    put(' ', &old[old.len() - tail..old_end]);
    text
}

/// Changes that give kernel parameters values that last: a file in sysctl.d whose name was proved, by a replay, to be read
/// after every other that sets them, and the values of now. Empty when no name wins.
pub fn sysctls(facts: &Facts, check: &str, wanted: &[(&str, String)]) -> Vec<Change> {
    let mut text =
        format!("# Written by cncfdemo doctor --fix {check}; cncfdemo doctor undo takes it back.\n");
    for (key, value) in wanted {
        text.push_str(&format!("{key} = {value}\n"));
    }
    let names = [
        "99-zz-cncfdemo-",
        "zz-cncfdemo-",
        "zzzz-cncfdemo-",
        "~zz-cncfdemo-",
    ];
    let Some(change) = names.iter().find_map(|name| {
        let path = format!("/etc/sysctl.d/{name}{check}.conf");
        let mut files = facts.sysctl.files.clone();
        let before = files.iter().find(|f| f.path == path).cloned();
        // A link or a file that cannot be read is somebody's intention.
        if before
            .as_ref()
            .is_some_and(|f| f.link.is_some() || f.text.is_none())
        {
            return None;
        }
        files.retain(|f| f.path != path);
        files.push(ConfFile {
            path: path.clone(),
            text: Some(text.clone()),
            ..ConfFile::default()
        });
        let wins = |(key, value): &(&str, String)| {
            sysctl::after_boot(&files, key).is_some_and(|set| set.value == *value)
        };
        wanted.iter().all(wins).then(|| Change::WriteFile {
            path,
            before: before.and_then(|f| f.text),
            after: text.clone(),
        })
    }) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    if !matches!(&change, Change::WriteFile { before, after, .. } if before.as_ref() == Some(after)) {
        changes.push(change);
    }
    let now = wanted
        .iter()
        .filter(|(key, value)| facts.sysctl_now(key) != Some(value));
    changes.extend(now.map(|(key, value)| Change::SetSysctl {
        key: (*key).to_owned(),
        value: value.clone(),
    }));
    changes
}

/// Changes that load modules now and at every boot.
pub fn modules(facts: &Facts, check: &str, names: &[&str]) -> Vec<Change> {
    let lacking: Vec<&&str> = names.iter().filter(|n| !facts.module_after_boot(n)).collect();
    let mut changes = Vec::new();
    if !lacking.is_empty() {
        let path = format!("/etc/modules-load.d/cncfdemo-{check}.conf");
        let before = facts
            .modules
            .files
            .iter()
            .find(|f| f.path == path)
            .and_then(|f| f.text.clone());
        let mut after =
            format!("# Written by cncfdemo doctor --fix {check}; cncfdemo doctor undo takes it back.\n");
        for name in names {
            after.push_str(&format!("{name}\n"));
        }
        changes.push(Change::WriteFile { path, before, after });
    }
    let now = names.iter().filter(|n| !facts.module_present(n));
    changes.extend(now.map(|name| Change::LoadModule {
        name: (*name).to_owned(),
    }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_only_what_changes() {
        let old = "a\nb\nc\nd\nswap\ne\n";
        let shown = diff("/etc/fstab", Some(old), "a\nb\nc\nd\n#swap\ne\n");
        assert_eq!(
            shown,
            "--- /etc/fstab\n+++ /etc/fstab\n@@ -2,5 +2,5 @@\n b\n c\n d\n-swap\n+#swap\n e\n"
        );
        assert_eq!(
            diff("/x", None, "a\n"),
            "--- /dev/null\n+++ /x\n@@ -0,0 +1,1 @@\n+a\n"
        );
    }

    #[test]
    fn the_name_of_the_file_is_one_that_wins() {
        let mut facts = Facts::default();
        let later = ConfFile {
            path: "/etc/sysctl.d/99-zzz.conf".into(),
            text: Some("net.ipv4.ip_forward=0".into()),
            ..ConfFile::default()
        };
        facts.sysctl.files = vec![later];
        let changes = sysctls(&facts, "forwarding", &[("net.ipv4.ip_forward", "1".into())]);
        assert!(
            matches!(&changes[0], Change::WriteFile { path, .. } if path == "/etc/sysctl.d/zz-cncfdemo-forwarding.conf"),
            "{changes:?}"
        );
        assert_eq!(changes.len(), 2);
    }
}
